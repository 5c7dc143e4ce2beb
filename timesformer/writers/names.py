"""Names of files and classes, as pictures and pages can show them: people give any."""

from __future__ import annotations


def printable(name: str) -> str:
    r"""`name` in UTF-8: a byte of a file name that is none stands there as ``\udce9``."""
    return name.encode(errors="backslashreplace").decode()


def shortened(name: str, longest: int) -> str:
    """`name` in at most `longest` characters."""
    return name if len(name) <= longest else name[: longest - 1] + "…"


def for_matplotlib(name: str) -> str:
    """`name` as matplotlib draws it: no mathematics between $, and no label too secret to show."""
    shown = printable(name).replace("$", r"\$")
    return f"\u200b{shown}" if shown.startswith("_") else shown  # a space of no width


def for_plotly(name: str) -> str:
    """`name` as plotly shows it, which would take <b> or <a> in it for its own.

    It knows ``&lt;``, ``&gt;`` and ``&amp;``, but not ``&quot;``.
    """
    return printable(name).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
