"""What an experiment is: rows and columns of runs, and what is claimed of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from yacs.config import CfgNode

TRAINED = {"top1_acc": "top-1, %", "top5_acc": "top-5, %"}
"""What a run finds out, by its name in ``metrics.jsonl``."""

COMPUTED = {
    "parameters": "parameters, M",
    "gflops": "GFLOPs of a view",
    "tflops": "TFLOPs of all views",
}
"""What a config tells without a run."""

MEASURES = TRAINED | COMPUTED


Result = dict[str, Any]
"""Plain values, as they stand in a JSON file."""


@dataclass(frozen=True)
class Run:
    """A training with a seed; equal configs have equal folders, whichever experiment wants them."""

    cfg: Path
    changes: Mapping[str, Any]
    seed: int
    folder: Path
    resolved: CfgNode = field(repr=False)

    @property
    def name(self) -> str:
        return f"{self.folder.parent.name}/{self.folder.name}"

    @property
    def options(self) -> list[str]:
        """KEY VALUE pairs for tools/run_net.py."""
        opts = {**self.changes, "RNG_SEED": self.seed, "OUTPUT_DIR": self.folder}
        return [str(item) for pair in opts.items() for item in pair]


@dataclass(frozen=True)
class Cell:
    """A place in the table: what is measured there, and of which config."""

    row: str
    column: str
    measure: str
    cfg: Path
    changes: Mapping[str, Any]
    resolved: CfgNode = field(repr=False)
    identity: str
    """Equal for equal configs, whatever the seed."""
    runs: Sequence[Run]
    """One for each seed; none where nothing is trained."""


@dataclass(frozen=True)
class Check:
    """What must hold of a cell, ``(row, column)``: one of `KINDS`, with its bound."""

    cell: tuple[str, str]
    kind: str
    bound: float | tuple[str, str]
    by: float = 0.0
    """The least distance to the other cell, where `kind` is above."""


KINDS = {
    "at_least": "a number",
    "at_most": "a number",
    "near_published": "a share, such as 0.01",
    "above": "another cell, [row, column]",
    "not_below": "another cell, [row, column]",
}


@dataclass(frozen=True)
class Panel:
    """A part of the plot: bars for each row, or a curve over `x`, a config key or gflops."""

    kind: str = "bars"
    x: str = ""
    label: str = ""
    rows: Sequence[str] = ()
    """Those that it shows; all if none is named."""
    logarithmic: bool = False


@dataclass(frozen=True)
class Experiment:
    """A definition with its configs resolved."""

    name: str
    title: str
    claim: str
    source: str
    rows: Sequence[str]
    columns: Sequence[str]
    cells: Sequence[Cell]
    published: Mapping[str, Mapping[str, float]]
    """Column, row, number. Under the name of a column of ours the number is comparable with it."""
    panels: Sequence[Panel]
    checks: Sequence[Check]

    @property
    def runs(self) -> list[Run]:
        """All that are wanted, each once."""
        return list({run.folder: run for cell in self.cells for run in cell.runs}.values())


def by_place(cells: Sequence[Result]) -> dict[tuple[str, str], Result]:
    """The cells of a result by row and column."""
    return {(cell["row"], cell["column"]): cell for cell in cells}
