"""Finding videos by name: what counts as a video, which of several, and what a difference is."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from timesformer.annotations.find import find_alike, find_below, find_in, stem
from timesformer.errors import UserError


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/b/-3B32lodo2M.mp4", "-3B32lodo2M"),
        ("x.y.WEBM", "x.y"),
        ("-3B32lodo2M", "-3B32lodo2M"),
        ("id.with.dots", "id.with.dots"),
        ("frames/12", "12"),
    ],
)
def test_a_stem_is_a_name_without_the_extension_of_a_video(path: str, name: str) -> None:
    assert stem(path) == name


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    touch(tmp_path, "b/1.AVI", "b/notes.txt", "elsewhere/x/3.webm")
    root = tmp_path / "root"
    root.mkdir()
    (root / "loop").symlink_to(root)
    (root / "link").symlink_to(tmp_path / "elsewhere")
    (root / "other").symlink_to(tmp_path / "b")
    found = find_below(str(root), {"1", "3", "notes.txt"}, stem)
    assert found == {"3": "link/x/3.webm", "1": "other/1.AVI"}


def test_of_several_videos_of_a_name_the_first_counts_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    touch(tmp_path, "run/a.mp4", "jump/a.mp4", "jump/b.mp4", "jump/c.mp4", "walk/c.mp4")
    with caplog.at_level(logging.WARNING, "timesformer"):
        found = find_below(str(tmp_path), {"a", "b", "z"}, stem)
    assert found == {"a": "jump/a.mp4", "b": "jump/b.mp4"}
    (record,) = caplog.records
    assert "1 videos below" in record.message
    assert record.message.endswith("such as run/a.mp4")


def test_a_folder_of_frames_stands_before_a_file(tmp_path: Path) -> None:
    touch(tmp_path, "1/00001.jpg", "1.webm", "2.mp4", "notes.txt", "sub/4.mp4")
    assert find_in(str(tmp_path), ["2", "1", "3", "4"]) == ["2.mp4", "1", "3", "4"]


def test_case_and_extension_may_differ_but_an_exact_path_is_preferred(tmp_path: Path) -> None:
    touch(tmp_path, "HandStandPushups/v_1.mp4", "Run/A.avi", "Run/a.avi")
    listed = ["HandstandPushups/V_1.avi", "Run/a.avi", "Run/A.avi", "Run/b.avi"]
    assert find_alike(str(tmp_path), listed) == [
        "HandStandPushups/v_1.mp4",
        "Run/a.avi",
        "Run/A.avi",
        "Run/b.avi",
    ]


def test_folders_of_frames_are_found_like_files(tmp_path: Path) -> None:
    touch(tmp_path, "Run/v_1.5/0001.jpg", "Run/v_1.5/0002.jpg", "Run/v_2/1.png", "Run/v_2.avi")
    listed = ["run/v_1.5.avi", "Run/v_2.avi", "Run/v_3.avi"]
    assert find_alike(str(tmp_path), listed) == ["Run/v_1.5", "Run/v_2.avi", "Run/v_3.avi"]
    assert find_below(str(tmp_path), {"v_1.5"}, stem) == {"v_1.5": "Run/v_1.5"}


def test_a_prefix_that_is_no_folder_is_an_error(tmp_path: Path) -> None:
    for find in (find_in, find_alike):
        with pytest.raises(UserError, match=r"DATA\.PATH_PREFIX '.*nowhere' is not a folder"):
            find(str(tmp_path / "nowhere"), [])
