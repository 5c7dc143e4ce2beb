"""What makes answers quick: nothing heavy is loaded before it is needed. No times are measured."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = sorted(path.stem for path in (ROOT / "tools").glob("[a-z]*.py"))
TINY_CONFIG = ROOT / "configs" / "MotionShapes" / "TimeSformer_divST_tiny.yaml"

# Each takes from a tenth of a second to seconds.
PICTURES = {"matplotlib", "plotly", "sklearn", "umap", "gradio", "wandb", "mlflow"}
HEAVY = {
    "torch",
    "torchvision",
    "numpy",
    "av",
    "cv2",
    "transformers",
    "timm",
    "submitit",
    *PICTURES,
}
# What a run can do without until it is asked for by a key or an address.
SELDOM = {
    *("torchvision", "transformers", "timm", "submitit", "tensorboard", "huggingface_hub"),
    *PICTURES,
}

SCRIPT = """
import atexit, runpy, sys
atexit.register(lambda: print("LOADED:", *sorted({modules!r} & set(sys.modules))))
sys.argv = {argv!r}
{what}
"""


def loaded(
    what: str, modules: set[str], *argv: str
) -> tuple[str, subprocess.CompletedProcess[str]]:
    """The part of `modules` that Python has loaded when the line `what` is done."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(modules=modules, argv=list(argv), what=what)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    last = [line for line in done.stdout.splitlines() if line.startswith("LOADED:")]
    assert last, done.stderr
    return last[-1].removeprefix("LOADED:").strip(), done


def run_tool(tool: str, *args: str) -> tuple[str, subprocess.CompletedProcess[str]]:
    door = ROOT / "tools" / f"{tool}.py"
    what = f"runpy.run_path({str(door)!r}, run_name='__main__')"
    return loaded(what, HEAVY, tool, *args)


@pytest.mark.parametrize("what", ["import timesformer", "import timesformer.config"])
def test_the_package_is_light(what: str) -> None:
    heavy, done = loaded(what, HEAVY)
    assert done.returncode == 0, done.stderr
    assert heavy == ""


@pytest.mark.parametrize("tool", TOOLS)
def test_help_is_answered_at_once(tool: str) -> None:
    heavy, done = run_tool(tool, "--help")
    assert done.returncode == 0, done.stderr
    assert heavy == ""


@pytest.mark.parametrize("tool", ["run_net", "model_info"])
def test_a_mistake_in_the_config_is_answered_at_once(tool: str) -> None:
    heavy, done = run_tool(tool, "--cfg", str(TINY_CONFIG), "TRAIN.BATCHSIZE", "3")
    assert done.returncode == 1
    assert done.stderr.startswith("error: command line: TRAIN.BATCHSIZE is not a config key.")
    assert heavy == ""


def test_a_run_does_not_load_what_no_key_asks_for() -> None:
    seldom, done = loaded("import timesformer.engine.run", SELDOM)
    assert done.returncode == 0, done.stderr
    assert seldom == ""
