"""What stands in the pages of the documentation: commands, and what can be linked to."""

from __future__ import annotations

import re
import shlex
from html.parser import HTMLParser
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def commands(document: Path) -> list[list[str]]:
    """The words of every ``python tools/…`` in the code of a document, comments left out."""
    joined = re.sub(r"\\\n\s*", " ", document.read_text(encoding="utf-8"))
    lines = [line.strip() for line in joined.splitlines()]
    lines += re.findall(r"`(python tools/[^`\n]+)`", joined)
    found = [line for line in lines if line.startswith("python tools/")]
    return [shlex.split(line, comments=True) for line in found]


class Html(HTMLParser):
    """The anchors of a page, its links, and what a browser fetches to show it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.parts: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") in ("stylesheet", "icon", "preconnect"):
            self.parts.append(given["href"])
        elif tag in ("script", "img", "iframe", "video", "source") and "src" in given:
            self.parts.append(given["src"])
