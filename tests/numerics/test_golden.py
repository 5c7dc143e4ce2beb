"""Trainings come to the numbers that are kept in golden/: see CONTRIBUTING.md, "Numbers"."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from timesformer.config import load_config
from timesformer.engine.run import start
from timesformer.models.attention import ATTENTION_SCHEMES
from timesformer.rehearsal.numerics import (
    Numbers,
    difference,
    make_material,
    read_golden,
    read_run,
    settings,
)

HERE = Path(__file__).parent
CASES = sorted((HERE / "cases").glob("*.yaml"))
FAST = ("divided_space_time",)


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("material")
    make_material(folder, CASES)
    return folder


def golden(case: Path) -> Numbers:
    return read_golden(HERE / "golden" / f"{case.stem}.json")


def marked(case: Path) -> object:
    marks = () if case.stem in FAST else (pytest.mark.slow,)
    return pytest.param(case, marks=marks, id=case.stem)


@pytest.mark.parametrize("case", [marked(case) for case in CASES])
def test_a_training_comes_to_the_numbers_it_came_to(
    case: Path, material: Path, tmp_path: Path
) -> None:
    start(load_config(case, settings(case, material, tmp_path)))
    kept, numbers = golden(case), read_run(case, material, tmp_path)
    assert numbers.clips == kept.clips, "the clips are drawn or decoded otherwise: no numerics"
    if numbers.random != kept.random:
        pytest.skip(f"PyTorch {torch.__version__} draws other random numbers from a seed")
    found = difference(kept, numbers)
    assert found.is_rounding, str(found)
    if numbers.machine == kept.machine:
        assert found.is_none, f"on a machine like that of the golden file: {found}"


def test_every_scheme_has_a_case_and_every_case_a_golden_file() -> None:
    names = {case.stem for case in CASES}
    assert set(ATTENTION_SCHEMES.names()) <= names
    assert {path.stem for path in (HERE / "golden").iterdir()} == names
    assert all(len(golden(case).losses) == 50 for case in CASES)
