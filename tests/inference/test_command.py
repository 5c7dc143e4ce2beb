"""tools/predict.py, as people call it."""

import csv
import json
import os
import runpy
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file

from tests.engine.runs import REPO, run_process
from tests.small_videos import small_frames
from timesformer.inference.arguments import split_off_overrides

DOOR = str(REPO / "tools" / "predict.py")


@pytest.fixture
def folder(clips, tmp_path):
    """Two clips, one of them in a folder of its own, a folder of frames, and what is none."""
    place = tmp_path / "mine"
    (place / "sub").mkdir(parents=True)
    (place / "a.mp4").write_bytes(clips[0].read_bytes())
    (place / "sub" / "b.mp4").write_bytes(clips[1].read_bytes())
    (place / "c.mp4").write_text("no video")
    small_frames(place / "frames")
    return place


class Done(NamedTuple):
    rc: int | str
    stdout: str
    stderr: str


@pytest.fixture
def predict(capsys, monkeypatch):
    """Call the tool in this process: a process of its own would load torch each time."""

    def call(*args, rc=0):
        monkeypatch.setattr(sys, "argv", [DOOR, *map(str, args)])
        end = None
        try:
            runpy.run_path(DOOR, run_name="__main__")
        except SystemExit as error:
            end = error.code
        said = capsys.readouterr()
        words = f"{said.err}{end}" if isinstance(end, str) else said.err
        done = Done(1 if isinstance(end, str) else end or 0, said.out, words)
        assert done.rc == rc, words
        return done

    return call


def test_a_folder_as_a_table(predict, run, folder):
    done = predict(folder, "--checkpoint", run, "--top-k", 2, "TEST.NUM_SPATIAL_CROPS", 1, rc=1)
    lines = done.stdout.splitlines()
    assert lines[0] == str(folder / "a.mp4")
    assert lines[3] == str(folder / "c.mp4")
    assert lines[4].split(": ")[0].strip() == "cannot be read"
    assert len([line for line in lines if "%" in line]) == 6
    assert done.stderr.splitlines()[-1] == "error: 1 of 4 videos cannot be read, as said above."


def test_json_and_csv_say_the_same(predict, run, folder, tmp_path):
    (folder / "c.mp4").unlink()
    predict(folder, "--checkpoint", run, "--out", tmp_path / "p.json")
    printed = predict(folder, "--checkpoint", run, "--format", "csv", "--top-k", 1).stdout
    objects = json.loads((tmp_path / "p.json").read_text())
    rows = list(csv.DictReader(printed.splitlines()))
    assert [o["video"] for o in objects] == [row["video"] for row in rows]
    assert [o["top"][0]["class"] for o in objects] == [row["class"] for row in rows]
    assert len(objects[0]["top"]) == 4
    assert sum(guess["probability"] for guess in objects[0]["top"]) == pytest.approx(1, abs=1e-5)
    assert not (tmp_path / "p.json.partial").exists()


def test_an_interrupted_run_goes_on(predict, run, folder, tmp_path):
    """The first run knows one video; of the second that one is not asked for again."""
    out = tmp_path / "p.csv"
    (folder / "c.mp4").unlink()
    code = f"""
import sys
from timesformer.inference.kept import KeptRows
add = KeptRows.add
def stop(self, index, values):
    add(self, index, values)
    raise KeyboardInterrupt
KeptRows.add = stop
sys.path.insert(0, {str(REPO / "tools")!r})
sys.argv = ["predict.py", {str(folder)!r}, "--checkpoint", {str(run)!r}, "--out", {str(out)!r}]
import predict
predict.main()
"""
    stopped = run_process([sys.executable, "-c", code])
    assert stopped.returncode == 130
    assert "stopped: 1 of 3 videos are kept in" in stopped.stderr
    assert "the same command continues" in stopped.stderr
    assert not out.exists()
    known = folder / "a.mp4"
    status = known.stat()
    known.write_bytes(bytes(status.st_size))  # no video any more, which nobody looks at
    os.utime(known, ns=(status.st_atime_ns, status.st_mtime_ns))
    done = predict(folder, "--checkpoint", run, "--out", out)
    assert done.stdout.splitlines() == ["1 videos are known from before", f"wrote {out}"]
    assert {row["error"] for row in csv.DictReader(out.read_text().splitlines())} == {""}


