"""A predictor says of a video what the test of its run said."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import timesformer
from tests.inference.made import train
from tests.small_videos import small_frames
from timesformer import Predictor
from timesformer.datasets.batch import Failure
from timesformer.datasets.decode import decode_all
from timesformer.errors import UnreadableVideo, UserError
from timesformer.evaluation.ensemble import combine_views, probabilities
from timesformer.inference.predictor import Prediction, Timeline


def results_of(run):
    with np.load(run / "predictions.npz") as archive:
        return dict(archive)


def test_scores_are_those_of_the_test(run, predictor, clips):
    """All of the test set, by the same passes and so to the bit; alone, to float32's rounding."""
    then = results_of(run)
    predictions = list(predictor.many([str(path) for path in then["videos"]]))
    assert np.array_equal(np.stack([p.scores for p in predictions]), then["scores"])
    assert [p.labels[0] for p in predictions] == then["predictions"].tolist()
    alone = predictor(then["videos"][3])
    np.testing.assert_allclose(alone.scores, then["scores"][3], rtol=1e-5, atol=1e-5)


def test_worker_processes_change_nothing(run, predictor, clips):
    with_workers = Predictor(run, overrides=["DATA_LOADER.NUM_WORKERS", "2"])
    for one, other in zip(with_workers.many(clips[:5]), predictor.many(clips[:5]), strict=True):
        assert one.path == other.path
        assert np.array_equal(one.scores, other.scores)


def test_prediction(predictor, clips):
    prediction = predictor(clips[0])
    best = prediction.top(2)
    assert best[0].probability >= best[1].probability
    assert best[0].name == prediction.names[best[0].label]
    assert best[0].score == prediction.scores.max()
    assert prediction.probabilities.sum() == pytest.approx(1, abs=1e-6)
    assert len(prediction.top(100)) == 4
    lines = str(prediction).splitlines()
    assert lines[0] == str(clips[0])
    assert lines[1].split() == [f"{100 * best[0].probability:.2f}", "%", best[0].name]


def test_of_equal_scores_the_lower_class_is_first():
    values = np.array([1, 2, 2, 0], dtype=np.float32)
    assert Prediction("a", tuple("abcd"), values, values).labels.tolist() == [1, 2, 0, 3]


def test_frames_in_memory_are_as_good_as_a_file(predictor, clips):
    """A clip of 24 frames is all of the video, so that rounding by ticks plays no part."""
    frames = decode_all(str(clips[0]))
    expected = predictor(clips[0]).scores
    for form in (frames, torch.from_numpy(frames)):
        np.testing.assert_allclose(predictor(form, fps=30).scores, expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(UserError, match="say how many of them are a second"):
        predictor(frames)
    with pytest.raises(UserError, match=r"float32 .* must be uint8 RGB \(T, H, W, 3\)"):
        predictor(frames.astype(np.float32), fps=30)
    with pytest.raises(UnreadableVideo, match="there is no frame"):
        predictor(frames[:0], fps=30)


def test_a_folder_of_frames(predictor, tmp_path):
    assert predictor(small_frames(tmp_path / "frames")).top(1)


def test_unreadable_videos_are_named_and_the_rest_goes_on(predictor, clips, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(clips[0].read_bytes()[:700])
    results = list(predictor.many([clips[0], broken, clips[1], tmp_path / "none.mp4"]))
    assert [type(result) for result in results] == [Prediction, Failure, Prediction, Failure]
    assert results[3].reason == "No such file or directory"
    with pytest.raises(UnreadableVideo, match="broken.mp4"):
        predictor(broken)


@pytest.mark.parametrize("method", ["sum", "softmax", "max"])
def test_probabilities_of_an_ensemble(method):
    logits = torch.randn(5, 6, 4, dtype=torch.float64)  # videos, views, classes
    found = probabilities(combine_views(logits, method), method, num_views=6)
    expected = {
        "sum": logits.mean(dim=1).softmax(dim=-1),
        "softmax": logits.softmax(dim=-1).mean(dim=1),
        "max": logits.amax(dim=1).softmax(dim=-1),
    }
    torch.testing.assert_close(found, expected[method])
    assert probabilities(torch.full((1, 4), torch.nan), method, 6).isnan().all()


def test_features(predictor, clips):
    """The head's own input: through the head they are the mean logits of the views."""
    features = predictor.features(clips[:3])
    assert (features.shape, features.dtype) == ((3, 16), np.float32)
    with torch.inference_mode():
        logits = predictor.trained.model.model.head(torch.from_numpy(features)).numpy()
    views = predictor.dataset_of([]).num_views
    scores = np.stack([prediction.scores for prediction in predictor.many(clips[:3])])
    np.testing.assert_allclose(views * logits, scores, rtol=1e-4, atol=1e-4)


def test_tokens(predictor, clips):
    tokens = predictor.features(clips[:2], "tokens")
    assert tokens.shape == (2, predictor.dataset_of([]).num_views, 8, 4, 4, 16)
    views = predictor.dataset_of(clips[1:2])[0].views
    with torch.inference_mode():
        clip = predictor.plain_scorer.normalize(views[:, None])
        [last] = predictor.trained.model.forward_intermediates(clip, [-1], norm=True)
    np.testing.assert_allclose(tokens[1], last.patches.numpy(), rtol=1e-4, atol=1e-5)


def test_features_of_the_unreadable_are_nan(predictor, clips, tmp_path, caplog):
    features = predictor.features([tmp_path / "none.mp4", clips[0]])
    assert np.isnan(features[0]).all()
    assert not np.isnan(features[1]).any()
    assert "no features of" in caplog.text
    with pytest.raises(UserError, match="None of the videos can be read"):
        predictor.features([tmp_path / "none.mp4"])
    with pytest.raises(UserError, match="'patches' are not known: use cls or tokens"):
        predictor.features(clips[:1], "patches")


@pytest.mark.slow
def test_a_baseline_has_features_but_no_tokens(tmp_path_factory):
    from tests.engine.runs import NO_TIMESFORMER

    small = {"MODEL__MODEL_NAME": "resnet18_average", **NO_TIMESFORMER}
    run = train(tmp_path_factory.mktemp("baseline"), **small)
    predictor = Predictor(run, overrides=["DATA_LOADER.NUM_WORKERS", "0"])
    then = results_of(run)
    assert np.array_equal(
        np.stack([p.scores for p in predictor.many(then["videos"])]), then["scores"]
    )
    assert predictor.features(then["videos"][:2]).shape == (2, 512)
    with pytest.raises(UserError, match="no tokens of patches: use the features cls"):
        predictor.features(then["videos"][:2], "tokens")


def test_a_timeline_names_its_moments():
    spans = np.array([[0.0, 2.0], [1.0, 3.0], [2.0, 4.0]])
    scores = np.zeros((3, 2), dtype=np.float32)
    scores[1] = np.nan
    timeline = Timeline("a", ("x", "y"), spans, scores, scores)
    assert timeline.moments.tolist() == [[0, 1.5], [1.5, 2.5], [2.5, 4]]
    assert timeline.readable.tolist() == [True, False, True]
    assert len(timeline) == 3


def test_the_package_stays_light():
    code = "import timesformer, sys; assert 'torch' not in sys.modules; timesformer.Predictor"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    with pytest.raises(AttributeError, match="Predicter"):
        timesformer.Predicter  # noqa: B018
