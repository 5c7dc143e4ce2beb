"""The pages in a real browser: drawn, sorted, zoomed, and on a phone."""

from __future__ import annotations

import pytest

from tests.browser import PHONE_WIDTH, assert_fits, needs_browser, page
from tests.report.made import made_run, write_history
from tests.report.test_write import HOSTILE
from tests.small_videos import small_video
from timesformer.report.write import write_comparison, write_report

pytestmark = needs_browser

DRAWN = """boxes => boxes.map(box => {
    const svg = box.querySelector("svg.main-svg");
    const size = svg ? svg.getBoundingClientRect() : {width: 0, height: 0};
    const marks = box.querySelectorAll(".trace path, .heatmaplayer image, .points path, .point");
    return [size.width > 100 && size.height > 80, marks.length > 0];
})"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Of six classes, one with a name as long as names get; with pictures."""
    folder = tmp_path_factory.mktemp("report")
    video = str(small_video(folder / "a.mp4"))
    names = ["up", "down", "a" * 150, *HOSTILE[:3]]
    made_run(folder, num_classes=6, names=names, videos=[video] * 60, failed=[7])
    write_history(folder)
    return write_report(folder)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    return write_report(made_run(folder, num_classes=120, num_videos=1200, skill=3.0))


def assert_drawn(fresh):
    boxes = fresh.locator(".plot:visible")
    fresh.wait_for_function(
        "Array.from(document.querySelectorAll('.plot')).every(box => "
        "box.querySelector('svg.main-svg') || box.closest('details:not([open])'))"
    )
    assert boxes.count() > 0
    assert boxes.evaluate_all(DRAWN) == [[True, True]] * boxes.count()


@pytest.mark.parametrize("width", [1280, PHONE_WIDTH])
def test_all_is_drawn_and_fits(report, width):
    with page(width=width) as fresh:
        fresh.goto(report.as_uri())
        assert_drawn(fresh)
        assert_fits(fresh)
        assert fresh.locator(".plot").count() == 6
        pictures = fresh.locator("#mistakes img")
        widths = pictures.evaluate_all("all => all.map(picture => picture.naturalWidth)")
        assert widths
        assert min(widths) > 100
        assert fresh.locator("#failures tbody tr").count() == 1
        for summary in fresh.locator("summary").all():
            summary.click()
        assert_fits(fresh)


def test_names_are_shown_as_they_are(report):
    with page() as fresh:
        fresh.goto(report.as_uri())
        assert_drawn(fresh)
        ticks = fresh.locator("#confusion .ytick text").all_text_contents()
        assert HOSTILE[2] in [tick.strip() for tick in ticks]
        assert any(tick.startswith("<img src=x") for tick in ticks)
        cells = fresh.locator("#by-class td:first-child").all_inner_texts()
        assert any(cell.startswith(HOSTILE[1]) for cell in cells)


def column(fresh, number):
    cells = fresh.locator(f"#by-class tbody td:nth-child({number})")
    return cells.evaluate_all(
        "all => all.map(c => c.dataset.value ? +c.dataset.value : c.innerText)"
    )


def test_tables_are_sorted(report):
    with page() as fresh:
        fresh.goto(report.as_uri())
        shares = column(fresh, 2)
        assert shares == sorted(shares)
        head = fresh.locator("#by-class th")
        head.nth(1).locator("button").click()
        assert column(fresh, 2) == sorted(shares, reverse=True)
        assert head.nth(1).get_attribute("aria-sort") == "descending"
        head.nth(0).locator("button").press("Enter")
        names = [name.split("\n")[0] for name in column(fresh, 1)]
        assert names.index("down") < names.index("up")
        assert head.nth(1).get_attribute("aria-sort") is None


def test_many_classes_are_searched(large):
    with page() as fresh:
        fresh.goto(large.as_uri())
        fresh.locator("#classes input").fill("class 11")
        shown = fresh.locator("#by-class tbody tr:visible td:first-child").all_inner_texts()
        assert len(shown) >= 11  # 11, 110 to 119, and whose videos were taken for one of them
        assert all("class 11" in name for name in shown)


@pytest.mark.parametrize("width", [1280, PHONE_WIDTH])
def test_the_large_matrix_is_drawn_when_it_is_opened(large, width):
    with page(width=width) as fresh:
        fresh.goto(large.as_uri())
        whole = fresh.locator("#confusion details .plot")
        assert whole.locator("svg").count() == 0
        fresh.locator("#confusion summary").click()
        assert_drawn(fresh)
        assert_fits(fresh)
        assert whole.locator(".heatmaplayer image").bounding_box()["width"] > 200


def test_the_matrix_zooms(large):
    with page() as fresh:
        fresh.goto(large.as_uri())
        assert_drawn(fresh)
        matrix = fresh.locator("#confusion .plot").first
        matrix.scroll_into_view_if_needed()
        matrix.evaluate("box => { window.matrix = box; }")
        before = matrix.evaluate("box => box._fullLayout.xaxis.range")
        area = matrix.locator(".nsewdrag").bounding_box()
        fresh.mouse.move(area["x"] + 40, area["y"] + 40)
        fresh.mouse.down()
        fresh.mouse.move(area["x"] + 140, area["y"] + 140, steps=4)
        fresh.mouse.up()
        fresh.wait_for_function(
            "before => window.matrix._fullLayout.xaxis.range[1] < before", arg=before[1]
        )


@pytest.mark.parametrize("width", [1280, PHONE_WIDTH])
def test_a_comparison(tmp_path, width):
    folders = [
        made_run(tmp_path / name, seed=seed, skill=seed + 1.0, names=[*HOSTILE[:3], "up"])
        for seed, name in enumerate(["first", "second", HOSTILE[0]])
    ]
    for folder in folders:
        write_history(folder)
    written = write_comparison(folders, tmp_path / "all.html")
    with page(width=width) as fresh:
        fresh.goto(written.as_uri())
        assert_drawn(fresh)
        assert_fits(fresh)
        assert fresh.locator("#paired p").count() == 4
        assert HOSTILE[0] in fresh.locator("h1").inner_text()