def test_windows(predict, run, clips, tmp_path):
    args = [clips[0], clips[1], "--checkpoint", run, "--windows", 0.4, "--stride", 0.2]
    out = tmp_path / "lines"
    done = predict(*args, "--top-k", 1, "--out", out)
    files = sorted(path.name for path in out.iterdir())
    assert files == ["00000.mp4.json", "00000.mp4.png", "00001.mp4.json", "00001.mp4.png"]
    content = json.loads((out / files[0]).read_text())
    assert [window["start"] for window in content["windows"]] == [0, 0.2, 0.4]
    assert all(len(window["top"]) == 1 for window in content["windows"])
    with Image.open(out / files[1]) as picture:
        assert picture.width > 900
    assert f"wrote {out / files[0]} {out / files[1]}" in done.stdout
    again = predict(*args, "--top-k", 1, "--out", out)
    assert again.stdout.count("is there already") == 2
    other = predict(*args, "--top-k", 2, "--out", out)
    assert other.stdout.count("wrote") == 2


def test_the_timeline_of_another_video_of_that_name_does_not_count(predict, run, clips, tmp_path):
    one, other = (tmp_path / name / "x.mp4" for name in ("one", "other"))
    for video, clip in ((one, clips[0]), (other, clips[1])):
        video.parent.mkdir()
        video.write_bytes(clip.read_bytes())
    args = ["--checkpoint", run, "--windows", 0.4, "--out", tmp_path / "lines"]
    made = tmp_path / "lines" / "x.mp4.json"
    for video in (one, other):
        assert f"wrote {made}" in predict(video, *args).stdout
        assert json.loads(made.read_text())["video"] == str(video)
        assert "is there already" in predict(video, *args).stdout
    other.write_bytes(clips[2].read_bytes())
    assert f"wrote {made}" in predict(other, *args).stdout
    made.write_text("[]")
    assert f"wrote {made}" in predict(other, *args).stdout


def test_features_as_npz_and_safetensors(predict, run, folder, tmp_path):
    args = [folder, "--checkpoint", run, "--features", "cls", "--out"]
    done = predict(*args, tmp_path / "f.npz", rc=1)
    assert f"wrote {tmp_path / 'f.npz'}: features 3 x 16" in done.stdout
    with np.load(tmp_path / "f.npz") as archive:
        videos, features = archive["videos"], archive["features"]
        settings = json.loads(str(archive["settings"]))
    assert settings["kind of values"] == "cls"
    names = [str(folder / name) for name in ("a.mp4", "frames", "sub/b.mp4")]
    assert videos.tolist() == names
    assert (features.shape, features.dtype) == ((3, 16), np.float32)
    predict(*args, tmp_path / "f.safetensors", rc=1)
    assert np.array_equal(load_file(tmp_path / "f.safetensors")["features"], features)
    with safe_open(tmp_path / "f.safetensors", "numpy") as file:
        about = file.metadata()
    assert json.loads(about["settings"]) == settings
    assert json.loads(about["videos"]) == names


