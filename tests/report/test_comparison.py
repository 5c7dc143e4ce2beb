"""Several runs, compared video by video."""

import pytest

from tests.report.made import made_run, write_history
from timesformer.report.comparison import Comparison, pair_up, shared_videos, within
from timesformer.report.results import read_run


def runs(tmp_path, *more):
    """One for each dict of arguments of `made_run`, in folders a, b, ..."""
    folders = [tmp_path / "abcdef"[i] for i in range(len(more))]
    return [
        read_run(made_run(folder, seed=i, **arguments))
        for i, (folder, arguments) in enumerate(zip(folders, more, strict=True))
    ]


def indices(a, b):
    return [array.tolist() for array in shared_videos(a, b)]


def test_shared_by_path_whatever_the_order():
    assert indices(["x", "y", "z"], ["z", "w", "x"]) == [[2, 0], [0, 2]]


def test_shared_of_a_data_set_that_was_moved():
    here = ["/data/ssd/set/a/1.mp4", "/data/ssd/set/b/1.mp4"]
    there = ["prepared/b/1.mp4", "prepared/a/1.mp4"]
    assert within(here) == ["a/1.mp4", "b/1.mp4"]
    assert indices(here, there) == [[1, 0], [0, 1]]


def test_shared_parts_of_one_video_in_their_order():
    assert indices(["x", "x", "y"], ["y", "x", "x"]) == [[2, 0, 1], [0, 1, 2]]


def test_nothing_shared():
    assert indices(["/a/x"], ["/a/y"]) == [[], []]
    assert indices(["x"], ["y"]) == [[], []]


def test_pairing_counts(tmp_path):
    a, b = runs(tmp_path, {"failed": [0, 1]}, {"failed": [1, 2]})
    pairing = pair_up(a, b, "a", "b")
    assert pairing.total == 60
    assert pairing.both + pairing.only_first == a.is_right.sum()
    assert pairing.both + pairing.only_other == b.is_right.sum()
    back = pair_up(b, a, "b", "a")
    assert (back.only_first, back.only_other) == (pairing.only_other, pairing.only_first)


def test_words_of_a_clear_difference(tmp_path):
    a, b = runs(tmp_path, {"skill": 0.5, "num_videos": 400}, {"skill": 5.0, "num_videos": 400})
    words = pair_up(a, b, "a", "b").words()
    assert "b is" in words
    assert "better (difference +" in words
    assert words.endswith("probability below 10⁻¹² (McNemar's exact test): hardly chance.")
    assert "b is" in pair_up(a, b, "a", "b").verdict()
    assert "worse (difference −" in pair_up(b, a, "b", "a").words()


def test_words_of_no_difference(tmp_path):
    a, b = runs(tmp_path, {}, {})
    assert "chance may well be all there is to it." in pair_up(a, b, "a", "b").words()
    assert "no video that only one of them gets right" in pair_up(a, a, "a", "again").words()


def test_other_videos_and_other_labels(tmp_path):
    names = ["class 1", "class 0", "class 2", "class 3"]
    elsewhere = [f"other/{i}.avi" for i in range(60)]
    a, b, c = runs(tmp_path, {}, {"names": names}, {"videos": elsewhere})
    assert pair_up(a, c, "a", "c").words() == "a and c tested nothing in common."
    pairing = pair_up(a, b, "a", "b")
    assert (pairing.total, pairing.num_relabelled) == (30, 30)
    assert "30\u00a0videos of another class in the one than in the other are left out." in (
        pairing.words()
    )


def test_what_differs_in_the_configs(tmp_path):
    made = runs(tmp_path, {"changes": ["SOLVER.BASE_LR", 0.1]}, {"changes": ["RNG_SEED", 3]}, {})
    (made[2].folder / "config.yaml").unlink()
    made[2] = read_run(made[2].folder)
    assert Comparison(made).settings() == [
        ("RNG_SEED", [0, 3, None]),
        ("SOLVER.BASE_LR", [0.1, 0.005, None]),
    ]


def test_classes_that_change_most_come_first(tmp_path):
    made = runs(tmp_path, {"skill": 1.0}, {"skill": 4.0}, {"num_classes": 3, "num_videos": 60})
    rows = Comparison(made).class_changes()
    sizes = [abs(row.changes[0]) for row in rows]
    assert sorted(row.name for row in rows) == [f"class {i}" for i in range(4)]
    assert [row.changes[1] is None for row in rows].count(True) == 1  # class 3 is not in the last
    largest = [max(abs(change or 0) for change in row.changes) for row in rows]
    assert largest == sorted(largest, reverse=True)
    shares = {row.name: row.top1 for row in Comparison(made[1:]).reports[0].classes}
    assert rows[0].top1 + rows[0].changes[0] == pytest.approx(shares[rows[0].name])
    assert max(sizes) > 0


def test_names_and_curves(tmp_path):
    a, b = runs(tmp_path / "x", {}, {})
    (same,) = runs(tmp_path / "y", {})
    write_history(a.folder)
    a = read_run(a.folder)
    comparison = Comparison([a, b, same])
    assert comparison.names == [str(a.folder), "b", str(same.folder)]
    (_, validation), *_ = comparison.curve_part().figures
    assert [trace["name"] for trace in validation["data"]] == [str(a.folder)]
    assert Comparison([b, same]).curve_part().words == "None of the runs noted a training."
    assert [pairing.other for pairing in comparison.pairings()] == ["b", str(same.folder)]
