"""The site is built without a warning, holds together, and opens from a disk without a network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.browser import PHONE_WIDTH, assert_fits, needs_browser, page
from tests.docs.pages import ROOT, Html
from timesformer.config.defaults import KEYS
from timesformer.config.legacy import LEGACY

pytestmark = pytest.mark.slow

EXTERNAL = ("http", "https", "mailto")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Html]:
    return {path: Html(path) for path in site.glob("*.html") if path.name != "404.html"}


def test_every_link_leads_to_a_page_and_to_a_place_in_it(pages: dict[Path, Html]) -> None:
    broken = []
    for path, html in pages.items():
        for link in html.links:
            target = urlsplit(link)
            if target.scheme in EXTERNAL:
                continue
            file = path.parent / unquote(target.path) if target.path else path
            anchors = pages[file].anchors if file in pages else set()
            if not file.exists() or (target.fragment and unquote(target.fragment) not in anchors):
                broken.append((path.name, link))
    assert broken == []


def test_nothing_is_fetched_from_elsewhere(pages: dict[Path, Html]) -> None:
    for path, html in pages.items():
        assert [part for part in html.parts if urlsplit(part).netloc] == []
        assert [part for part in html.parts if not (path.parent / part).exists()] == []


def test_every_key_is_in_the_reference(pages: dict[Path, Html], site: Path) -> None:
    path = site / "config-reference.html"
    text = path.read_text(encoding="utf-8")
    assert {name.lower().replace(".", "-") for name in KEYS} <= pages[path].anchors
    assert [name for name in [*KEYS, *LEGACY] if f"<code>{name}</code>" not in text] == []


def test_every_config_is_among_the_shipped_ones(site: Path) -> None:
    text = (site / "shipped-configs.html").read_text(encoding="utf-8")
    names = [path.relative_to(ROOT).as_posix() for path in ROOT.glob("configs/*/*.yaml")]
    assert names
    assert [name for name in names if name not in text] == []


def test_a_key_in_the_text_is_a_link_to_the_reference(site: Path) -> None:
    text = (site / "recipes.html").read_text(encoding="utf-8")
    assert (
        '<a class="config-key" href="config-reference.html#train-compile">'
        "<code>TRAIN.COMPILE block</code></a>" in text
    )


@needs_browser
def test_the_search_finds_a_part_of_a_key_without_a_server(site: Path) -> None:
    with page() as shown:
        shown.goto((site / "index.html").as_uri())
        shown.locator(".md-search__input").click()
        shown.keyboard.type("ensemble")
        found = shown.locator(".md-search-result__link", has_text="DATA.ENSEMBLE_METHOD")
        found.first.wait_for()
        found.first.click()
        shown.wait_for_url("**/config-reference.html*data-ensemble_method")


@needs_browser
@pytest.mark.parametrize(
    "name", ["index", "own-videos", "concepts", "config-reference", "seeing", "PERFORMANCE"]
)
def test_a_phone_shows_pages_without_scrolling_sideways(site: Path, name: str) -> None:
    with page(width=PHONE_WIDTH) as shown:
        shown.goto((site / f"{name}.html").as_uri())
        assert shown.locator("h1").first.is_visible()
        assert_fits(shown)