def test_a_camera_that_is_a_file(predict, run, clips):
    done = predict("--camera", clips[0], "--checkpoint", run, "--windows", 0.4, "--stride", 0.2)
    assert len([line for line in done.stdout.splitlines() if "%" in line]) == 2


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["none.mp4"], "There is no video or folder 'none.mp4'."),
        ([], "Name videos or folders, or a --camera."),
        (["{folder}", "--camera", "0"], "Name videos or folders, or a --camera."),
        (["{empty}"], "There is no video in the folder"),
        (["{folder}", "--features", "cls"], "--features needs --out FILE.npz or"),
        (["{folder}", "--features", "cls", "--out", "f.txt"], "go to a .npz or .safetensors file"),
        (["{folder}", "--stride", "1"], "--stride is of --windows"),
        (["{folder}", "--windows", "-1"], "--windows is -1, but must be above 0 seconds"),
        (["{folder}", "--windows", "inf"], "--windows is inf, but must be above 0 seconds and fin"),
        (["{folder}", "--windows", "nan"], "--windows is nan, but must be above 0 seconds and fin"),
        (["{folder}", "--out", "p.cvs"], "'p.cvs': predictions go to a file in .txt, .json, .csv"),
        (["--camera", "0", "--top-k", "2"], "--top-k is of videos and --windows"),
        (["{folder}", "--out", "."], "'.' cannot be written (it is a folder): name another --out."),
        (["{folder}", "--windows", "1", "--out", "{folder}/a.mp4"], "a.mp4/a.mp4.json' cannot be"),
        (["{folder}", "--windows", "1", "--out", "a.json"], "for 4 videos it must be a folder"),
        (["{folder}", "--windows", "1", "--format", "csv"], "--format is of videos"),
        (["{folder}", "--top-k", "0"], "--top-k must be at least 1"),
        (["{folder}", "TEST.VIEWS", "1"], "TEST.VIEWS is not a config key"),
        (["{folder}", "--cfg", "none.yaml"], "there is no config file none.yaml"),
    ],
)
def test_mistakes_are_sentences(predict, run, folder, tmp_path, args, words):
    (tmp_path / "empty").mkdir()
    args = [arg.format(folder=folder, empty=tmp_path / "empty") for arg in args]
    done = predict(*args, "--checkpoint", run, rc=1)
    assert done.stderr.startswith("error: ")
    assert words in done.stderr


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mine", []),
        ("mine.csv", []),
        ("mine.npz", ["--features", "cls"]),
        ("mine.json", ["--windows", "0.4"]),
        ("mine.png", ["--windows", "0.4"]),
    ],
)
def test_a_folder_that_is_given_as_out_stays(predict, run, clips, tmp_path, name, options):
    mine = tmp_path / name
    mine.mkdir()
    (mine / "a.txt").write_text("years of work")
    done = predict(clips[0], "--checkpoint", run, *options, "--out", mine, rc=1)
    assert done.stderr.startswith(f"error: '{mine}' cannot be written (it is a folder)")
    assert (mine / "a.txt").read_text() == "years of work"
    assert sorted(tmp_path.rglob("*")) == [mine, mine / "a.txt"]


def test_a_wrong_checkpoint_is_a_sentence(predict, clips):
    for wrong in ("none.pyth", str(clips[0])):
        done = predict(clips[0], "--checkpoint", wrong, rc=1)
        assert wrong in done.stderr


def test_overrides_are_told_from_videos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "TEST.mp4").touch()
    words = ["a.mp4", "TEST.mp4", "DATA.MEAN", "[0.5, 0.5, 0.5]"]
    assert split_off_overrides(words) == (words[:2], words[2:])
    assert split_off_overrides(["CLIP.MP4"]) == (["CLIP.MP4"], [])
    assert split_off_overrides(["a", "NUM_GPUS", "0"]) == (["a"], ["NUM_GPUS", "0"])


@pytest.mark.parametrize("tool", ["predict", "demo"])
def test_help_loads_no_torch(tool):
    code = (
        f"import sys, runpy; sys.argv = ['{tool}.py', '--help']\n"
        f"try: runpy.run_path({str(REPO / 'tools' / tool) + '.py'!r}, run_name='__main__')\n"
        "except SystemExit as end: assert not end.code\n"
        "assert not {'torch', 'cv2', 'gradio', 'matplotlib'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True)
