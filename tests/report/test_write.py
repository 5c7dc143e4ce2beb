"""The page as a file: whole, alone, and deaf to what names would do to it."""

import json
import re

import pytest

from tests.report.made import made_run, write_history
from timesformer.errors import UserError
from timesformer.report.write import write_comparison, write_report

HOSTILE = ["<img src=x onerror=alert(1)>", "</script><script>alert(2)</script>", '"a" & b', "%{x}"]


def test_the_page_is_whole_and_small(tmp_path):
    page = write_report(made_run(tmp_path))
    assert page == tmp_path / "report.html"
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert text.rstrip().endswith("</html>")
    assert page.stat().st_size < 6e6  # 5 of which are the drawing library
    assert not list(tmp_path.glob("*.tmp"))


def test_the_page_says_what_the_run_was(tmp_path):
    write_history(made_run(tmp_path, failed=[5], changes=["SOLVER.BASE_LR", 0.125]))
    text = write_report(tmp_path).read_text(encoding="utf-8")
    for words in ("Hardest is", "videos/00005.mp4", "no frames", "0.125", "learning rate"):
        assert words in text


def test_names_are_text(tmp_path):
    made_run(tmp_path, names=HOSTILE, videos=[f"{HOSTILE[0]}/{i}" for i in range(60)], failed=[1])
    text = write_report(tmp_path).read_text(encoding="utf-8")
    own = text[: text.index("plotly.js v")] + text[text.rindex("</script>") :]
    for name in HOSTILE[:2]:
        assert name not in own
    assert "&lt;img src=x onerror=alert(1)&gt;" in own


def test_figures_are_json(tmp_path):
    write_history(made_run(tmp_path, names=HOSTILE))
    text = write_report(tmp_path).read_text(encoding="utf-8")
    found = re.findall(r'<script type="application/json" id="[\w-]+">(.*?)</script>', text)
    assert len(found) == 6
    for figure in found:
        assert json.loads(figure)["layout"]["height"] > 0


def test_a_name_that_is_no_utf8(tmp_path):
    """Such a name comes out of the file system with its bytes marked (surrogateescape)."""
    made_run(tmp_path, videos=[f"v\udcff{i}.mp4" for i in range(60)], skill=0.0)
    assert r"v\udcff" in write_report(tmp_path).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "more",
    [
        {"num_videos": 1, "failed": [0]},
        {"num_videos": 1, "num_classes": 2, "clips": 1, "crops": 1},
        {"num_classes": 1},
        {"failed": range(60)},
        {"num_classes": 50, "num_videos": 3},
    ],
    ids=str,
)
def test_odd_runs(more, tmp_path):
    folder = made_run(tmp_path, **more)
    assert write_report(folder).is_file()
    (folder / "config.yaml").unlink()
    (folder / "failed_videos.csv").unlink()
    assert write_report(folder).is_file()
    assert write_comparison([folder, made_run(tmp_path / "b")], tmp_path / "c.html").is_file()


@pytest.mark.slow
def test_a_large_test_fits_a_page(tmp_path):
    made_run(tmp_path, num_classes=400, num_videos=20000, clips=1, crops=1, skill=3.0)
    assert write_report(tmp_path).stat().st_size < 10e6


def test_a_place_that_cannot_be_written(tmp_path):
    made_run(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file/a.html' cannot be written"):
        write_report(tmp_path, out=tmp_path / "file" / "a.html")


def test_a_comparison(tmp_path):
    folders = [made_run(tmp_path / name, seed=i) for i, name in enumerate("abc")]
    text = write_comparison(folders, tmp_path / "all.html").read_text(encoding="utf-8")
    assert "Comparison of 3 runs" in text
    assert text.count("that both tested") == 2
    with pytest.raises(UserError, match="is named twice. Compare a run with another one"):
        write_comparison([folders[0], folders[0]], tmp_path / "all.html")
