"""tools/visualize.py as people call it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.runs import REPO, environment
from timesformer.errors import UserError
from timesformer.visualization.arguments import parse_args
from timesformer.visualization.command import run as visualize


def tool(*args: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPO / "tools" / "visualize.py"), *map(str, args)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=cwd, env=environment()
    )


@pytest.mark.slow
def test_each_picture_by_one_command(run: Path, clips: list[Path], tmp_path: Path) -> None:
    last = ["DATA_LOADER.NUM_WORKERS", "0"]
    done = tool("attention", clips[0], "--checkpoint", run, "--class", "up", *last, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    written = [run / f"attention_00000.{kind}" for kind in ("mp4", "png")]
    assert done.stdout == "".join(f"wrote {path}\n" for path in written)
    done = tool("embeddings", "--checkpoint", run, *last, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    written = [run / f"embeddings_test.{kind}" for kind in ("png", "html", "npz")]
    assert done.stdout == "".join(f"wrote {path}\n" for path in written)
    more = ["--features", written[-1], "-k", "2", "--out", "near"]
    done = tool("neighbours", clips[0], "--checkpoint", run, *more, *last, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "wrote near.png"
    assert len(done.stdout.splitlines()) == 3


@pytest.mark.slow
def test_a_mistake_is_a_sentence_and_status_1(tmp_path: Path) -> None:
    done = tool("attention", "none.mp4", "--checkpoint", "none", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "error: There is no video 'none.mp4'.\n")


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["attention", "none.mp4"], "There is no video 'none.mp4'"),
        (["attention", "VIDEO", "--head", "1"], "--layer and --head are .*: add --raw"),
        (["attention", "VIDEO", "--raw", "--class", "a"], "leave out --class or --raw"),
        (["attention", "VIDEO"], "nowhere"),
        (["embeddings", "--features", "none.npz"], "There is no file 'none.npz' .--features."),
        (["neighbours", "none.mp4"], "There is no video 'none.mp4'"),
    ],
)
def test_mistakes(
    words: list[str], answer: str, clips: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [str(clips[0]) if word == "VIDEO" else word for word in words]
    monkeypatch.setattr(sys, "argv", ["visualize.py", *words, "--checkpoint", "nowhere"])
    with pytest.raises(UserError, match=answer):
        visualize(parse_args("…"))


@pytest.mark.parametrize("what", ["attention", "embeddings", "neighbours"])
def test_a_folder_that_is_given_as_out_stays(
    what: str, run: Path, clips: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine.png"
    mine.mkdir()
    (mine / "a.txt").write_text("years of work")
    video = [] if what == "embeddings" else [str(clips[0])]
    for out, answer in ((str(mine), "it is a folder"), (".", "--out is the folder '.'")):
        words = [what, *video, "--checkpoint", str(run), "--out", out]
        monkeypatch.setattr(sys, "argv", ["visualize.py", *words])
        with pytest.raises(UserError, match=answer):
            visualize(parse_args("…"))
    assert sorted(tmp_path.rglob("*")) == [mine, mine / "a.txt"]
    assert (mine / "a.txt").read_text() == "years of work"


def test_pairs_of_the_config_stand_last(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["attention", "a.mp4", "--checkpoint", "x", "TEST.NUM_SPATIAL_CROPS", "1"]
    monkeypatch.setattr(sys, "argv", ["visualize.py", *words])
    assert parse_args("").overrides == ["TEST.NUM_SPATIAL_CROPS", "1"]


def test_an_unknown_option_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["attention", "a.mp4", "--checkpoint", "x", "--rollout"]
    monkeypatch.setattr(sys, "argv", ["visualize.py", *words])
    with pytest.raises(SystemExit) as stop:
        parse_args("")
    assert stop.value.code == 2
    assert "unrecognized arguments: --rollout" in capsys.readouterr().err
