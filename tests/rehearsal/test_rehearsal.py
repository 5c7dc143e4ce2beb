"""The learning-rate finder, the dry run and the batch that is learnt by heart, on a real run."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
import torch

from tests.engine.runs import NO_TIMESFORMER, TINY_CONFIG, options
from tests.preparation.made import run_door
from timesformer.config import load_config
from timesformer.datasets.motion_shapes import ensure_motion_shapes
from timesformer.errors import UserError
from timesformer.models.layers import DropPath
from timesformer.rehearsal.dry_run import dry_run
from timesformer.rehearsal.lr_find import find_lr
from timesformer.rehearsal.overfit import overfit_one_batch, still
from timesformer.rehearsal.stage import built, changed, first_step_for_ever, stage
from tools import lr_find, run_net


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "shapes"
    ensure_motion_shapes(folder, num_train=21, num_val=6, num_test=10)
    return folder


def config(videos: Path, output: Path, **changes: object):
    return load_config(TINY_CONFIG, options(videos, output, **changes))


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def say(tool, words: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["tool", *map(str, words)])
    tool.main()


# --- the learning rate ----------------------------------------------------------------------------


def test_a_learning_rate_is_found_and_nothing_else_touched(
    videos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    checkpoints = tmp_path / "checkpoints"
    checkpoints.mkdir()
    (checkpoints / "checkpoint_epoch_00001.pyth").write_text("somebody's work")
    opts = options(videos, tmp_path, TIMESFORMER__EMBED_DIM=64)
    say(lr_find, ["--cfg", TINY_CONFIG, "--steps", 60, *opts], monkeypatch)
    said = capsys.readouterr().out
    assert files(tmp_path) == {
        "checkpoints",
        "checkpoints/checkpoint_epoch_00001.pyth",
        "lr_find.json",
        "lr_find.png",
    }
    assert (checkpoints / "checkpoint_epoch_00001.pyth").read_text() == "somebody's work"
    found = json.loads((tmp_path / "lr_find.json").read_text())
    assert found["diverged"]
    assert len(found["rates"]) == len(found["losses"]) == len(found["smoothed"]) <= 60
    assert found["rates"][0] == 1e-7
    assert 1e-5 < found["steepest"] < 0.1  # 1e-3 is what the shipped config trains with
    assert f"SOLVER.BASE_LR {found['steepest']:.1e}  (the suggestion)" in said
    assert said.rstrip().endswith(f"wrote {tmp_path / 'lr_find.json'}")


def test_rates_are_those_of_the_key(videos: Path, tmp_path: Path) -> None:
    """What the optimiser makes of the key for a batch, it makes of it here."""
    changes = {"SOLVER__OPTIMIZING_METHOD": "sgd", "SOLVER__CLIP_GRAD_L2NORM": 0.0}
    points = []
    for stated in (0, 80):  # 8 clips a step: a tenth of the rate
        out = tmp_path / str(stated)
        cfg = config(videos, tmp_path, SOLVER__BASE_LR_BATCH_SIZE=stated, **changes)
        factor = 10 if stated else 1
        find_lr(
            cfg, lowest=0.001 * factor, highest=0.1 * factor, steps=10, fresh_clips=False, out=out
        )
        points.append(json.loads(out.with_suffix(".json").read_text())["losses"])
    assert points[0] == pytest.approx(points[1], rel=1e-3)


def test_fresh_clips_are_others_in_every_step(videos: Path, tmp_path: Path) -> None:
    """At rates that change nothing, the loss of the same clips stays, that of others does not."""
    spread = {}
    for fresh in (False, True):
        out = tmp_path / "found"
        cfg = config(videos, tmp_path)
        said = find_lr(cfg, lowest=1e-12, highest=1e-11, steps=20, fresh_clips=fresh, out=out)
        losses = json.loads((tmp_path / "found.json").read_text())["losses"]
        spread[fresh] = max(losses) - min(losses)
        assert "the loss never fell, so nothing can be suggested" in said
        assert "where --to ends" in said
    assert spread[False] < 1e-4 < spread[True]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--from", "1", "--to", "0.1"], "--from 1, --to 0.1"),
        (["--steps", "3"], "--steps 3: the first must be above 0"),
        (["TRAIN.ENABLE", "False"], "TRAIN.ENABLE is False: there is no training to try"),
        (["NUM_PROCS", "2"], "add NUM_GPUS 0 NUM_PROCS 1 NUM_SHARDS 1 TRAIN.BATCH_SIZE 4"),
        (["DATA.NUM_FRAME", "8"], "DATA.NUM_FRAME is not a config key"),
        (["--out", "/dev/null/x"], "'/dev/null/x.png' cannot be written (because of /dev/null)"),
        (["--out", "."], "--out is the folder '.': add the name"),
    ],
)
def test_mistakes(
    words: list[str],
    sentence: str,
    videos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = ["--cfg", TINY_CONFIG, "--steps", "10", *options(videos, tmp_path), *words]
    code = run_door("lr_find", *given, monkeypatch=monkeypatch)
    assert isinstance(code, str)
    assert sentence in code
    assert "\n" not in code


# --- one batch ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"MIXUP__ENABLED": True, "MODEL__LABEL_SMOOTHING": 0.2, "AUG__RE_PROB": 0.9},
        {"AUG__NUM_SAMPLE": 2, "TRAIN__BATCH_SIZE": 4, "TIMESFORMER__DROP_RATE": 0.5},
    ],
    ids=["plain", "mixed", "dropped"],
)
def test_a_batch_is_learnt_by_heart(
    changes: dict[str, object], videos: Path, tmp_path: Path
) -> None:
    cfg = config(videos, tmp_path / "run", TIMESFORMER__EMBED_DIM=64, **changes)
    said = overfit_one_batch(cfg, steps=150)
    assert re.match(r"loss 0\.00\d\d, 100 % of 8 clips right after \d+ steps", said)
    assert not (tmp_path / "run").exists()


def test_one_that_is_not_says_what_to_look_at(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opts = options(videos, tmp_path / "run", SOLVER__BASE_LR=1e-9)
    words = ["--cfg", TINY_CONFIG, "--overfit-one-batch", "--steps", "2", *opts]
    code = run_door("run_net", *words, monkeypatch=monkeypatch)
    assert isinstance(code, str)  # printed, and status 1
    assert "error: one batch is not learnt by heart: loss " in code
    assert "Look at SOLVER.BASE_LR (tools/lr_find.py suggests one)" in code
    with pytest.raises(UserError, match="--steps is 0"):
        overfit_one_batch(config(videos, tmp_path), steps=0)


def test_the_same_clips_again_and_again(videos: Path, tmp_path: Path) -> None:
    cfg = config(videos, tmp_path, GLOBAL_BATCH_SIZE=16)
    with stage(cfg) as staged:
        run = built(staged)
        assert first_step_for_ever(run) == 16
        first, second, third = (run.feed.next() for _ in range(3))
        assert third is first
        assert second is not first, "a step is of two passes"


def test_only_what_is_drawn_anew_is_still(videos: Path, tmp_path: Path) -> None:
    cfg = config(videos, tmp_path, TIMESFORMER__DROP_PATH_RATE=0.5, TIMESFORMER__DROP_RATE=0.5)
    with stage(cfg) as staged:
        model = built(staged).model
        still(model)
        assert model.training
        assert not any(m.training for m in model.modules() if isinstance(m, DropPath))
        clip = torch.randn(1, 3, 8, 32, 32)
        assert torch.equal(model(clip), model(clip))


@pytest.mark.slow
def test_a_network_with_batch_norms_learns_by_heart_too(videos: Path, tmp_path: Path) -> None:
    cfg = config(videos, tmp_path, MODEL__MODEL_NAME="resnet18_lstm", **NO_TIMESFORMER)
    assert "learn these clips by heart" in overfit_one_batch(cfg, steps=100)


# --- the dry run ----------------------------------------------------------------------------------


def test_a_dry_run_says_what_the_run_takes_and_writes_nothing(
    videos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    opts = options(videos, tmp_path / "run", SOLVER__MAX_EPOCH=5, TRAIN__EVAL_PERIOD=2)
    say(run_net, ["--cfg", TINY_CONFIG, "--dry-run", *opts], monkeypatch)
    said = capsys.readouterr().out
    for line in (
        r"a step: +8 clips: \S+ s of computing, \S+ s of reading videos",
        r"memory: +\d\.\d\d GB measured; 0\.0\d GB predicted for tensors alone",
        r"training: +5 epochs of 3 steps: 0:0\d:\d\d",
        r"validation: +3 times 6 videos: 0:0\d:\d\d",
        r"test: +10 videos, 6 views of each: 0:0\d:\d\d",
        r"whole run: +about 0:0\d:\d\d",
        r"would write: +stdout.log, .*, checkpoints/ with 5 of epochs and the best, predictions",
    ):
        assert re.search(line, said), line
    assert not (tmp_path / "run").exists()


def test_a_dry_run_of_a_test_alone_loads_its_weights(videos: Path, tmp_path: Path) -> None:
    cfg = config(videos, tmp_path / "run", TRAIN__ENABLE=False)
    assert "training" not in dry_run(cfg)
    wrong = tmp_path / "weights.pth"
    torch.save({"nonsense": torch.zeros(3)}, wrong)
    chosen = changed(cfg, {"TEST.CHECKPOINT_FILE_PATH": str(wrong)})
    with pytest.raises(UserError, match=str(wrong)):
        dry_run(chosen)


def test_a_dry_run_finds_what_would_stop_the_run(videos: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="OUTPUT_DIR: the folder /dev/null/run cannot be written"):
        dry_run(config(videos, Path("/dev/null/run")))
    with pytest.raises(UserError, match="2 processes are asked for"):
        dry_run(config(videos, tmp_path, NUM_PROCS=2))
    checkpoints = tmp_path / "checkpoints"
    checkpoints.mkdir()
    (checkpoints / "checkpoint_epoch_00001.pyth").write_text("no checkpoint")
    with pytest.raises(UserError, match="Set TRAIN.AUTO_RESUME True"):
        dry_run(config(videos, tmp_path, TRAIN__AUTO_RESUME=False))
