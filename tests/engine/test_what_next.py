"""The commands that a test names at its end can be copied."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest
import torch

from tests.engine.runs import REPO, final_weights, run_process, train


@pytest.mark.slow
def test_the_command_for_weights_without_a_config_works(videos: Path, tmp_path: Path) -> None:
    run, bare = tmp_path / "a run", tmp_path / "bare.pyth"
    train(videos, run, SOLVER__MAX_EPOCH=1)
    torch.save({"model_state": final_weights(run, 1)}, bare)
    changes = {"TRAIN__ENABLE": False, "TEST__CHECKPOINT_FILE_PATH": bare}
    train(videos, run, **changes)
    lines = (run / "stdout.log").read_text().splitlines()
    first, second = [line.split("  python ")[1] for line in lines if "tools/predict.py" in line]
    for words in (first, second):
        tool, *arguments = shlex.split(words)
        done = run_process([sys.executable, str(REPO / tool), *arguments])
        assert (done.returncode, done.stderr) == (0, "")
    assert "--cfg" not in first
    assert f"--checkpoint {bare} --cfg '{run / 'config_test.yaml'}'" in second
