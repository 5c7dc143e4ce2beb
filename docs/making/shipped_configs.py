"""The page with every config that comes with the project, as it is."""

from __future__ import annotations

from pathlib import Path

HEAD = """# Shipped configs

Every file of `configs`, as it is. The lines at its top say what it is for, what to expect, and the
command. A file that starts with `_BASE_` changes only what it names.
"""


def page(root: Path) -> str:
    """The page as Markdown; `root` is the folder of the project."""
    parts = [HEAD]
    for folder in sorted(path for path in (root / "configs").iterdir() if path.is_dir()):
        parts.append(f"## {folder.name}\n")
        parts.extend(entry(path, root) for path in sorted(folder.glob("*.yaml")))
    return "\n".join(parts)


def entry(path: Path, root: Path) -> str:
    name = path.relative_to(root).as_posix()
    text = path.read_text(encoding="utf-8")
    return f"### `{name}` {{ #{anchor(name)} .key }}\n\n```yaml\n{text}```\n"


def anchor(name: str) -> str:
    """Of a file like configs/UCF101/x.yaml."""
    return name.removeprefix("configs/").removesuffix(".yaml").lower().replace("/", "-")
