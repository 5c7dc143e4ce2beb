"""The tool as people use it: real runs, real interruptions."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.engine.runs import REPO
from tests.experiments.small import TOOL, definition, write
from timesformer.datasets.motion_shapes import ensure_motion_shapes
from timesformer.errors import UserError
from timesformer.experiments import reproduce
from timesformer.experiments.table import markdown

pytestmark = pytest.mark.slow


def command(folder: Path, *words: str, runs: str = "runs") -> list[str]:
    place = ["--out", str(folder / "out"), "--runs", str(folder / runs)]
    return [sys.executable, str(TOOL), str(folder / "small.yaml"), *place, *words]


def tool(folder: Path, *words: str, runs: str = "runs") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(folder, *words, runs=runs),
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """small.yaml, and what came of it."""
    folder = tmp_path_factory.mktemp("experiment")
    ensure_motion_shapes(folder / "shapes", num_train=24, num_val=4, num_test=10)
    write(folder / "small.yaml", definition(folder / "shapes"))
    done = tool(folder)
    assert done.returncode == 0, done.stderr
    return folder


def result(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "out" / "small.json").read_text()))


def means(folder: Path) -> list[float]:
    return [cell["mean"] for cell in result(folder)["cells"]]


def test_a_table_its_values_and_a_plot(folder: Path) -> None:
    found = result(folder)
    assert (folder / "out" / "small.md").read_text() == markdown(found)
    assert (folder / "out" / "small.png").read_bytes().startswith(b"\x89PNG")
    divided, space = found["cells"]
    assert (divided["row"], space["row"]) == ("divided", "space only")
    assert divided["num_videos"] == 10
    assert divided["gflops"] > space["gflops"] > 0
    (run,) = divided["runs"]
    assert run["top1_acc"] == divided["mean"] == divided["values"][0]
    assert run["seconds"] > 0
    assert run["cpu_seconds"] > 0
    assert run["threads"] == 1
    row = next(line for line in markdown(found).splitlines() if line.startswith("| divided | "))
    low, high = divided["interval"]
    assert f"[{low:.1f} to {high:.1f}]" in row
    assert markdown(found).splitlines()[2].endswith("| 59.5 |")


def test_what_is_done_is_not_done_again(folder: Path) -> None:
    metrics = sorted((folder / "runs").rglob("metrics.jsonl"))
    before = [path.stat().st_mtime_ns for path in metrics]
    assert len(before) == 2
    dry = tool(folder, "--dry-run")
    assert dry.stdout.count("\n  done ") == 2
    assert tool(folder).returncode == 0
    assert [path.stat().st_mtime_ns for path in metrics] == before


def test_stopped_in_the_middle_and_continued_it_is_the_same_table(folder: Path) -> None:
    expected = means(folder)
    divided, space = result(folder)["cells"]
    shutil.copytree(folder / "runs" / space["identity"], folder / "stopped" / space["identity"])
    with subprocess.Popen(
        command(folder, runs="stopped"), cwd=REPO, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for(folder / "stopped" / divided["identity"], "epoch 3/10")
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert "the same command goes on" in said
    assert tool(folder, "--dry-run", runs="stopped").stdout.count("\n  begun ") == 1
    assert tool(folder, runs="stopped").returncode == 0
    assert any("continuing " in path.read_text() for path in outputs(folder / "stopped"))
    assert means(folder) == expected


def outputs(runs: Path) -> list[Path]:
    return list(runs.rglob("output.txt"))


def wait_for(runs: Path, words: str) -> None:
    """Until the output of a run holds `words`."""
    deadline = time.monotonic() + 120
    while not any(words in path.read_text() for path in outputs(runs)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_run_that_fails_is_named_and_the_others_go_on(folder: Path) -> None:
    tree = definition(folder / "shapes")
    tree["rows"]["too fast"] = {"SOLVER.BASE_LR": 1e30}
    tree["checks"] = [{"cell": ["divided", "motion"], "at_least": 101}]
    write(folder / "fails.yaml", tree)
    words = command(folder)
    words[2] = str(folder / "fails.yaml")
    done = subprocess.run(words, cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    error = done.stderr[done.stderr.index("error: fails is not reproduced:") :]
    assert "the run TimeSformer_divST_tiny-" in error
    assert "/seed_0/output.txt" in error
    assert "divided (motion): " in error
    assert "to be at least 101.00" in error
    assert "| too fast | - |" in (folder / "out" / "fails.md").read_text()


def test_numbers_that_are_not_the_committed_ones_are_said(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(folder / "runs", tmp_path / "runs")
    for run in (tmp_path / "runs").glob("*/seed_0"):
        shutil.copytree(run, run.with_name("seed_1"))  # nothing is judged of a single seed
    committed = result(folder)
    for cell in committed["cells"]:
        cell["mean"], cell["standard_error"] = cell["mean"] + 300, 1
        cell["runs"] *= 2
    place = tmp_path / reproduce.COMMITTED
    place.mkdir(parents=True)
    (place / "small.json").write_text(json.dumps(committed))
    with pytest.raises(UserError, match="divided .motion.: .* now, 3.* committed"):
        reproduce.reproduce(
            str(folder / "small.yaml"),
            root=tmp_path,
            out=tmp_path,
            runs=tmp_path / "runs",
            seeds=[0, 1],
        )
    said = capsys.readouterr().out
    assert said.count("**fails**: ") == 2
    assert said.startswith("4 of 4 runs were done before, by commit ")


def test_without_a_name_it_lists_what_there_is() -> None:
    done = subprocess.run(
        [sys.executable, str(TOOL)], cwd=REPO, capture_output=True, text=True, check=True
    )
    names = [path.stem for path in (REPO / reproduce.DEFINITIONS).glob("*.yaml")]
    assert [name for name in names if f"  {name} " not in done.stdout] == []


def test_an_unknown_name_is_answered_by_the_known_ones() -> None:
    with pytest.raises(
        UserError, match="no experiment and no file 'tabel1'. Experiments: .*table1"
    ):
        reproduce.definition("tabel1", REPO)
