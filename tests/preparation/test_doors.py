"""The tools of this room answer a mistake with a sentence, and --help at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.preparation.made import ROOT, make_video, run_door, write_lists

TOOLS = ("prepare_dataset", "extract_frames", "check_dataset")
MAKERS = TOOLS[:2]

MISTAKES = [
    (TOOLS, ["nothing"], "'nothing'"),
    (TOOLS, ["none.csv"], "there is no list 'none.csv'"),
    (TOOLS, ["{}/train.csv", "--workers", "0"], "--workers is 0"),
    (TOOLS, ["{}/train.csv", "--timeout", "-1"], "--timeout is -1"),
    (TOOLS, ["{}/train.csv", "--splits", "all"], "--splits is 'all'"),
    (TOOLS, ["{}/bad.csv"], "bad.csv, line 1: 'a.mp4' has no label"),
    (TOOLS, ["--cfg", "none.yaml"], "none.yaml"),
    (TOOLS, ["{}/train.csv", "DATA.NUM_FRAME", "8"], "DATA.NUM_FRAME is not a config key"),
    (MAKERS, ["{}/train.csv", "--max-failed-fraction", "2"], "--max-failed-fraction is 2"),
    (MAKERS, ["{}/train.csv", "--short-side", "1"], "--short-side is 1"),
    (TOOLS[:1], ["{}/train.csv", "--crf", "99"], "--crf is 99"),
    (TOOLS[1:2], ["{}/train.csv", "--fps", "0"], "--fps is 0"),
]


@pytest.mark.parametrize(
    ("tool", "words", "sentence"),
    [(tool, words, sentence) for tools, words, sentence in MISTAKES for tool in tools],
)
def test_mistakes(
    tool: str,
    words: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_video(tmp_path / "a.mp4", num_frames=2)
    write_lists(tmp_path, train="a.mp4 0\n", bad="a.mp4\n")
    filled = [word.format(tmp_path) for word in words]
    code = run_door(tool, *filled, "--out", tmp_path / "out", monkeypatch=monkeypatch)
    assert isinstance(code, str)  # goes to standard error, with exit status 1
    assert code.startswith("error: ")
    assert sentence in code
    assert "\n" not in code


@pytest.mark.parametrize("tool", TOOLS)
def test_help_loads_nothing_heavy(tool: str) -> None:
    script = f"""
import atexit, runpy, sys
atexit.register(lambda: print("LOADED", {{"torch", "av", "cv2", "numpy"}} & set(sys.modules)))
sys.argv = ["{tool}", "--help"]
runpy.run_path(r"{ROOT}/tools/{tool}.py", run_name="__main__")
"""
    result = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "LOADED set()" in result.stdout
    assert "Exit status" in " ".join(result.stdout.split())
