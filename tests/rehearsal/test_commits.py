"""Two commits of a repository of our own, and what a comparison says of them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.engine.runs import REPO, environment
from timesformer.errors import UserError
from timesformer.rehearsal.commits import compare_commits

BASE = REPO / "tests" / "numerics" / "base.yaml"


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The package and its door as they are, committed and tagged `before`."""
    folder = tmp_path / "repository"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPO / "timesformer", folder / "timesformer", ignore=ignored)
    (folder / "tools").mkdir()
    shutil.copy(REPO / "tools" / "run_net.py", folder / "tools")
    git(folder, "init", "-q")
    git(folder, "add", "--all")
    git(folder, "commit", "-q", "-m", "before")
    git(folder, "tag", "before")
    return folder


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """Ten steps."""
    path = tmp_path / "short.yaml"
    path.write_text(f"_BASE_: {BASE}\nSOLVER:\n  MAX_EPOCH: 1\n  WARMUP_EPOCHS: 0\n")
    return path


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.mark.slow
def test_a_change_of_the_numbers_is_found(repository: Path, case: Path, place: Path) -> None:
    attention = repository / "timesformer" / "models" / "attention.py"
    text = attention.read_text()
    assert "LAYER_NORM_EPS = 1e-6" in text
    attention.write_text(text.replace("LAYER_NORM_EPS = 1e-6", "LAYER_NORM_EPS = 1e-5"))
    [(name, found, weights)] = compare_commits(repository, [case], "before", None)
    assert name == "short"
    assert found.first == 1
    assert found.excess > 10
    assert weights > 0
    assert list(place.iterdir()) == []


@pytest.mark.slow
def test_what_changes_no_number_is_equal_to_the_bit(
    repository: Path, case: Path, place: Path
) -> None:
    door = repository / "tools" / "run_net.py"
    door.write_text(door.read_text() + "# nothing to compute\n")
    git(repository, "commit", "-q", "-a", "-m", "after")
    [(_, found, weights)] = compare_commits(repository, [case], "before", "HEAD")
    assert found.is_none, str(found)
    assert weights == 0
    assert list(place.iterdir()) == []


@pytest.mark.slow
def test_what_cannot_be_compared_is_said(repository: Path, case: Path) -> None:
    with pytest.raises(UserError, match=r"git cannot give 'no-such' of .*Name a commit, a tag or"):
        list(compare_commits(repository, [case], "no-such", None))
    case.write_text(f"_BASE_: {BASE}\nMODEL:\n  NUM_CLASSES: 3\n")
    with pytest.raises(UserError, match="short cannot be run by before: .*label"):
        list(compare_commits(repository, [case], "before", None))


@pytest.mark.slow
@pytest.mark.skipif(not (REPO / ".git").exists(), reason="there is no commit to compare with")
def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, REPO / "tools" / "compare_numerics.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment() | {"TMPDIR": str(tmp_path)},
        start_new_session=True,
    )
    while process.poll() is None and not list(tmp_path.glob("numerics-*/*-1/metrics.jsonl")):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the run gets it as well
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "stopped\n")
    assert list(tmp_path.iterdir()) == []
