"""What the page says, of runs whose answers are known."""

import numpy as np
import pytest

from tests.report.made import made_run, write_history
from tests.report.test_results import change
from timesformer.config import dump, load_config
from timesformer.report.classes import most_confused
from timesformer.report.content import Report
from timesformer.report.results import read_run
from timesformer.report.words import percent, signed


def report_of(folder, **more):
    return Report(read_run(made_run(folder, **more)))


def known_run(folder, labels, predictions, views=None):
    """Answers as given, each with a probability of 90 %; two classes, "no" and "yes"."""
    made_run(folder, num_classes=2, num_videos=len(labels), names=["no", "yes"], clips=1, crops=1)
    predictions = np.array(predictions)
    sums = np.log(9) * (1 if views is None else views.shape[1])
    scores = np.where(predictions[:, None] == [0, 1], sums, 0).astype(np.float32)
    scores[predictions < 0] = np.nan
    arrays = {"labels": np.array(labels), "predictions": predictions, "scores": scores}
    change(folder, **arrays, view_predictions=predictions[:, None] if views is None else views)
    return Report(read_run(folder))


def test_tiles(tmp_path):
    report = known_run(tmp_path, [0, 0, 0, 1], [0, 0, 1, -1])
    words = {tile.title: (tile.value, tile.note) for tile in report.tiles()}
    assert words == {
        "Top-1": ("50.00\u00a0%", "15.0 to 85.0\u00a0%"),
        "Per class": ("33.33\u00a0%", "mean of 2 classes"),
        "Videos": ("4", "1 unreadable"),
        "Calibration": ("23.3\u00a0%", "expected error"),
    }


def test_top5_where_there_are_more_classes(tmp_path):
    assert "Top-5" in [t.title for t in report_of(tmp_path / "6", num_classes=6).tiles()]
    assert "Top-5" not in [t.title for t in report_of(tmp_path / "5", num_classes=5).tiles()]


def test_classes_the_hardest_first(tmp_path):
    no, yes = known_run(tmp_path, [1, 1, 0, 0], [1, 1, 0, 1]).classes
    assert (no.name, no.right, no.videos, no.top1, no.taken_for, no.times) == (
        ("no", 1, 2, 0.5, "yes", 1)
    )
    assert (yes.name, yes.top1, yes.taken_for, yes.times) == ("yes", 1.0, "", 0)


def test_a_class_without_videos_is_no_class_of_the_test(tmp_path):
    assert [row.name for row in known_run(tmp_path, [1, 1], [0, 1]).classes] == ["yes"]


def test_findings(tmp_path):
    views = np.array([[0, 0], [1, 1], [1, 0], [0, 1]])
    sentences = list(known_run(tmp_path, [0, 0, 1, 1], [0, 1, 1, 1], views).findings())
    plain = [sentence.replace("\u00a0", " ") for sentence in sentences]
    assert plain == [
        "Hardest is “no”: 1 of 2 videos right. Easiest is “yes”: 2 of 2.",
        "The most frequent mistake: “no” taken for “yes”, 1 of 2 videos.",
        "The model is surer than it is right: its answers have a probability of 90.0 % on "
        "average, and 75.0 % of them are right.",
        "One view alone is right in 50.0 % of the videos on average, all 2 together in 75.0 %: "
        "the ensemble adds 25.0 points.",
    ]


def test_views_that_cost(tmp_path):
    views = np.array([[0, 0], [1, 1], [0, 0]])
    report = known_run(tmp_path, [0, 1, 0], [0, 1, 1], views)
    assert "the ensemble costs 33.3\u00a0points" in report.view_part().words
    assert "In 3 of 3\u00a0videos all views give the same answer" in report.view_part().words


