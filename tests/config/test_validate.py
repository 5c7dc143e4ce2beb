"""Keys that contradict each other."""

import pytest

from timesformer.config import load_config
from timesformer.errors import UserError

RELATIVE = [
    *("DATA.TRAIN_JITTER_SCALES_RELATIVE", [0.08, 1.0]),
    *("DATA.TRAIN_JITTER_ASPECT_RELATIVE", [0.75, 1.3333]),
]


@pytest.mark.parametrize(
    ("opts", "sentence"),
    [
        (["TRAIN.ENABLE", False, "TEST.ENABLE", False], "nothing to do"),
        (["NUM_GPUS", 1, "NUM_PROCS", 2], "NUM_PROCS 2 is for CPU runs, but NUM_GPUS is 1"),
        (["NUM_SHARDS", 2, "SHARD_ID", 2], "SHARD_ID is 2, but must be below NUM_SHARDS 2"),
        (["DATA.TRAIN_JITTER_SCALES", [320, 256]], "must rise and start at or above"),
        (["DATA.TRAIN_CROP_SIZE", 272], "start at or above DATA.TRAIN_CROP_SIZE 272"),
        (["DATA.TEST_CROP_SIZE", 272], "TEST_CROP_SIZE 272 must not exceed"),
        (
            ["TIMESFORMER.EMBED_DIM", 192],
            "EMBED_DIM is 192, but .*NUM_HEADS is not set.*3 is usual",
        ),
        (
            ["TIMESFORMER.EMBED_DIM", 768, "TIMESFORMER.NUM_HEADS", 5],
            "EMBED_DIM 768 must be a multiple of .*NUM_HEADS 5",
        ),
        (["TIMESFORMER.TIME_EMBED_INIT", "sincos"], "TIME_EMBED_INIT sincos needs .*above 0"),
        (["SOLVER.WARMUP_EPOCHS", 15], "WARMUP_EPOCHS 15.0 must end before SOLVER.MAX_EPOCH 15"),
        (
            ["SOLVER.LR_POLICY", "steps_with_relative_lrs", "SOLVER.STEPS", [0, 5]],
            "SOLVER.STEPS \\[0, 5\\] and SOLVER.LRS \\[\\] must be of one length",
        ),
        (["SOLVER.MOMENTUM", 0.0], "NESTEROV True needs SOLVER.MOMENTUM above 0"),
        (["TRAIN.EMA_EVAL", True], "TRAIN.EMA_EVAL is True, but TRAIN.EMA_DECAY 0 makes no"),
        (["TEST.USE_EMA", True], "TEST.USE_EMA is True, but TRAIN.EMA_DECAY 0 makes no"),
        (["SOLVER.LAYER_DECAY", 0.0], "LAYER_DECAY is 0.0, but must be float, above 0 and at most"),
        (["TRAIN.PRECISION", "fp16", "NUM_GPUS", 0], "fp16 needs a GPU, but NUM_GPUS is 0"),
        (["TRAIN.FINETUNE", True], "FINETUNE is True, but TRAIN.CHECKPOINT_FILE_PATH does not"),
        (["NUM_SHARDS", 2, "INIT_METHOD", "foo"], "INIT_METHOD is 'foo', but must be tcp://"),
        (
            ["DATA.TRAIN_JITTER_SCALES_RELATIVE", [0.08, 1.0]],
            "SCALES_RELATIVE \\[0.08, 1.0\\] and .*ASPECT_RELATIVE \\[\\] must be two rising",
        ),
        (
            [*RELATIVE, "DATA.TRAIN_JITTER_SCALES_RELATIVE", [1.0, 0.08]],
            "must be two rising numbers each",
        ),
        ([*RELATIVE, "DATA.INV_UNIFORM_SAMPLE", True], "INV_UNIFORM_SAMPLE is about"),
        (
            ["AUG.AA_TYPE", "rand-m9", "AUG.COLOR_JITTER", 0.4],
            "AUG.AA_TYPE rand-m9 changes colours itself, and .* AUG.COLOR_JITTER 0.4",
        ),
        (["AUG.ENABLE", False], "AUG.ENABLE is False, which cannot be honoured"),
        (
            ["MIXUP.ENABLED", True, "MIXUP.ALPHA", 0, "MIXUP.CUTMIX_ALPHA", 0],
            "MIXUP.ALPHA and MIXUP.CUTMIX_ALPHA are both 0",
        ),
    ],
)
def test_contradictions(opts, sentence):
    with pytest.raises(UserError, match=sentence):
        load_config(None, opts)


def test_a_large_test_crop_is_fine_where_no_single_crop_is_cut():
    opts = ["TRAIN.ENABLE", False, "DATA.TEST_CROP_SIZE", 448, "TEST.NUM_SPATIAL_CROPS", 3]
    assert load_config(None, opts).DATA.TEST_CROP_SIZE == 448


def test_a_crop_larger_than_the_scales_is_fine_where_they_are_not_used():
    opts = [*RELATIVE, "DATA.TRAIN_CROP_SIZE", 448]
    assert load_config(None, opts).DATA.TRAIN_CROP_SIZE == 448
