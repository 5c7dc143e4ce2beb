"""A real run of Weights & Biases, offline: what lies on the disk is what would be sent."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.runs import REPO, environment

pytest.importorskip("wandb")

BLOCK = 32768
WHOLE, LAST = 1, 4

SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from timesformer.writers.interface import Histogram
from timesformer.writers.reporter import Reporter
from timesformer.writers.wandb import WeightsAndBiases

folder, step = Path(sys.argv[1]), int(sys.argv[2])
writer = WeightsAndBiases(
    folder, project="p", name="", mode=sys.argv[3], config={"SOLVER.BASE_LR": 0.125}
)
reporter = Reporter([writer])
reporter.numbers("train_iter", step, {"loss": 0.5, "epoch": "1/2"})
reporter.histogram("weights/head", 1, Histogram(np.array([1.0, 5.0]), np.array([-1.0, 0.0, 1.0])))
reporter.clip("val_clips/00", 1, np.zeros((2, 16, 16, 3), np.uint8), 8.0, "up, predicted up")
reporter.confusion_matrix("val_confusion", 1, np.eye(2), ["up", "down"])
reporter.numbers("test_final", 0, {"top1_acc": 75.0})
reporter.results({})
reporter.close()
"""


def run(folder: Path, step: int, mode: str = "offline") -> subprocess.CompletedProcess[str]:
    """In a process of its own: the package changes the one that imports it."""
    own = {"WANDB_CACHE_DIR": str(folder / "c"), "WANDB_CONFIG_DIR": str(folder / "c")}
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), str(step), mode],
        env=environment() | own | {"HOME": str(folder), "WANDB_BASE_URL": "http://127.0.0.1:1"},
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def records(path: Path) -> list:
    """Every record of a .wandb file, which is a log as LevelDB's, after a header of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, parts, found = path.read_bytes(), 7, b"", []
    while place + 7 <= len(content):
        if BLOCK - place % BLOCK < 7:  # too little for a piece: the rest of a block is empty
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        parts += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (WHOLE, LAST):
            found.append(Record.FromString(parts))
            parts = b""
    return found


@pytest.mark.slow
def test_an_offline_run_holds_everything_and_goes_on(tmp_path: Path) -> None:
    for step in (10, 20):
        done = run(tmp_path, step)
        assert done.returncode == 0, done.stderr
    identity = (tmp_path / "wandb_id.txt").read_text().strip()
    first, second = sorted(tmp_path.glob("wandb/offline-run-*"))
    assert first.name.endswith(identity)
    assert second.name.endswith(identity), "the same run goes on"
    found = records(next(second.glob("*.wandb")))
    (header,) = [record.run for record in found if record.HasField("run")]
    assert (header.project, header.display_name) == ("p", tmp_path.name)
    config = {item.key: json.loads(item.value_json) for item in header.config.update}
    assert config["SOLVER.BASE_LR"] == 0.125
    history = {
        tuple(item.nested_key): json.loads(item.value_json)
        for record in found
        if record.HasField("history")
        for item in record.history.item
    }
    assert history["train_iter/loss",] == 0.5
    assert history["train_iter/step",] == 20
    assert history["weights/head", "values"] == [1, 5]
    assert history["val_clips/00", "caption"] == "up, predicted up"
    assert [path.suffix for path in second.rglob("media/videos/**/*.*")] == [".gif"]
    assert [path.suffix for path in second.rglob("media/images/**/*.*")] == [".png"]
    glob = [r.metric.glob_name or r.metric.name for r in found if r.HasField("metric")]
    assert "train_iter/*" in glob, "each kind counts its own steps"


@pytest.mark.slow
def test_no_login_is_said_in_a_sentence(tmp_path: Path) -> None:
    done = run(tmp_path, 1, mode="online")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "UserError: WANDB.ENABLE is True, but Weights & Biases cannot be reached" in last
    assert "wandb login" in last
    assert not (tmp_path / "wandb_id.txt").exists()