def test_views(tmp_path):
    report = report_of(tmp_path, clips=4, crops=3)
    names = [name for name, _ in report.view_rows()]
    assert names[2:4] == ["right or bottom crop", "temporal view 1"]
    assert len(names) == 7
    views = report.run.view_predictions == report.run.labels[:, None]
    assert report.view_rows()[0][1] == pytest.approx(views[:, 0::3].mean())
    assert report.view_rows()[-1][1] == pytest.approx(views[:, 9:].mean())
    assert len(report.view_part().figures) == 1


def test_what_is_left_out_says_why(tmp_path):
    made_run(tmp_path, clips=1, crops=1)
    report = Report(read_run(tmp_path))
    assert "took a single view" in report.view_part().words
    assert "No training is noted in metrics.jsonl" in report.curve_part().words
    dump(load_config(None, ["TEST.NUM_SPATIAL_CROPS", 3]), tmp_path / "config.yaml")
    assert "does not divide" in Report(read_run(tmp_path)).view_part().words
    change(tmp_path, view_predictions=None)
    assert "of an older version" in Report(read_run(tmp_path)).view_part().words
    (tmp_path / "config.yaml").unlink()
    bare = Report(read_run(tmp_path))
    assert "No file tells of how many views" in bare.calibration_part().words
    assert bare.command() == ""


def test_no_video_could_be_read(tmp_path):
    report = known_run(tmp_path, [0, 1], [-1, -1])
    assert report.calibration_part().words == "No video could be read."
    assert report.num_mistakes() == 0
    assert [reason for _, reason in report.failures()] == ["not noted"] * 2
    assert list(report.findings())[1:] == []


def test_mistakes_the_surest_first(tmp_path):
    report = report_of(tmp_path, num_videos=200, skill=1.0, failed=[0])
    mistakes = list(report.mistakes())
    sure = [mistake.confidence for mistake in mistakes]
    assert sure == sorted(sure, reverse=True)
    assert len(sure) == 12 < report.num_mistakes()
    for mistake in mistakes:
        assert mistake.name != mistake.taken_for
        assert mistake.confidence >= mistake.right_confidence
        assert "cannot be read" in mistake.strip.note


def test_the_matrix_of_many_classes_is_cut_to_the_confused(tmp_path):
    report = report_of(tmp_path, num_classes=90, num_videos=900, skill=2.0)
    part = report.confusion_part()
    chosen, whole = (len(drawing["data"][0]["x"]) for _, drawing in part.figures)
    assert chosen <= 40 < whole == 90
    assert part.words == f"The {chosen} classes that are most often confused, of 90."


def test_the_most_confused_classes():
    pairs = [(5, 2), (2, 5), (7, 5), (1, 3)]
    assert most_confused(pairs, 3) == [5, 2, 7]
    assert most_confused(pairs, 9) == [5, 2, 7, 1, 3]


def test_a_perfect_run_of_many_classes(tmp_path):
    report = report_of(tmp_path, num_classes=60, num_videos=60, skill=99.0)
    assert len(report.confusion_part().figures) == 1
    assert report.pairs == []


def test_facts_and_command(tmp_path):
    folder = tmp_path / "a run"
    changes = ["MODEL.MODEL_NAME", "timesformer_small", "DATA.ENSEMBLE_METHOD", "softmax"]
    report = report_of(folder, changes=changes)
    facts = dict(report.facts())
    assert facts["Model"].startswith("timesformer_small, ")
    assert facts["Views"] == "6 of each video (2 in time, 3 crops), put together by softmax"
    assert facts["Weights"].startswith("the newest good checkpoint")
    assert report.command() == f"python tools/run_net.py --cfg '{folder}/config.yaml'"
    write_history(folder)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"_type": "test_final", "checkpoint": "a.pyth", "command": "run_net.py --x"}\n')
    assert report.noted_command() == ""
    report = Report(read_run(folder))
    assert dict(report.facts())["Weights"] == "a.pyth"
    assert report.noted_command() == "python run_net.py --x"


def test_numbers():
    assert percent(0.12345) == "12.3\u00a0%"
    assert [signed(share) for share in (0.0123, 0, -0.0123)] == ["+1.2", "+0.0", "−1.2"]
