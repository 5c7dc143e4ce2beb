"""Keys that contradict each other."""

import pytest

from timesformer.config import load_config
from timesformer.errors import UserError


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
        (["TRAIN.PRECISION", "fp16", "NUM_GPUS", 0], "fp16 needs a GPU, but NUM_GPUS is 0"),
        (["TRAIN.FINETUNE", True], "FINETUNE is True, but TRAIN.CHECKPOINT_FILE_PATH does not"),
        (["NUM_SHARDS", 2, "INIT_METHOD", "foo"], "INIT_METHOD is 'foo', but must be tcp://"),
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
