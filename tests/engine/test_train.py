"""Training runs in this process: what they leave behind, how they continue, what stops them."""

import shutil

import pytest
from safetensors.torch import save_file

from tests.engine.runs import (
    NO_TIMESFORMER,
    final_weights,
    losses,
    metrics,
    same,
    train,
)
from timesformer.checkpoints import files
from timesformer.config import load_config
from timesformer.errors import UserError
from timesformer.weights.formats import to_foreign_names
from timesformer.weights.load import read_weights


def test_a_run_leaves_what_it_promises(videos, tmp_path):
    train(videos, tmp_path, TENSORBOARD__ENABLE=True, TEST__REPORT=True)
    log = (tmp_path / "stdout.log").read_text()
    assert "effective batch: 8 clips a step = 1 processes x 8 clips x 1 passes" in log
    assert 'json_stats: {"' in log
    assert "  tensorboard --logdir" in log
    assert len(metrics(tmp_path, "train_iter")) == 2 * 3  # 21 clips: steps of 8, 8, 5
    assert [r["num_videos"] for r in metrics(tmp_path, "val_epoch")] == [6, 6]
    (final,) = metrics(tmp_path, "test_final")
    assert (final["num_videos"], final["num_views"], final["num_failed"]) == (10, 6, 0)
    assert final["top1_acc"] in [10.0 * n for n in range(11)]
    assert load_config(tmp_path / "config.yaml").SOLVER.MAX_EPOCH == 2
    assert {p.name for p in (tmp_path / "checkpoints").iterdir()} == {
        f"checkpoint_{name}.{kind}"
        for name in ("best", "epoch_00001", "epoch_00002")
        for kind in ("pyth", "json")
    }
    assert list((tmp_path / "tensorboard").iterdir())
    assert (tmp_path / "failed_videos.csv").read_text() == "path,reason\n"
    assert f"report:       {tmp_path / 'report.html'}" in log
    assert "Top-1" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_checkpoint_is_as_documented(videos, tmp_path):
    train(videos, tmp_path, SOLVER__MAX_EPOCH=1, TEST__ENABLE=False)
    checkpoint = files.read(files.epoch_path(str(tmp_path), 1))
    assert checkpoint["epoch"] == 0
    assert "model.blocks.0.temporal_attn.qkv.weight" in checkpoint["model_state"]
    assert {"optimizer_state", "scaler_state", "cfg", "best_top1_err"} <= set(checkpoint)


def test_every_clip_trains_the_network_even_with_a_batch_larger_than_the_set(videos, tmp_path):
    """The released code would have accumulated 64 clips of 21 and never stepped."""
    train(videos, tmp_path, GLOBAL_BATCH_SIZE=64, SOLVER__MAX_EPOCH=1, TEST__ENABLE=False)
    state = files.read(files.epoch_path(str(tmp_path), 1))["optimizer_state"]
    assert {float(entry["step"]) for entry in state["state"].values()} == {1.0}


def test_accumulation_changes_no_loss(videos, tmp_path):
    whole = train(videos, tmp_path / "whole", TEST__ENABLE=False)
    parts = train(videos, tmp_path / "parts", TRAIN__BATCH_SIZE=2, TEST__ENABLE=False)
    assert losses(parts) == pytest.approx(losses(whole), abs=1e-6)


def test_the_number_of_workers_changes_nothing(videos, tmp_path):
    none = train(videos, tmp_path / "none", TEST__ENABLE=False)
    two = train(videos, tmp_path / "two", DATA_LOADER__NUM_WORKERS=2, TEST__ENABLE=False)
    assert losses(two) == losses(none)
    assert same(final_weights(two), final_weights(none))


def test_a_continued_run_is_the_uninterrupted_one(videos, tmp_path):
    changes = {"TIMESFORMER__DROP_PATH_RATE": 0.2, "TIMESFORMER__DROP_RATE": 0.1}
    whole = train(videos, tmp_path / "whole", SOLVER__MAX_EPOCH=3, **changes)
    parts = tmp_path / "parts"
    shutil.copytree(whole, parts)
    for epoch in (2, 3):
        files.epoch_path(str(parts), epoch).unlink()
    train(videos, parts, SOLVER__MAX_EPOCH=3, **changes)
    assert "after 1 of 3 epochs" in (parts / "stdout.log").read_text()
    assert same(final_weights(parts, 3), final_weights(whole, 3))
    first, again = metrics(parts, "test_final")
    assert first == again


def test_a_finished_run_only_tests_again(videos, tmp_path):
    train(videos, tmp_path)
    before = files.epoch_path(str(tmp_path), 2).stat().st_mtime_ns
    train(videos, tmp_path)
    assert files.epoch_path(str(tmp_path), 2).stat().st_mtime_ns == before
    assert len(metrics(tmp_path, "test_final")) == 2


def test_a_broken_newest_checkpoint_is_skipped_by_name(videos, tmp_path):
    train(videos, tmp_path, TEST__ENABLE=False)
    whole = final_weights(tmp_path)
    newest = files.epoch_path(str(tmp_path), 2)
    newest.write_bytes(newest.read_bytes()[:1000])
    train(videos, tmp_path, TEST__ENABLE=False)
    log = (tmp_path / "stdout.log").read_text()
    assert "skipping a broken checkpoint" in log
    assert str(newest) in log
    assert same(final_weights(tmp_path), whole)


