"""The tables of docs/REPRODUCTION.md, out of the results in docs/reproduction.

    python -m docs.making.reproduction

writes them into the page, each between ``<!-- NAME -->`` and ``<!-- end of NAME -->``.
"""

from __future__ import annotations

import re
from pathlib import Path

from timesformer.experiments.result import read_result
from timesformer.experiments.table import markdown

PAGE = Path(__file__).parents[1] / "REPRODUCTION.md"
RESULTS = PAGE.parent / "reproduction"
BLOCK = re.compile(r"<!-- (\w+) -->\n.*?<!-- end of \1 -->", re.DOTALL)

NOT_RUN = "**Not run yet to its end.** The definition stands ready; there are no numbers to show."


def filled(page: str) -> str:
    """The page with each block as the results have it now."""
    return BLOCK.sub(lambda found: block(found[1]), page)


def block(name: str) -> str:
    return f"<!-- {name} -->\n\n{content(name)}\n\n<!-- end of {name} -->"


def content(name: str) -> str:
    result = read_result(RESULTS / f"{name}.json")
    if result is None:
        return NOT_RUN
    picture = f"![{result['title']}](reproduction/{name}.png)"
    source = f"Every seed, with its settings: [{name}.json](reproduction/{name}.json)."
    return f"{result['claim']}\n\n{picture}\n\n{markdown(result).strip()}\n\n{source}"


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {PAGE}")
