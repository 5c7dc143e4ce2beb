"""DATA.ARROW_OF_TIME: what a test leaves behind says which videos were played backward."""

from math import nan

import numpy as np

from tests.engine.runs import train
from timesformer.report.content import Report
from timesformer.report.frames import strip_of
from timesformer.report.results import read_run


def test_its_predictions_and_the_frames_of_its_mistakes(videos, tmp_path):
    changes = {"DATA__ARROW_OF_TIME": True, "MODEL__NUM_CLASSES": 2, "SOLVER__MAX_EPOCH": 1}
    train(videos, tmp_path, **changes)
    run = read_run(tmp_path)
    assert run.backward.tolist() == [False, True] * 10
    assert run.videos[::2] == run.videos[1::2]
    assert np.array_equal(run.labels, run.backward)
    mistakes = list(Report(run).mistakes())
    assert mistakes
    for mistake in mistakes:
        backward = mistake.name == "backward"
        shown = strip_of(mistake.video, span=(nan, nan), frames_fps=30, backward=backward)
        assert mistake.strip == shown
