"""Where the shared test data lies; tests that need it are skipped without it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("TIMESFORMER_TEST_DATA", ROOT.parent / "shared" / "data"))
GOLDEN = DATA.parent / "golden"

needs_shared_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no test data at {DATA}")
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"no golden tensors at {GOLDEN}")
