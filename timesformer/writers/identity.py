"""Under which name a server knows the run of a folder."""

from __future__ import annotations

from pathlib import Path


def identity(path: Path) -> str:
    """What `keep_identity` wrote; '' for nothing."""
    return path.read_text().strip() if path.exists() else ""


def keep_identity(path: Path, run_id: str) -> None:
    path.write_text(f"{run_id}\n")
