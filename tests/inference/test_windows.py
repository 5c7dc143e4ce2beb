"""Windows of a video are scored as the same parts of it alone, and decoded together."""

import av
import numpy as np
import pytest

from timesformer.datasets.decode import VideoReader, decode_all
from timesformer.errors import UnreadableVideo, UserError
from timesformer.inference.windows import MAX_WINDOWS, Windows, batch_of_windows, spans_over


@pytest.fixture(scope="module")
def long_video(clips, tmp_path_factory):
    """Four test clips one after the other: 96 frames at 30 a second, a key frame each second."""
    return joined(clips[:4], tmp_path_factory.mktemp("long") / "long.mp4", "libx264")


def joined(clips, path, codec):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30, options={"g": "30"})
        stream.height, stream.width, stream.pix_fmt = 64, 72, "yuv420p"
        for picture in np.concatenate([decode_all(str(clip)) for clip in clips]):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_spans():
    assert spans_over(4, 2, 1).tolist() == [[0, 2], [1, 3], [2, 4]]
    assert spans_over(3.5, 2, 1).tolist() == [[0, 2], [1, 3], [1.5, 3.5]]  # the last ends with it
    assert spans_over(1, 2, 1).tolist() == [[0, 1]]
    assert spans_over(10, 2, 5).tolist() == [[0, 2], [5, 7], [8, 10]]
    with pytest.raises(UserError, match="both must be above 0"):
        spans_over(4, 0, 1)


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_a_window_is_scored_as_that_part_alone(predictor, clips, tmp_path, codec):
    """Of an AVI, too, which does not tell where its frames are."""
    ending = "mp4" if codec == "libx264" else "avi"
    video = joined(clips[:4], tmp_path / f"long.{ending}", codec)
    timeline = predictor.timeline(video, 0.8, 0.4)
    assert len(timeline) == 7
    parts = predictor.dataset_of([video] * 7, timeline.spans)
    # As many views as a window has: all of its length is one clip, so that more would be the same.
    parts.num_clips = 1
    alone = np.stack([outcome.values for outcome in predictor.outcomes(parts)])
    np.testing.assert_allclose(timeline.scores, alone, rtol=1e-5, atol=1e-5)
    assert timeline.probabilities.sum(axis=1) == pytest.approx(np.ones(7), abs=1e-6)
    assert timeline[2].top(1)[0].label == int(alone[2].argmax())


def test_neighbours_are_decoded_once(predictor, long_video, monkeypatch):
    """21 windows that overlap by nine tenths: one opening of the file, one read."""
    reads = []

    class Counting(VideoReader):
        def read(self, indices):
            reads.append(len(indices))
            return super().read(indices)

    dataset = predictor.dataset_of([long_video] * 21, spans_over(3.2, 0.8, 0.12))
    dataset.open_video = Counting
    windows = Windows.of(dataset, 1)
    list(
        predictor.outcomes(windows, batch_size=batch_of_windows(windows, Counting(str(long_video))))
    )
    assert len(windows) == 21
    assert len(reads) == 2  # the first is one frame, to know its size
    assert reads[1] <= 96


def test_batches_of_windows_fit_the_memory(predictor, long_video, monkeypatch):
    dataset = Windows.of(predictor.dataset_of([long_video] * 3, spans_over(3.2, 1.6, 0.8)), 1)
    reader = VideoReader(str(long_video))
    assert batch_of_windows(dataset, reader) == MAX_WINDOWS
    monkeypatch.setattr("timesformer.inference.windows.MAX_BYTES", 1)
    assert batch_of_windows(dataset, reader) == 1


def test_damage_costs_the_windows_it_is_in(predictor, long_video, tmp_path):
    """The last quarter is overwritten: the first windows are as before."""
    content = bytearray(long_video.read_bytes())
    reader = VideoReader(str(long_video))
    start = reader._layout.places[reader._layout.frame_packets[80]]
    content[start : start + 400] = bytes(400)
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(content)
    whole, partly = (predictor.timeline(path, 0.8, 0.8) for path in (long_video, damaged))
    assert partly.readable[:2].all()
    assert not partly.readable[-1]
    assert partly.failures
    np.testing.assert_allclose(partly.scores[:2], whole.scores[:2], rtol=1e-5, atol=1e-5)


def test_a_video_that_cannot_be_opened(predictor, tmp_path):
    with pytest.raises(UnreadableVideo, match="No such file"):
        predictor.timeline(tmp_path / "none.mp4", 1)


def test_it_is_told_how_far_it_is(predictor, long_video):
    told = []
    predictor.timeline(long_video, 0.8, 0.8, tell=lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
