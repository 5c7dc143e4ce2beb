"""The same run on a GPU. Skipped without one; fails instead where FAIL_WITHOUT_CUDA=1."""

import pytest
import torch

from tests.engine.runs import TINY_CONFIG, command, losses, metrics, options, run_process
from timesformer.config import load_config
from timesformer.engine.run import start

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def on_cpu(videos, tmp_path_factory):
    output = tmp_path_factory.mktemp("cpu")
    start(load_config(TINY_CONFIG, options(videos, output)))
    return output


@pytest.mark.parametrize(
    ("precision", "tolerance"),
    # Per-step losses after six AdamW steps: rounding of 24, 11, 8 and 11 bits of mantissa.
    [("fp32", 1e-3), ("tf32", 2e-2), ("bf16", 1e-1), ("fp16", 5e-2)],
)
def test_one_gpu_gives_the_losses_of_the_cpu(videos, tmp_path, on_cpu, precision, tolerance):
    opts = options(videos, tmp_path, NUM_GPUS=1, TRAIN__PRECISION=precision)
    start(load_config(TINY_CONFIG, opts))
    assert losses(tmp_path) == pytest.approx(losses(on_cpu), abs=tolerance)
    (final,) = metrics(tmp_path, "test_final")
    assert final["num_videos"] == 10


def test_two_gpus_are_one(videos, tmp_path, on_cpu):
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    done = run_process(command(options(videos, tmp_path, NUM_GPUS=2)))
    assert done.returncode == 0, done.stderr
    assert losses(tmp_path) == pytest.approx(losses(on_cpu), abs=1e-3)
