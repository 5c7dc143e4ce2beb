"""What every tool does with a person's mistakes and with Ctrl-C."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.engine.runs import REPO, TINY_CONFIG, environment
from timesformer.door import door
from timesformer.errors import Interrupted, UserError

TOOLS = sorted(path.stem for path in (REPO / "tools").glob("[a-z]*.py"))

# What makes each tool begin its work; {} is a folder with a video, a list and weights.
BEGINNINGS = {
    "check_dataset": ["{}/train.csv", "--out", "{}/out"],
    "compare_numerics": [],
    "convert_checkpoint": ["{}/weights.pyth", "{}/out.onnx", "--to", "onnx"],
    "demo": ["--checkpoint", "{}/weights.pyth"],
    "extract_frames": ["{}/train.csv", "--out", "{}/out"],
    "lr_find": ["--cfg", TINY_CONFIG],
    "make_motion_shapes": ["--out", "{}/out"],
    "make_shards": ["{}/train.csv", "--out", "{}/out"],
    "merge_checkpoint": ["{}/shares.dcp"],
    "model_info": ["--cfg", TINY_CONFIG],
    "predict": ["{}/a.mp4", "--checkpoint", "{}/weights.pyth"],
    "prepare_dataset": ["{}/train.csv", "--out", "{}/out"],
    "preview": ["--cfg", TINY_CONFIG],
    "profile": ["--cfg", TINY_CONFIG],
    "report": ["{}"],
    "reproduce": ["table2", "--out", "{}/out"],
    "run_net": ["--cfg", TINY_CONFIG],
    "submit": ["--cfg", TINY_CONFIG],
    "visualize": ["embeddings", "--checkpoint", "{}/weights.pyth"],
}

# Ctrl-C is pressed while the first package of these is loaded: the tool has begun, and is not done.
HEAVY = ("numpy", "torch", "submitit", "av", "jinja2", "plotly")
SCRIPT = """
import os, runpy, signal, sys
class Press:
    def find_spec(self, name, path, target=None):
        if name in {heavy!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Press())
sys.argv = {argv!r}
runpy.run_path({door!r}, run_name="__main__")
"""


@pytest.fixture
def material(tmp_path: Path) -> Path:
    for name in ("a.mp4", "weights.pyth", "predictions.npz"):
        (tmp_path / name).touch()
    (tmp_path / "shares.dcp").mkdir()
    (tmp_path / "train.csv").write_text("a.mp4 0\n")
    return tmp_path


@pytest.mark.parametrize("tool", TOOLS)
def test_ctrl_c_ends_a_tool_with_status_130_and_no_traceback(tool: str, material: Path) -> None:
    words = [str(word).replace("{}", str(material)) for word in BEGINNINGS[tool]]
    path = REPO / "tools" / f"{tool}.py"
    script = SCRIPT.format(heavy=HEAVY, argv=[tool, *words], door=str(path))
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment(),
        cwd=material,
        check=False,
    )
    assert done.returncode == 130, done.stderr
    assert done.stderr == "stopped\n"


@pytest.mark.slow
def test_ctrl_c_reaches_no_process_but_the_tools_own(tmp_path: Path) -> None:
    """A terminal sends it to all of them; a helper that obeyed it would show its traceback."""
    process = subprocess.Popen(
        [sys.executable, REPO / "tools" / "make_motion_shapes.py", "--out", tmp_path / "set"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    )
    while process.poll() is None and not list(tmp_path.glob(".set.partial-*/new/videos/*/*.mp4")):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "stopped\n"
    assert [path.name for path in tmp_path.iterdir()] == [".set.lock"]


def code_of(error: BaseException) -> object:
    with pytest.raises(SystemExit) as exit_, door():
        raise error
    return exit_.value.code


def test_what_ends_a_tool_and_how(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(UserError("no such file")) == "error: no such file"  # printed, status 1
    assert code_of(Interrupted(signal.SIGUSR1, saved=True)) == 128 + signal.SIGUSR1
    assert code_of(KeyboardInterrupt()) == 130
    assert code_of(KeyboardInterrupt("stopped. Start it again.")) == 130
    assert capsys.readouterr().err == "stopped\nstopped. Start it again.\n"


def test_our_own_mistakes_keep_their_traceback() -> None:
    with pytest.raises(ZeroDivisionError), door():
        raise ZeroDivisionError


def test_the_log_of_the_package_is_shown_where_that_is_asked_for() -> None:
    level = logging.getLogger("timesformer").level
    try:
        with door(shows_log=True):
            assert logging.getLogger("timesformer").isEnabledFor(logging.INFO)
    finally:
        logging.getLogger("timesformer").setLevel(level)


def test_a_reader_who_has_read_enough_gets_no_traceback() -> None:
    script = "from timesformer.door import door\nwith door():\n    for n in range(100000): print(n)"
    done = subprocess.run(
        ["bash", "-c", 'set -o pipefail; "$0" -c "$1" | head -1', sys.executable, script],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment(),
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGPIPE, "0\n", "")
