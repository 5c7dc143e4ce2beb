"""torchrun's restarts on one machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.distributed.ranks import WHAT


@pytest.mark.slow
def test_torchrun_restarts_what_was_killed(tmp_path):
    """`TORCH_DISABLE_SHARE_RDZV_TCP_STORE` as in slurm_scripts; without it: test_networks.py."""
    outside = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE")}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", "2", "--max-restarts", "1", "-m", "tests.distributed.ranks"),
            *("OUTPUT_DIR", str(tmp_path)),
        ],
        env=outside | {WHAT: "it dies", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "exitcode: -9" in done.stderr, "it was to be killed"
    assert (tmp_path / "rank 0").read_text() == "[0, 1]"
