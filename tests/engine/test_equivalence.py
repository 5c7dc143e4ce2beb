"""However a step is spread over processes and passes, it is the same step.

Three things are left out, because they differ by design: dropout and drop path, which are drawn
for each process and pass; mixing of videos, which happens within one process; and batch norms,
which see what their process sees.
"""

import numpy as np
import pytest

from tests.engine.runs import losses, metrics, said, train
from timesformer.checkpoints import files

pytestmark = pytest.mark.slow

CLIPS_PER_STEP = 16
# Absolute, of losses between 0.9 and 2. The same numbers are added up in another order: float32
# rounds a loss of 1 to 1.2e-7, and after 50 steps of AdamW no loss was further off than 1.5e-7.
TOLERANCE = 1e-6

# 21 videos are steps of 16 and 5; 25 epochs are 50 steps. Four videos, of six views each, are a
# batch of the test, and ten are two and a half. The test is of the averaged weights.
FIFTY_STEPS = {
    "GLOBAL_BATCH_SIZE": CLIPS_PER_STEP,
    "SOLVER__MAX_EPOCH": 25,
    "TRAIN__EVAL_PERIOD": 0,
    "TRAIN__CHECKPOINT_PERIOD": 25,
    "TRAIN__EMA_DECAY": 0.9,
    "TEST__USE_EMA": True,
    "TEST__BATCH_SIZE": 24,
}


def spread(videos, output, processes, passes):
    """The same run in `processes`, with so many passes a step."""
    batch = CLIPS_PER_STEP // passes
    train(videos, output, NUM_PROCS=processes, TRAIN__BATCH_SIZE=batch, **FIFTY_STEPS)


def predictions(output):
    """Scores float32 (10, 4) of the test videos, in the order of the list."""
    with np.load(output / "predictions.npz") as results:
        assert len(set(results["videos"])) == len(results["videos"]) == 10
        return results["scores"]


@pytest.fixture(scope="module")
def whole(videos, tmp_path_factory):
    """One process, one pass: what the others are held against."""
    output = tmp_path_factory.mktemp("whole")
    spread(videos, output, processes=1, passes=1)
    return output


@pytest.mark.parametrize(("processes", "passes"), [(1, 2), (1, 4), (2, 2), (4, 4)])
def test_fifty_steps_are_the_same(videos, tmp_path, whole, processes, passes):
    spread(videos, tmp_path, processes, passes)
    if processes > 1:
        share = CLIPS_PER_STEP // passes // processes
        assert f"{processes} processes x {share} clips x {passes} passes" in said(tmp_path)
    assert len(losses(whole)) == 50
    assert losses(tmp_path) == pytest.approx(losses(whole), rel=0, abs=TOLERANCE)
    assert metrics(tmp_path, "test_final") == metrics(whole, "test_final")
    assert predictions(tmp_path) == pytest.approx(predictions(whole), rel=0, abs=1e-5)


def test_three_processes_count_ten_videos_once(videos, tmp_path, whole):
    train(
        videos,
        tmp_path,
        NUM_PROCS=3,
        TRAIN__ENABLE=False,
        TEST__BATCH_SIZE=24,
        TEST__USE_EMA=True,
        TEST__CHECKPOINT_FILE_PATH=files.epoch_path(str(whole), 25),
    )
    (final,) = metrics(tmp_path, "test_final")
    assert final["num_videos"] == 10
    assert final == metrics(whole, "test_final")[0]
    assert predictions(tmp_path) == pytest.approx(predictions(whole), rel=0, abs=1e-5)
