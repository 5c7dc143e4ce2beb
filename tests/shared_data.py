"""Where the shared test data lies; tests that need it are skipped without it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("TIMESFORMER_TEST_DATA", ROOT.parent / "shared" / "data"))
GOLDEN = DATA.parent / "golden"
START_SLURM = DATA.parent / "slurm" / "start_slurm.sh"
NETNS = START_SLURM.with_name("netns.sh")

needs_shared_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no test data at {DATA}")
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"no golden tensors at {GOLDEN}")
needs_slurm = pytest.mark.skipif(
    not START_SLURM.is_file() or os.geteuid() != 0,
    reason=f"a Slurm of our own is started by {START_SLURM}, as root",
)
needs_networks = pytest.mark.skipif(
    not NETNS.is_file() or os.geteuid() != 0 or shutil.which("ip") is None,
    reason=f"networks of our own are made by {NETNS}, as root, with iproute2",
)
