"""Figures are what plotly takes, and hold what they were given."""

import json

import numpy as np
import plotly.graph_objects
import pytest

from tests.report.made import made_run, write_history
from timesformer.report import figures
from timesformer.report.history import read_history
from timesformer.report.results import read_run
from timesformer.report.statistics import calibrate


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    folder = tmp_path_factory.mktemp("history")
    write_history(folder)
    return read_history(folder / "metrics.jsonl")


def check(figure):
    """Plotly's own classes refuse what they do not know; JSON has no NaN."""
    json.dumps(figure, allow_nan=False)
    return plotly.graph_objects.Figure(figure)


def test_every_figure_is_plotlys(history):
    random = np.random.default_rng(0)
    one, two = {"a": history}, {"a": history, "b": history}
    made = [
        *(make(runs) for make in CURVES for runs in (one, two)),
        figures.confusion(random.integers(0, 9, (5, 5)), list("abcde")),
        figures.confusion(np.zeros((50, 50), int), [str(i) for i in range(50)]),
        figures.reliability(calibrate(random.uniform(0.2, 1, 99), random.uniform(size=99) < 0.5)),
        figures.view_accuracies(random.uniform(size=(4, 3)), 0.5),
        figures.view_accuracies(random.uniform(size=(30, 1)), 0.5),
        figures.intervals(["a", "b"], [(0.5, 0.4, 0.6), (0.1, 0.0, 0.2)]),
        figures.stacked(["a"], {"w": [1], "x": [2], "y": [3], "z": [4]}),
    ]
    for figure in made:
        assert len(check(figure).data) == len(figure["data"]) > 0


CURVES = (figures.loss_curves, figures.accuracy_curves, figures.rate_curves)


def test_curves_hold_the_numbers(history):
    validation = figures.accuracy_curves({"a": history})["data"][1]
    assert (validation["name"], validation["x"]) == ("validation", [1, 2, 3])
    assert validation["y"] == [20, 60, pytest.approx(100 - 80 / 3, abs=0.01)]


def test_no_numbers_no_figure(tmp_path):
    nothing = read_history(tmp_path / "metrics.jsonl")
    assert [make({"a": nothing}) for make in CURVES] == [None] * 3


def test_a_cell_is_a_share_of_its_row():
    heat = figures.confusion(np.array([[3, 1], [0, 0]]), ["up", "down"])["data"][0]
    assert heat["z"] == [[75, 25], [0, 0]]
    assert (heat["y"], heat["customdata"]) == (["up", "down"], [[3, 1], [0, 0]])


def test_names_on_an_axis_are_short_unique_and_no_markup():
    long = "a" * 60
    names = figures.axis_names(["up", "up", long + "1", long + "2", "<b>x</b> & y"])
    assert len(set(names)) == 5
    assert names[:2] == ["up (0)", "up (1)"]
    assert max(map(len, names[:4])) <= figures.LONGEST_NAME + len(" (3)")
    assert names[4] == "&lt;b&gt;x&lt;/b&gt; &amp; y"


def test_a_long_training_stays_small(tmp_path):
    place = '"epoch": "1/1", "iter": "{}/20000", "loss": {}, "lr": 0.1'
    lines = [f'{{"_type": "train_iter", {place.format(i, i)}}}\n' for i in range(1, 20001)]
    (tmp_path / "metrics.jsonl").write_text("".join(lines))
    trace = figures.loss_curves({"a": read_history(tmp_path / "metrics.jsonl")})["data"][0]
    assert len(trace["x"]) == len(trace["y"]) == figures.MAX_POINTS
    assert trace["y"][0] == pytest.approx(10.5)  # of the first twenty


def test_a_single_crop_is_no_crop(tmp_path):
    run = read_run(made_run(tmp_path, clips=1, crops=1))
    assert run.view_predictions.shape == (60, 1)
    assert figures.crop_names(1) == ["one view"]
    assert figures.crop_names(3)[1] == "centre crop"
