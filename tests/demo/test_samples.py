"""The page's samples are those of the model's data."""

import shutil

import av
import numpy as np

from tests.small_videos import small_video
from timesformer import Predictor
from timesformer.datasets.motion_shapes import CLASSES
from timesformer.demo.samples import samples


def test_motion_shapes_are_made(predictor, tmp_path):
    paths = samples(predictor.trained.cfg, CLASSES, tmp_path)
    assert [path.name for path in paths] == ["up.mp4", "down.mp4", "left.mp4", "right.mp4"]
    assert all(np.isfinite(predictor(path).scores).all() for path in paths)


def test_other_models_show_videos_of_their_test(run, clips, tmp_path):
    """As browsers can play them: an AVI as an MP4; what cannot be read is left out."""
    data, made = tmp_path / "data", tmp_path / "made"
    made.mkdir()
    small_video(data / "a.avi", num_frames=8)
    shutil.copy(clips[0], data / "b.mp4")
    (data / "c.avi").write_text("no video")
    (data / "test.csv").write_text("a.avi 0\nb.mp4 1\nc.avi 2\n")
    names = ["DATA.PATH_TO_DATA_DIR", str(data), "TEST.DATASET", "video_csv"]
    cfg = Predictor(run, overrides=names).trained.cfg
    assert samples(cfg, tuple("wxyz"), made) == [made / "a.mp4", data / "b.mp4"]
    with av.open(str(made / "a.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        assert len(list(container.decode(video=0))) == 8


def test_without_the_data_there_are_none(run, tmp_path):
    cfg = Predictor(run, overrides=["DATA.PATH_TO_DATA_DIR", str(tmp_path)]).trained.cfg
    assert samples(cfg, tuple("wxyz"), tmp_path) == []
