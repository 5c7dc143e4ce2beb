"""What the page says of good and of bad files."""

import av
import numpy as np
import pytest

from timesformer.datasets.decode import decode_all
from timesformer.demo.look import Limits, Looker


@pytest.fixture
def looker(predictor, tmp_path):
    (tmp_path / "work").mkdir()
    return Looker(predictor, Limits(megabytes=1, seconds=5), tmp_path / "work")


def test_a_video_in_steps(looker, clips):
    shown = []
    for seen in looker(str(clips[0])):
        shown.append(seen)
        assert all(path is None or path.is_file() for path in (seen.timeline, seen.attention))
    assert [seen.words for seen in shown] == [
        "Reading the video …",
        "Looking at its parts …",
        "Drawing what it looked at …",
        "Done: 0.8 seconds of video.",
    ]
    assert sum(shown[1].classes.values()) == pytest.approx(1, abs=1e-5)
    assert shown[-1].attention.suffix == ".mp4"
    assert shown[-1].timeline is None  # it is no longer than a clip
    assert list(looker.folder.iterdir()) == []


def test_a_long_video_has_a_timeline(looker, clips, tmp_path):
    video = tmp_path / "long.mp4"
    with av.open(str(video), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.height, stream.width, stream.pix_fmt = 64, 72, "yuv420p"
        for picture in np.concatenate([decode_all(str(clip)) for clip in clips[:3]]):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    steps = looker(str(video))
    last = [(seen.words, seen.timeline) for seen in steps][-1]
    assert last[0] == "Done: 2.4 seconds of video."
    assert last[1].suffix == ".png"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content[:700], "The video 'a.mp4' cannot be read: Invalid data"),
        (lambda content: b"", "The video 'a.mp4' cannot be read"),
        (lambda content: content + bytes(1_100_000), "The file has 1 MB; at most 1 MB and 5 sec"),
    ],
)
def test_bad_files_get_a_sentence(looker, clips, tmp_path, change, words):
    bad = tmp_path / "a.mp4"
    bad.write_bytes(change(clips[0].read_bytes()))
    [seen] = looker(str(bad))
    assert seen.words.startswith(words)
    assert str(tmp_path) not in seen.words
    assert seen.classes == {}


def test_too_long_a_video_gets_a_sentence(predictor, clips, tmp_path):
    looker = Looker(predictor, Limits(megabytes=1, seconds=0.5), tmp_path)
    [seen] = looker(str(clips[0]))
    assert seen.words == "The video is 0.8 seconds long; at most 1 MB and 0.5 seconds are taken."


def test_too_large_a_picture_gets_a_sentence(looker, clips, monkeypatch):
    monkeypatch.setattr("timesformer.demo.look.MAX_PIXELS", 64 * 72 - 1)
    [seen] = looker(str(clips[0]))
    assert seen.words == "The pictures are 72 x 64, which is too large for here."
