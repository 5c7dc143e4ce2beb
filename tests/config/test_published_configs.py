"""The configs that are built on a recipe: their heads tell the truth, and no key stands in vain."""

from __future__ import annotations

import os
import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from timesformer.config import load_config
from timesformer.config.load import BASE_KEY, flatten, read_yaml
from timesformer.profiling.training_cost import GpuHours, gpu_hours, spelt

REPO = Path(__file__).parents[2]
CONFIGS = REPO / "configs"
RECIPES = sorted((CONFIGS / "recipes").glob("*.yaml"))
PAGE = REPO / "docs" / "configs.md"


@cache
def bases(path: Path) -> list[Path]:
    """The files that `path` names as ``_BASE_``, in their order."""
    named = yaml.safe_load(path.read_text()).get(BASE_KEY, [])
    names = [named] if isinstance(named, str) else named
    return [Path(os.path.normpath(path.parent / name)) for name in names]


def lineage(path: Path) -> list[Path]:
    """All files that `path` is built on, over several generations."""
    return [older for base in bases(path) for older in (base, *lineage(base))]


PUBLISHED = sorted(
    path for path in CONFIGS.glob("*/*.yaml") if CONFIGS / "recipes" / "2021.yaml" in lineage(path)
)
each_published = pytest.mark.parametrize(
    "path", PUBLISHED, ids=lambda path: f"{path.parent.name}/{path.stem}"
)


@cache
def hours(path: Path) -> GpuHours:
    found = gpu_hours(load_config(path))
    assert found is not None
    return found


def head(path: Path) -> list[str]:
    """The comment at the top, without its signs."""
    lines = path.read_text().splitlines()
    end = next(at for at, line in enumerate(lines) if not line.startswith("#"))
    return [line.removeprefix("#").strip() for line in lines[:end]]


def name(path: Path) -> str:
    """As the documents call it: ``configs/UCF101/x.yaml``."""
    return path.relative_to(REPO).as_posix()


def without_folder(path: Path) -> dict[str, Any]:
    """All keys and values but the folder of the results."""
    resolved = dict(flatten(load_config(path)))
    del resolved["OUTPUT_DIR"]
    return resolved


def test_all_of_them_are_here():
    folders = {path.parent.name for path in PUBLISHED}
    assert folders >= {"Kinetics", "Kinetics600", "SSv2", "Diving48", "HowTo100M", "UCF101"}
    assert len(PUBLISHED) > 60


@each_published
def test_the_head_has_the_calculated_cost(path):
    assert f"{hours(path)}." in head(path)


@each_published
def test_the_command_of_the_head_is_accepted(path):
    command = " ".join(line.removesuffix("\\") for line in head(path)).partition("python ")[2]
    door, flag, config, *opts = shlex.split(command)
    assert (door, flag, config) == ("tools/run_net.py", "--cfg", name(path))
    cfg = load_config(REPO / config, opts)
    assert cfg.DATA.PATH_TO_DATA_DIR
    starts_from = cfg.TIMESFORMER.PRETRAINED_MODEL or cfg.TEST.CHECKPOINT_FILE_PATH
    assert starts_from, "no published number is from random weights"


@each_published
def test_a_run_has_a_folder_of_its_own(path):
    stem = path.stem.removeprefix("TimeSformer_").replace("_TEST", "_test")
    assert load_config(path).OUTPUT_DIR == f"outputs/{path.parent.name}/{stem}"


@each_published
def test_a_key_says_something_else_than_its_base(path):
    below: dict[str, Any] = {}
    for base in bases(path):
        below |= dict(flatten(read_yaml(base)))
    own = dict(flatten(yaml.safe_load(path.read_text())))
    del own[BASE_KEY]
    assert {key: value for key, value in own.items() if below.get(key) == value} == {}


def test_no_two_mean_the_same():
    resolved = {path: without_folder(path) for path in PUBLISHED}
    twins = [
        (name(one), name(other))
        for at, one in enumerate(PUBLISHED)
        for other in PUBLISHED[:at]
        if resolved[one] == resolved[other]
    ]
    assert twins == []


def test_they_are_built_from_few_bases():
    """Two recipes under all of them, and no long way down to these."""
    assert [path.stem for path in RECIPES] == ["2021", "modern"]
    used = {base for path in PUBLISHED for base in lineage(path)}
    assert {base for base in used if not bases(base)} == set(RECIPES)
    assert used <= {*PUBLISHED, *RECIPES}
    assert max(len(lineage(path)) for path in PUBLISHED) <= 4


# --- docs/configs.md ------------------------------------------------------------------------------

ROWS = re.findall(
    r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \| \[[^]]+\]\(\.\./(configs/[^)]+)\) \|$",
    PAGE.read_text(),
    re.MULTILINE,
)
FOLDER_OF = {"Kinetics-400": "Kinetics", "Kinetics-600": "Kinetics600", "Diving-48": "Diving48"}


def test_every_published_config_is_in_the_tables():
    variants = {name(path) for path in PUBLISHED if re.search(r"_TEST|_4gpus", path.stem)}
    assert {config for *_, config in ROWS} == {name(path) for path in PUBLISHED} - variants


@pytest.mark.parametrize(("what", "data", "top1", "cost", "config"), ROWS)
def test_a_row_says_what_the_head_says(what, data, top1, cost, config):
    path = REPO / config
    said = " ".join(head(path))
    assert path.parent.name == FOLDER_OF.get(data, data)
    assert cost == spelt(hours(path).training)
    if top1 == "none":
        assert "Nothing is published" in said
    else:
        assert "Reproduces: " in said
    for number in re.findall(r"\d\d\.\d", top1):
        assert f"top-1 {number}" in said
    if percent := re.search(r"(?:about )?\d %", top1):
        assert percent[0] in said
