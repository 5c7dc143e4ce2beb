"""Learning rates at tabulated epochs."""

import pytest

from timesformer.config import load_config
from timesformer.optim import lr_at

STEPS = ["SOLVER.LR_POLICY", "steps_with_relative_lrs", "SOLVER.STEPS", [0, 11, 14]]
RELEASED = [*STEPS, "SOLVER.LRS", [1, 0.1, 0.01], "SOLVER.BASE_LR", 0.005]


@pytest.mark.parametrize(
    ("epoch", "lr"),
    [(0, 0.005), (10.999, 0.005), (11, 0.0005), (13.5, 0.0005), (14, 0.00005), (14.99, 0.00005)],
)
def test_released_steps(epoch, lr):
    assert lr_at(epoch, load_config(None, RELEASED)) == pytest.approx(lr)


@pytest.mark.parametrize(("epoch", "lr"), [(0, 1.0), (5, 0.55), (10, 0.1), (2.5, 0.868198)])
def test_cosine(epoch, lr):
    opts = ["SOLVER.BASE_LR", 1.0, "SOLVER.COSINE_END_LR", 0.1, "SOLVER.MAX_EPOCH", 10]
    assert lr_at(epoch, load_config(None, opts)) == pytest.approx(lr, abs=1e-6)


def test_warm_up_is_linear_and_meets_the_policy():
    opts = [*RELEASED, "SOLVER.WARMUP_EPOCHS", 2, "SOLVER.WARMUP_START_LR", 0.001]
    cfg = load_config(None, opts)
    assert [lr_at(e, cfg) for e in (0, 1, 2)] == pytest.approx([0.001, 0.003, 0.005])