def test_finetuning_starts_from_the_weights_and_resumes_itself(videos, tmp_path):
    source = train(videos, tmp_path / "source", SOLVER__MAX_EPOCH=1, TEST__ENABLE=False)
    changes = {
        "TRAIN__FINETUNE": True,
        "TRAIN__CHECKPOINT_FILE_PATH": files.epoch_path(str(source), 1),
        "MODEL__NUM_CLASSES": 5,
        "TEST__ENABLE": False,
    }
    tuned = train(videos, tmp_path / "tuned", **changes)
    log = (tmp_path / "tuned" / "stdout.log").read_text()
    assert "finetuning: Weights from" in log
    assert "newly initialised    2" in log
    final = final_weights(tuned)
    files.epoch_path(str(tuned), 2).unlink()
    train(videos, tuned, **changes)
    assert "after 1 of 2 epochs" in (tuned / "stdout.log").read_text()
    assert same(final_weights(tuned), final)


def test_another_experiment_is_not_continued(videos, tmp_path):
    train(videos, tmp_path, SOLVER__MAX_EPOCH=1, TEST__ENABLE=False)
    with pytest.raises(UserError, match="of another experiment: DATA.NUM_FRAMES was 8 and is 4"):
        train(videos, tmp_path, DATA__NUM_FRAMES=4)
    with pytest.raises(
        UserError, match="already holds checkpoints, which this run would overwrite"
    ):
        train(videos, tmp_path, TRAIN__AUTO_RESUME=False)


def test_a_changed_key_is_said_on_resuming(videos, tmp_path):
    train(videos, tmp_path, SOLVER__MAX_EPOCH=1, TEST__ENABLE=False)
    train(videos, tmp_path, SOLVER__BASE_LR=0.5, TEST__ENABLE=False)
    log = (tmp_path / "stdout.log").read_text()
    assert "resuming, but SOLVER.BASE_LR was 0.001 and is 0.5" in log


def test_random_weights_are_not_tested(videos, tmp_path):
    with pytest.raises(UserError, match="there are no weights to test: .*Set TEST.CHECKPOINT_FILE"):
        train(videos, tmp_path, TRAIN__ENABLE=False)


def test_test_only_gives_the_numbers_of_the_training_run(videos, tmp_path):
    trained = train(videos, tmp_path / "trained")
    path = files.epoch_path(str(trained), 2)
    alone = train(videos, tmp_path / "alone", TRAIN__ENABLE=False, TEST__CHECKPOINT_FILE_PATH=path)
    assert metrics(alone, "test_final") == metrics(trained, "test_final")


def test_a_head_that_does_not_fit_is_not_tested(videos, tmp_path):
    trained = train(videos, tmp_path / "trained", SOLVER__MAX_EPOCH=1, TEST__ENABLE=False)
    path = files.epoch_path(str(trained), 1)
    with pytest.raises(UserError, match="leaves weights of the model random.*NUM_CLASSES"):
        train(
            videos,
            tmp_path / "alone",
            TRAIN__ENABLE=False,
            TEST__CHECKPOINT_FILE_PATH=path,
            MODEL__NUM_CLASSES=7,
        )


