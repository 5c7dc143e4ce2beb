"""From values to the text of a page that needs nothing but itself."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import timesformer
from timesformer.checkpoints.atomic import writing
from timesformer.errors import UserError
from timesformer.report.words import count, percent, signed

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, **values: Any) -> str:
    """A page from a template of this room; whatever comes from a file is escaped.

    Raises:
        UserError: a package that draws pages is not installed.
    """
    return (
        environment()
        .get_template(template)
        .render(
            **values,
            plotly=plotly_script(),
            style=(TEMPLATES / "style.css").read_text(encoding="utf-8"),
            script=(TEMPLATES / "page.js").read_text(encoding="utf-8"),
            version=timesformer.__version__,
        )
    )


@cache
def environment() -> Any:
    # Imported late, as all that only a report needs.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(percent=percent, count=count, plain=plain, signed=signed)
    made.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return made


@cache
def plotly_script() -> str:
    """The drawing library, 5 MB, from the installed package."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise UserError(f"a report needs plotly ({error}): pip install plotly") from error
    return str(get_plotlyjs())


def plain(value: Any) -> str:
    """A value of the config as a person writes it."""
    if isinstance(value, list):
        return ", ".join(map(plain, value)) or "[]"
    return "''" if value == "" else "" if value is None else str(value)


def save(path: Path, page: str) -> Path:
    """Write a page, whole or not at all; `path`.

    Raises:
        UserError: it cannot be written.
    """
    with writing(path) as file:
        # Names of files may hold bytes that are no UTF-8.
        file.write(page.encode(errors="backslashreplace"))
    return path
