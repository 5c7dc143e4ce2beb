"""How far a tool is, and how long it will take yet."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

_SECONDS_BETWEEN_LINES_OF_A_LOG = 60


def progress(total: int, title: str) -> tqdm[Any]:
    """A bar on a terminal; elsewhere, as in the log of a job, the same once a minute."""
    watched = sys.stderr.isatty()
    return tqdm(
        total=total,
        desc=title,
        unit="video",
        leave=False,
        mininterval=0.1 if watched else _SECONDS_BETWEEN_LINES_OF_A_LOG,
        dynamic_ncols=watched,
    )