@pytest.mark.parametrize(
    "changes",
    [
        {"TRAIN__PRECISION": "bf16"},
        {"MIXUP__ENABLED": True},
        {"MODEL__LABEL_SMOOTHING": 0.1},
        {"SOLVER__OPTIMIZING_METHOD": "sgd"},
        {"SOLVER__ZERO_WD_1D_PARAM": True, "SOLVER__WEIGHT_DECAY": 0.5},
        {"DATA__REVERSE_INPUT_CHANNEL": True},
        {"TIMESFORMER__ATTENTION_TYPE": "space_only"},
        {"TIMESFORMER__ATTENTION_TYPE": "joint_space_time", "TEST__NUM_SPATIAL_CROPS": 1},
        {"DATA__INV_UNIFORM_SAMPLE": True},
        {"DATA__RANDOM_FLIP": True},
        {"TIMESFORMER__ATTENTION_TYPE": "axial"},
        {"TIMESFORMER__ATTENTION_TYPE": "sparse_local_global"},
        {"TIMESFORMER__POS_EMBED": "none"},
        {"TIMESFORMER__HEAD_HIDDEN_DIM": 16},
        {"SOLVER__HEAD_LR_SCALE": 10},
        {"SOLVER__FROZEN_LAYERS": 2},
        {"MODEL__MODEL_NAME": "resnet18_lstm", **NO_TIMESFORMER},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_other_ways_to_train(videos, tmp_path, changes):
    plain = train(videos, tmp_path / "plain", SOLVER__MAX_EPOCH=1, TEST__ENABLE=False)
    other = train(videos, tmp_path / "other", SOLVER__MAX_EPOCH=1, **changes)
    assert all(0 < loss < 5 for loss in losses(other))
    assert metrics(other, "test_final")
    assert losses(other) != losses(plain), "the settings did nothing"


def test_a_transformers_folder_is_tested_and_trained_from(videos, tmp_path):
    """What another program saved gives the numbers of the run that it came from."""
    trained = train(videos, tmp_path / "trained")
    weights = read_weights(files.epoch_path(str(trained), 2))
    folder = tmp_path / "theirs"
    folder.mkdir()
    save_file(
        to_foreign_names(weights.state, "Transformers TimeSformer"), folder / "model.safetensors"
    )
    (folder / "config.json").write_text('{"num_attention_heads": 4}')
    again = train(
        videos, tmp_path / "again", TRAIN__ENABLE=False, TEST__CHECKPOINT_FILE_PATH=folder
    )
    assert metrics(again, "test_final") == metrics(trained, "test_final")
    assert "(Transformers TimeSformer):" in (again / "stdout.log").read_text()
    tuned = train(
        videos,
        tmp_path / "tuned",
        TIMESFORMER__PRETRAINED_MODEL=folder,
        TEST__ENABLE=False,
        SOLVER__MAX_EPOCH=1,
    )
    assert losses(tuned)[0] < losses(trained)[0]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"TIMESFORMER__POS_EMBED": "space"}, "pos_embed space_time in the file, space in"),
        (
            {"TIMESFORMER__ATTENTION_TYPE": "joint_space_time"},
            "holds tensors that the model has no",
        ),
        ({"TIMESFORMER__ATTENTION_TYPE": "axial"}, "lacks tensors that the model has: .*width"),
    ],
)
def test_another_network_than_the_trained_one_is_not_tested(videos, tmp_path, changes, sentence):
    trained = train(videos, tmp_path / "trained", SOLVER__MAX_EPOCH=1, TEST__ENABLE=False)
    path = files.epoch_path(str(trained), 1)
    changes = {"TRAIN__ENABLE": False, "TEST__CHECKPOINT_FILE_PATH": path, **changes}
    with pytest.raises(UserError, match=sentence):
        train(videos, tmp_path / "tested", **changes)


def test_weights_that_fit_in_part_are_taken_only_if_asked_for(videos, tmp_path):
    trained = train(videos, tmp_path / "trained", SOLVER__MAX_EPOCH=1, TEST__ENABLE=False)
    deeper = {
        "TIMESFORMER__PRETRAINED_MODEL": files.epoch_path(str(trained), 1),
        "TIMESFORMER__DEPTH": 3,
        "SOLVER__MAX_EPOCH": 1,
        "TEST__ENABLE": False,
    }
    with pytest.raises(UserError, match=r"lacks tensors that the model has: blocks\.2\."):
        train(videos, tmp_path / "strict", **deeper)
    output = train(videos, tmp_path / "lenient", TRAIN__STRICT_LOADING=False, **deeper)
    assert "newly initialised   20  blocks.2." in (output / "stdout.log").read_text()


def test_recomputing_activations_changes_nothing(videos, tmp_path):
    plain = train(videos, tmp_path / "plain", TEST__ENABLE=False)
    saving = train(videos, tmp_path / "saving", TIMESFORMER__GRAD_CHECKPOINTING=True)
    assert same(final_weights(saving), final_weights(plain))


def test_another_solver_setting_is_used_on_resuming(videos, tmp_path):
    train(videos, tmp_path, SOLVER__MAX_EPOCH=1, TEST__ENABLE=False)
    train(videos, tmp_path, SOLVER__WEIGHT_DECAY=0.7, TEST__ENABLE=False)
    (group,) = files.read(files.epoch_path(str(tmp_path), 2))["optimizer_state"]["param_groups"]
    assert group["weight_decay"] == 0.7


def test_a_finished_run_does_not_answer_for_another(videos, tmp_path):
    train(videos, tmp_path, TEST__ENABLE=False)
    config = (tmp_path / "config.yaml").read_text()
    with pytest.raises(UserError, match="of a finished run: RNG_SEED was 0 and is 1"):
        train(videos, tmp_path, RNG_SEED=1)
    assert (tmp_path / "config.yaml").read_text() == config


RUINOUS = {
    "SOLVER__BASE_LR": 1e30,
    "SOLVER__OPTIMIZING_METHOD": "sgd",
    "SOLVER__CLIP_GRAD_L2NORM": 0,
}


def test_weights_that_the_last_step_ruined_are_not_saved(videos, tmp_path):
    """One step an epoch: its loss is from before the step, and still finite."""
    with pytest.raises(UserError, match="the model's scores are not finite"):
        train(videos, tmp_path, GLOBAL_BATCH_SIZE=64, **RUINOUS)
    assert not files.epoch_paths(str(tmp_path))


def test_a_non_finite_loss_names_step_and_files(videos, tmp_path):
    where = r"not finite in epoch 1, step [23]/3, for .*train/0\d+\.mp4"
    with pytest.raises(UserError, match=where):
        train(
            videos,
            tmp_path,
            **RUINOUS,
        )
    assert not files.epoch_paths(str(tmp_path)), "no checkpoint of ruined weights"
