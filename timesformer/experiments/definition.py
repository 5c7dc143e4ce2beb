"""From the YAML file of an experiment to its runs."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from timesformer.config.defaults import KEYS
from timesformer.config.load import flatten, load_config, pair_up, read_yaml
from timesformer.errors import UserError
from timesformer.experiments.plan import (
    COMPUTED,
    KINDS,
    MEASURES,
    Cell,
    Check,
    Experiment,
    Panel,
    Run,
)
from timesformer.registry import closest

PARTS = {
    "title": str,
    "claim": str,
    "source": str,
    "seeds": list,
    "cfg": str,
    "changes": dict,
    "columns": dict,
    "rows": dict,
    "published": dict,
    "plot": list,
    "checks": list,
}
NEEDED = ("title", "claim", "columns", "rows")
FORMS = {str: "a text", list: "a list", dict: "a mapping"}
NOT_OF_THE_EXPERIMENT = ("OUTPUT_DIR", "RNG_SEED")


def read_experiment(
    path: Path, *, runs: Path, seeds: Sequence[int] = (), overrides: Sequence[str] = ()
) -> Experiment:
    """The experiment of a file.

    Args:
        path: the definition.
        runs: the folder that holds, or will hold, a folder for each run.
        seeds: instead of the file's.
        overrides: KEY VALUE pairs that win in every run.

    Raises:
        UserError: the file is no definition, or one of its configs is none.
    """
    tree = read_yaml(path)
    check_parts(tree, path)
    if seeds:
        seeds = checked_seeds(seeds, "--seeds")
    else:
        seeds = checked_seeds(tree.get("seeds", [0]), f"{path}: seeds")
    cells = [
        cell_of(tree, path, row, column, runs, seeds, dict(pair_up(overrides)))
        for row in tree["rows"]
        for column in tree["columns"]
    ]
    rows, columns = list(tree["rows"]), list(tree["columns"])
    return Experiment(
        name=path.stem,
        title=tree["title"],
        claim=" ".join(tree["claim"].split()),
        source=" ".join(tree.get("source", "").split()),
        rows=rows,
        columns=columns,
        cells=cells,
        published=published_of(tree, path),
        panels=[panel_of(entry, rows, path) for entry in tree.get("plot") or [{}]],
        checks=[check_of(entry, tree, path) for entry in tree.get("checks", [])],
    )


def check_parts(tree: Mapping[str, Any], path: Path) -> None:
    for name, value in tree.items():
        if name not in PARTS:
            raise UserError(f"{path}: {name} is no part of an experiment.{closest(name, PARTS)}")
        if not isinstance(value, PARTS[name]):
            raise UserError(f"{path}: {name} is {value!r}, but must be {FORMS[PARTS[name]]}")
    for name in NEEDED:
        if not tree.get(name):
            raise UserError(f"{path}: {name} is missing, without which it is no experiment")
    for name in ("rows", "columns", "published"):
        for key, value in tree.get(name, {}).items():
            if not isinstance(key, str) or not isinstance(value, dict):
                raise UserError(
                    f"{path}: {name}: {key!r} must be a text and hold a mapping, such as "
                    f"{{KEY: VALUE}}, or {{}} for nothing; it holds {value!r}"
                )


def checked_seeds(seeds: Sequence[Any], where: str) -> list[int]:
    whole = all(type(seed) is int and 0 <= seed < 2**32 for seed in seeds)
    if not whole or not 0 < len(set(seeds)) == len(seeds):
        raise UserError(
            f"{where} is {seeds!r}, but must list different whole numbers from 0 to 2^32 - 1"
        )
    return list(seeds)


def cell_of(
    tree: Mapping[str, Any],
    path: Path,
    row: str,
    column: str,
    runs: Path,
    seeds: Sequence[int],
    overrides: Mapping[str, str],
) -> Cell:
    """What a row and a column ask for together; of both, the row wins."""
    where = f"{path}, row '{row}', column '{column}'"
    layers = (tree.get("changes", {}), tree["columns"][column], tree["rows"][row])
    parts = {"cfg": tree.get("cfg"), "measure": "top1_acc"}
    for layer in layers:
        parts |= flatten(layer)
    if (measure := parts.pop("measure")) not in MEASURES:
        raise UserError(f"{where}: measure is {measure!r}, but must be of {', '.join(MEASURES)}")
    if not isinstance(name := parts.pop("cfg"), str):
        raise UserError(f"{where}: no cfg is named, the file that the run starts from")
    changes = parts | dict(overrides)
    if named := [key for key in NOT_OF_THE_EXPERIMENT if key in changes]:
        raise UserError(f"{where}: {named[0]} is set by the experiment itself; leave it out")
    cfg = readable(path.parent / name)
    try:
        resolved = load_config(cfg, [item for pair in changes.items() for item in pair])
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    identity = f"{cfg.stem}-{hash_of(dict(flatten(resolved)))}"
    wanted = [] if measure in COMPUTED else seeds
    return Cell(
        row=row,
        column=column,
        measure=measure,
        cfg=cfg,
        changes=changes,
        resolved=resolved,
        identity=identity,
        runs=[
            Run(cfg, changes, seed, runs / identity / f"seed_{seed}", resolved) for seed in wanted
        ],
    )


def readable(path: Path) -> Path:
    """As a person would write it: from the working folder, if it lies there."""
    whole = path.resolve()
    return whole.relative_to(Path.cwd()) if whole.is_relative_to(Path.cwd()) else whole


def hash_of(settings: Mapping[str, Any]) -> str:
    """Of what is not as by default, so that a key that is added later changes no hash."""
    changed = {
        name: value
        for name, value in sorted(settings.items())
        if value != KEYS[name].default and name not in NOT_OF_THE_EXPERIMENT
    }
    return hashlib.sha256(json.dumps(changed, default=str).encode()).hexdigest()[:10]


def published_of(tree: Mapping[str, Any], path: Path) -> dict[str, dict[str, float]]:
    published = tree.get("published", {})
    for column, numbers in published.items():
        for row, number in numbers.items():
            if row not in tree["rows"] or not is_number(number):
                raise UserError(
                    f"{path}: published, {column}: {row}: {number!r} must be a row and its number"
                )
    return dict(published)


def panel_of(entry: Any, rows: Sequence[str], path: Path) -> Panel:
    names = Panel.__dataclass_fields__
    if not isinstance(entry, dict) or not entry.keys() <= names.keys():
        raise UserError(f"{path}: plot: {entry!r} must be a mapping of {', '.join(names)}")
    panel = Panel(**entry)
    xs = ["", "gflops", *numeric_keys()]  # a list, because what is asked for may be anything
    known = panel.kind in ["bars", "curve"] and panel.x in xs
    named = isinstance(panel.rows, (list, tuple)) and all(name in rows for name in panel.rows)
    if not (known and named and isinstance(panel.label, str)):
        raise UserError(
            f"{path}: plot: {entry!r}: kind must be bars or curve, x gflops or a config key that "
            "is a number, rows a list of rows, and label a text"
        )
    if not isinstance(panel.logarithmic, bool):
        raise UserError(f"{path}: plot: {entry!r}: logarithmic must be True or False")
    if (panel.kind == "curve") != bool(panel.x):
        raise UserError(f"{path}: plot: {entry!r}: a curve needs an x, and bars have none")
    return panel


def numeric_keys() -> list[str]:
    return [name for name, key in KEYS.items() if is_number(key.default)]


def check_of(entry: Any, tree: Mapping[str, Any], path: Path) -> Check:
    def is_cell(value: Any) -> bool:
        whole = isinstance(value, list) and [type(name) for name in value] == [str, str]
        return whole and value[0] in tree["rows"] and value[1] in tree["columns"]

    kinds = [name for name in KINDS if isinstance(entry, dict) and name in entry]
    known = isinstance(entry, dict) and entry.keys() <= {"cell", "by", *kinds}
    if len(kinds) != 1 or not known or not is_cell(entry.get("cell")):
        raise UserError(
            f"{path}: checks: {entry!r} must name a cell, [row, column], and one of "
            f"{', '.join(KINDS)}"
        )
    (kind,), (row, column) = kinds, entry["cell"]
    bound, by = entry[kind], entry.get("by", 0.0)
    fits = is_cell(bound) if kind in ("above", "not_below") else is_number(bound)
    if not fits or not is_number(by) or (by and kind != "above"):
        raise UserError(f"{path}: checks: {entry!r}: {kind} takes {KINDS[kind]}; by is of above")
    if kind == "near_published" and not tree.get("published", {}).get(column, {}).get(row):
        raise UserError(
            f"{path}: checks: {entry!r}: nothing is published for {row}, {column}, or 0"
        )
    return Check((row, column), kind, tuple(bound) if isinstance(bound, list) else bound, by)


def is_number(value: Any) -> bool:
    plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    return plain and math.isfinite(value)
