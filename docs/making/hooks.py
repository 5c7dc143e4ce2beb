"""What happens while mkdocs builds the site.

Two pages are generated. The documents that lie at the root of the repository become pages as they
are, and links to files of the repository lead to where the site has them. Names of config keys
become links to their place in the reference.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

# mkdocs loads this file by its path, and finds its neighbours only while doing so.
import config_reference
import shipped_configs
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from timesformer.config.defaults import KEYS

ROOT = Path(__file__).parents[2]

ROOT_PAGES = ("DATASET.md", "MODEL_ZOO.md", "CHANGELOG.md", "CONTRIBUTING.md")
GENERATED = {
    "config-reference.md": config_reference.page,
    "shipped-configs.md": lambda: shipped_configs.page(ROOT),
}
ELSEWHERE = {
    "README.md": "index.md",
    "LICENSE": "LICENSE.txt",
    "configs": "shipped-configs.md",
    "timesformer/config/defaults.py": "config-reference.md",
    "timesformer/config/legacy.py": "config-reference.md#legacy-keys",
}
"""What is in the repository, and in the site under another name."""

LINK = re.compile(r"(\]\()([^)\s#:]+)(#[^)\s]*)?(\))")
KEY_IN_PROSE = re.compile(
    r"(<(a|h[1-6]|pre)\b.*?</\2>)|<code>([A-Z][A-Z0-9_.]*)((?: [^<]*)?)</code>", re.DOTALL
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds what does not lie in docs/."""
    for name in ROOT_PAGES:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    for name, page in GENERATED.items():
        files.append(File.generated(config, name, content=page()))
    files.append(File.generated(config, "LICENSE.txt", abs_src_path=str(ROOT / "LICENSE")))
    for path in sorted((ROOT / "benchmarks" / "results").glob("*.json")):
        name = path.relative_to(ROOT).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Links out of docs/, and those of documents that lie at the root, as the site has them."""
    folder = "" if page.file.src_uri in ROOT_PAGES else "docs/"

    def rewritten(link: re.Match[str]) -> str:
        return link[1] + in_site(folder, link[2], link[3] or "") + link[4]

    return LINK.sub(rewritten, markdown)


def in_site(folder: str, target: str, fragment: str) -> str:
    """The link that the site needs for one that holds in the repository."""
    path = os.path.normpath(folder + target)
    if path in ELSEWHERE:
        return ELSEWHERE[path] + fragment
    if path.startswith("configs/"):
        return f"shipped-configs.md#{shipped_configs.anchor(path)}"
    return path.removeprefix("docs/") + fragment


def on_page_content(html: str, page: Page, **_: Any) -> str:
    """Config keys as links; and in the table of contents of long pages sections alone."""
    if page.file.src_uri in GENERATED:
        for item in page.toc.items[0].children:
            item.children = []
    return KEY_IN_PROSE.sub(linked, html)


def linked(found: re.Match[str]) -> str:
    untouched, _, name, value = found.groups()
    if untouched is not None or name not in KEYS:
        return found[0]
    place = f"config-reference.html#{config_reference.anchor(name)}"
    return f'<a class="config-key" href="{place}"><code>{name}{value}</code></a>'
