"""tools/report.py, as a person calls it. (--help: tests/test_startup.py)"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.report.made import made_run

REPO = Path(__file__).parents[2]


def call(cwd, *words):
    command = [sys.executable, str(REPO / "tools" / "report.py"), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


def test_one_and_several(tmp_path):
    a, b = made_run(tmp_path / "a"), made_run(tmp_path / "b", seed=1)
    one = call(tmp_path, a)
    assert (one.returncode, one.stdout, one.stderr) == (0, f"wrote {a}/report.html\n", "")
    elsewhere = call(tmp_path, a, "--out", "page.html")
    assert elsewhere.stdout == "wrote page.html\n"
    several = call(tmp_path, a, b)
    assert (several.returncode, several.stdout) == (0, "wrote comparison.html\n")
    assert all((tmp_path / name).is_file() for name in ("page.html", "comparison.html"))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["none"], "error: there is no folder none. Name the OUTPUT_DIR of a run.\n"),
        (["."], "error: . holds no predictions.npz, which a test writes."),
        (["a", "a"], "error: a is named twice."),
        (["a", "none"], "error: there is no folder none."),
        (["a", "--out", "."], "error: '.' cannot be written (it is a folder): name another"),
        (["a", "--out", "a"], "error: 'a' cannot be written (it is a folder): name another"),
        (["a", "b", "--out", "a"], "error: 'a' cannot be written (it is a folder): name another"),
    ],
)
def test_mistakes(tmp_path, words, sentence):
    made_run(tmp_path / "a")
    before = sorted(tmp_path.rglob("*"))
    done = call(tmp_path, *words)
    assert sorted(tmp_path.rglob("*")) == before
    assert done.returncode == 1
    assert done.stderr.startswith(sentence)
    assert done.stderr.count("\n") == 1
