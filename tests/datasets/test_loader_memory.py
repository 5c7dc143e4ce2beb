"""A long list costs each worker process next to nothing, however the process is started."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shared_data import ROOT

SCRIPT = ROOT / "benchmarks" / "loader_memory.py"


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_share_the_list(tmp_path: Path, method: str) -> None:
    out = tmp_path / "memory.json"
    lines = ["--lines", "200000", "--workers", "2", "--methods", method, "--out", str(out)]
    subprocess.run([sys.executable, str(SCRIPT), *lines], check=True, stdout=subprocess.PIPE)
    found = json.loads(out.read_text())[method]
    # As Python strings in a list, 200,000 paths of 70 letters are 24 MB, and copied by each worker.
    assert found["added_mb_per_worker"] < 10
