"""What can be wrong with the files of a test is said in a sentence."""

import os

import numpy as np
import pytest

from tests.report.made import made_run, write_history
from timesformer.config import dump, load_config
from timesformer.errors import UserError
from timesformer.report.results import read_run
from timesformer.report.settings import read_settings


def change(folder, **arrays):
    """Write the predictions again, with other arrays; None leaves one out."""
    with np.load(folder / "predictions.npz") as archive:
        changed = dict(archive) | arrays
    np.savez(folder / "predictions.npz", **{k: v for k, v in changed.items() if v is not None})


def test_all_of_a_run(tmp_path):
    made_run(tmp_path, failed=[3])
    write_history(tmp_path)
    run = read_run(tmp_path)
    assert (len(run.videos), run.scores.shape, run.num_views) == (60, (60, 4), 6)
    assert run.class_names == ["class 0", "class 1", "class 2", "class 3"]
    assert run.failures == {"videos/00003.mp4": "no frames"}
    assert not run.is_read[3]
    assert run.ranks[run.is_right].max() == 0
    assert run.settings.file == tmp_path / "config.yaml"
    assert run.name == tmp_path.name


def test_predictions_alone(tmp_path):
    made_run(tmp_path)
    change(tmp_path, view_predictions=None, class_names=None)
    for name in ("config.yaml", "failed_videos.csv"):
        (tmp_path / name).unlink()
    run = read_run(tmp_path)
    assert (run.num_views, run.view_predictions, run.failures) == (None, None, {})
    assert run.class_names == ["0", "1", "2", "3"]


def test_the_number_of_views_is_found_where_it_is_told(tmp_path):
    made_run(tmp_path, clips=5, crops=3)
    change(tmp_path, view_predictions=None)
    assert read_run(tmp_path).num_views == 15  # of the config
    (tmp_path / "metrics.jsonl").write_text('{"_type": "test_final", "num_views": 4}\n')
    assert read_run(tmp_path).num_views == 4


def test_predictions_elsewhere(tmp_path):
    made_run(tmp_path / "run")
    other = (tmp_path / "run" / "predictions.npz").rename(tmp_path / "other.npz")
    assert read_run(tmp_path / "run", other).file == other
    dump(
        load_config(None, ["TEST.SAVE_RESULTS_PATH", str(other)]), tmp_path / "run" / "config.yaml"
    )
    assert read_run(tmp_path / "run").file == other


def test_the_later_config_is_that_of_the_test(tmp_path):
    for seed, name in enumerate(("config.yaml", "config_test.yaml")):
        dump(load_config(None, ["RNG_SEED", seed]), tmp_path / name)
        os.utime(tmp_path / name, (seed + 1, seed + 1))
    assert read_settings(tmp_path).get("RNG_SEED") == 1
    os.utime(tmp_path / "config.yaml", (9, 9))
    assert read_settings(tmp_path).get("RNG_SEED") == 0


def test_a_config_of_another_version(tmp_path):
    (tmp_path / "config.yaml").write_text("TRAIN:\n  GONE: 3\n  EVAL_PERIOD: 7\n")
    settings = read_settings(tmp_path)
    assert [(row.name, row.value, row.default) for row in settings] == [
        ("TRAIN.EVAL_PERIOD", 7, 1),
        ("TRAIN.GONE", 3, None),
    ]
    assert settings.get("RNG_SEED") == 0


MISTAKES = [
    ({"scores": None}, "holds no scores, so it is not the predictions of a test"),
    ({"labels": np.zeros(3, int)}, "the arrays do not fit each other"),
    ({"scores": np.zeros(60, np.float32)}, "the arrays do not fit each other"),
    ({"class_names": np.array(["a"])}, "the arrays do not fit each other"),
    ({"view_predictions": np.zeros(60, int)}, "the arrays do not fit each other"),
    ({"view_predictions": np.zeros((60, 0), int)}, "the arrays do not fit each other"),
    ({"spans": np.zeros((60, 3))}, "the arrays do not fit each other"),
    ({"backward": np.zeros((60, 1), bool)}, "the arrays do not fit each other"),
    ({"labels": np.full(60, 4)}, "labels holds a number that is no class; they are 0 to 3"),
    ({"predictions": np.full(60, -2)}, "predictions holds a number that is no class"),
    ({"videos": np.array([{}])}, "cannot be read"),  # pickled, so it is not loaded
]


@pytest.mark.parametrize(("arrays", "sentence"), MISTAKES, ids=lambda value: str(value)[:40])
def test_broken_predictions(arrays, sentence, tmp_path):
    made_run(tmp_path)
    change(tmp_path, **arrays)
    with pytest.raises(UserError, match=sentence):
        read_run(tmp_path)


def test_no_videos(tmp_path):
    made_run(tmp_path, num_videos=0)
    with pytest.raises(UserError, match="holds no videos, so there is nothing to report"):
        read_run(tmp_path)


@pytest.mark.parametrize("data", [b"", b"no zip", b"PK\x03\x04 half"])
def test_what_is_no_archive(data, tmp_path):
    (tmp_path / "predictions.npz").write_bytes(data)
    with pytest.raises(UserError, match=r"predictions\.npz cannot be read .*Test again"):
        read_run(tmp_path)


def test_half_an_archive_and_a_single_array(tmp_path):
    made_run(tmp_path)
    file = tmp_path / "predictions.npz"
    whole = file.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:200] + bytes(200) + whole[400:]):
        file.write_bytes(damaged)
        with pytest.raises(UserError, match="cannot be read"):
            read_run(tmp_path)
    with file.open("wb") as stream:
        np.save(stream, np.zeros(3))
    with pytest.raises(UserError, match="is a single array"):
        read_run(tmp_path)


def test_what_is_not_there(tmp_path):
    with pytest.raises(UserError, match="there is no folder .*Name the OUTPUT_DIR of a run"):
        read_run(tmp_path / "none")
    with pytest.raises(UserError, match="holds no predictions.npz.*Test the run first"):
        read_run(tmp_path)
