"""The page's samples are those of the model's data."""

import os
import shutil
from pathlib import Path

import av
import numpy as np

from tests.small_videos import small_video
from timesformer import Predictor
from timesformer.demo.samples import playable, samples
from timesformer.synthetic.direction import CLASSES


def test_motion_shapes_are_made(predictor, tmp_path):
    paths = samples(predictor.trained.cfg, CLASSES, tmp_path)
    assert [Path(path).name for path in paths] == ["up.mp4", "down.mp4", "left.mp4", "right.mp4"]
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
    assert samples(cfg, tuple("wxyz"), made) == [str(made / "1_a.mp4"), str(data / "b.mp4")]
    with av.open(str(made / "1_a.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        assert len(list(container.decode(video=0))) == 8


def test_files_of_one_name_stay_apart(run, tmp_path):
    data, made = tmp_path / "data", tmp_path / "made"
    made.mkdir()
    small_video(data / "A" / "1.avi", num_frames=8)
    small_video(data / "B" / "1.avi", num_frames=8)
    (data / "test.csv").write_text("A/1.avi 0\nB/1.avi 1\n")
    names = ["DATA.PATH_TO_DATA_DIR", str(data), "TEST.DATASET", "video_csv"]
    cfg = Predictor(run, overrides=names).trained.cfg
    offered = [str(made / "1_1.mp4"), str(made / "2_1.mp4")]
    assert samples(cfg, tuple("wxyz"), made) == offered
    assert all(os.path.isfile(path) for path in offered)


def test_a_name_that_is_no_utf8_is_not_offered_itself(clips, tmp_path):
    shutil.copy(clips[0], tmp_path / "caf\udce9.mp4")
    made = tmp_path / "1.mp4"
    assert playable(str(tmp_path / "caf\udce9.mp4"), made) == str(made)
    assert made.is_file()


def test_an_address_stays_one(clips, tmp_path, caplog):
    """Of a server that is not there: the log names the address as the list does."""
    with caplog.at_level("INFO", logger="timesformer"):
        assert playable("http://127.0.0.1:9/a.avi", tmp_path / "1_a.mp4") is None
    assert "http://127.0.0.1:9/a.avi is no sample" in caplog.text


def test_without_the_data_there_are_none(run, tmp_path):
    cfg = Predictor(run, overrides=["DATA.PATH_TO_DATA_DIR", str(tmp_path)]).trained.cfg
    assert samples(cfg, tuple("wxyz"), tmp_path) == []
