"""The door: what a person's mistakes are answered with. One sentence, status 1, no traceback."""

import os
import re
import shutil
import sys

import pytest
import torch

from tests.engine.runs import TINY_CONFIG, command, metrics, options, run_process
from timesformer.checkpoints import files
from timesformer.models import TimeSformer
from tools import run_net


@pytest.fixture
def answer(monkeypatch):
    """Runs the door in this process; its error message."""

    def run(opts, cfg=TINY_CONFIG):
        monkeypatch.setattr(sys, "argv", ["run_net.py", "--cfg", str(cfg), *map(str, opts)])
        with pytest.raises(SystemExit) as stop:
            run_net.main()
        assert isinstance(stop.value.code, str), "a string is printed, and the status is 1"
        assert "\n" not in stop.value.code
        return stop.value.code

    return run


@pytest.fixture
def copied(videos, tmp_path):
    """A copy of the videos to do harm to."""
    return shutil.copytree(videos, tmp_path / "videos")


@pytest.mark.slow
def test_a_real_process_exits_with_status_1_and_no_traceback(videos, tmp_path):
    done = run_process(command([*options(videos, tmp_path), "TRAIN.BATCHSIZE", "3"]))
    assert done.returncode == 1
    assert done.stderr == (
        "error: command line: TRAIN.BATCHSIZE is not a config key. "
        "Did you mean 'TRAIN.BATCH_SIZE'?\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize("mistake", ["there are no weights to test", "is not a folder"])
def test_a_mistake_is_said_once_by_two_processes(videos, tmp_path, mistake):
    data = videos if "weights" in mistake else tmp_path / "nowhere"
    opts = options(data, tmp_path, NUM_PROCS=2, TRAIN__ENABLE=False)
    done = run_process(command(opts))
    assert done.returncode == 1
    assert done.stderr.count(f"{mistake}") == 1
    assert "Traceback" not in done.stderr


def test_config_mistakes(answer, videos, tmp_path):
    opts = options(videos, tmp_path)
    assert "there is no config file" in answer(opts, cfg=tmp_path / "none.yaml")
    assert "must be int, at least 1" in answer([*opts, "TRAIN.BATCH_SIZE", "0"])
    assert "'resnet' is not a known model" in answer([*opts, "MODEL.MODEL_NAME", "resnet"])
    assert "'ssv3' is not a known data set" in answer([*opts, "TRAIN.DATASET", "ssv3"])
    scheme = answer([*opts, "TIMESFORMER.ATTENTION_TYPE", "divided_space_tim"])
    assert "Did you mean 'divided_space_time'?" in scheme
    assert "cannot be reached with 8 clips a pass" in answer([*opts, "GLOBAL_BATCH_SIZE", "12"])
    processes = answer([*opts, "NUM_PROCS", "3"])
    assert "TRAIN.BATCH_SIZE 8 is split over the 3 processes" in processes
    assert "no place to meet" in answer([*opts, "NUM_SHARDS", "2", "GLOBAL_BATCH_SIZE", "16"])


def test_an_output_that_cannot_be_written(answer, videos, tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot be written to" in answer(options(videos, tmp_path / "file"))
    opts = options(videos, tmp_path / "out", TEST__SAVE_RESULTS_PATH=tmp_path)
    assert "is a folder; name a .npz file" in answer(opts)


def test_a_missing_checkpoint_is_said_before_the_training(answer, videos, tmp_path):
    opts = options(videos, tmp_path / "out", TEST__CHECKPOINT_FILE_PATH=tmp_path / "none.pyth")
    assert "TEST.CHECKPOINT_FILE_PATH: There is no weights file" in answer(opts)
    assert not (tmp_path / "out" / "checkpoints").exists()


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("https://localhost:1/vit.pth", "'https://localhost:1/vit.pth' could not be downloaded"),
        ("hf://owner/repo", "'hf://owner/repo' could not be fetched .*HF_HUB_OFFLINE is set"),
        ("timm://vit_small.tag", "'timm://vit_small.tag' could not be fetched .*local path"),
        ("s3://bucket/vit.pth", "'s3://bucket/vit.pth' cannot be fetched: weights are a path, "),
        ("hf://owner", r"names nothing on the Hugging Face hub: write hf://owner/repo\[@revision"),
    ],
)
def test_weights_that_cannot_be_had(answer, videos, tmp_path, monkeypatch, source, sentence):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    said = answer(options(videos, tmp_path / "out", TIMESFORMER__PRETRAINED_MODEL=source))
    assert re.search(f"^error: TIMESFORMER.PRETRAINED_MODEL: .*{sentence}", said)
    assert not (tmp_path / "out" / "checkpoints").exists()


class Code:
    """Pickles as a call that makes a directory."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_weights_that_are_no_weights(answer, videos, tmp_path):
    path, made = tmp_path / "weights.pth", tmp_path / "made"

    def test_them(**changes):
        opts = options(videos, tmp_path / "out", TEST__CHECKPOINT_FILE_PATH=path, **changes)
        return answer([*opts, "TRAIN.ENABLE", "False"])

    torch.save({"model_state": {"cls_token": Code(made)}}, path)
    assert "was refused: to load it, Python would have to execute code from it" in test_them()
    assert not made.exists()
    network = TimeSformer(
        img_size=32, patch_size=8, num_classes=4, embed_dim=16, depth=2, num_heads=4
    )
    state = network.state_dict()
    torch.save(state, path)
    assert "lacks tensors that the model has: blocks.2." in test_them(TIMESFORMER__DEPTH=3)
    torch.save({n: t for n, t in state.items() if ".head." not in n}, path)
    assert "leaves weights of the model random, first head.weight" in test_them()
    path.write_bytes(path.read_bytes()[:1000])
    assert "it is truncated or of another kind" in test_them()


def test_no_memory_for_the_model(answer, videos, tmp_path):
    said = answer(options(videos, tmp_path, TIMESFORMER__EMBED_DIM=4_000_000))
    assert said.startswith("error: out of memory. Try a smaller TRAIN.BATCH_SIZE")


def test_more_gpus_than_there_are(answer, videos, tmp_path):
    said = answer(
        options(videos, tmp_path, NUM_GPUS=64, TRAIN__BATCH_SIZE=64, GLOBAL_BATCH_SIZE=64)
    )
    assert "64 GPUs are asked for on this node, but it has" in said
    assert "set NUM_GPUS" in said


def test_missing_and_malformed_lists(answer, copied, tmp_path):
    assert "is not a folder" in answer(options(tmp_path / "nowhere", tmp_path))
    lines = (copied / "train.csv").read_text().splitlines()
    lines[3] = "videos/train/00003.mp4"
    (copied / "train.csv").write_text("\n".join(lines))
    assert "train.csv, line 4" in answer(options(copied, tmp_path))
    lines[3] = "videos/train/00003.mp4 9"
    (copied / "train.csv").write_text("\n".join(lines))
    said = answer(options(copied, tmp_path))
    assert "train.csv, line 4" in said
    assert "9" in said
    (copied / "train.csv").unlink()
    assert "train.csv" in answer(options(copied, tmp_path))


def test_a_wrong_prefix(answer, videos, tmp_path):
    opts = options(videos, tmp_path, DATA__PATH_PREFIX=tmp_path / "elsewhere")
    assert "DATA.PATH_PREFIX" in answer(opts)


def test_too_many_unreadable_training_videos(answer, copied, tmp_path):
    for number in (1, 4, 9):
        (copied / f"videos/train/{number:05d}.mp4").write_bytes(b"not a video")
    said = answer(options(copied, tmp_path, DATA__MAX_FAILED_FRACTION=0.1))
    assert "3 of the 21 training videos could not be read in this epoch" in said
    assert "DATA.MAX_FAILED_FRACTION 0.1" in said


@pytest.mark.parametrize("workers", [0, 1])
def test_a_data_set_without_a_single_readable_video(answer, copied, tmp_path, workers):
    for path in (copied / "videos/train").iterdir():
        path.write_bytes(b"")
    changes = {"DATA__MAX_FAILED_FRACTION": 1.0, "DATA_LOADER__NUM_WORKERS": workers}
    said = answer(options(copied, tmp_path, **changes))
    assert "no readable training video was found" in said


def test_a_missing_test_list_is_said_before_the_training(answer, copied, tmp_path):
    (copied / "test.csv").unlink()
    assert "test.csv" in answer(options(copied, tmp_path / "out"))
    assert not (tmp_path / "out" / "checkpoints").exists()


def test_a_folder_of_broken_checkpoints_is_not_trained_over(answer, videos, tmp_path):
    path = files.epoch_path(str(tmp_path), 7)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"hello")
    assert "none of the checkpoints in" in answer(options(videos, tmp_path))
    assert path.read_bytes() == b"hello"


def test_unreadable_videos_within_the_limit_are_named_and_counted(copied, tmp_path, monkeypatch):
    (copied / "videos/train/00004.mp4").unlink()
    (copied / "videos/test/00002.mp4").write_bytes(b"not a video")
    (copied / "videos/test/00005.mp4").unlink()
    output = tmp_path / "out"
    opts = options(copied, output, SOLVER__MAX_EPOCH=1)
    monkeypatch.setattr(sys, "argv", ["run_net.py", "--cfg", str(TINY_CONFIG), *opts])
    run_net.main()
    log = (output / "stdout.log").read_text()
    assert log.count("replaced an unreadable video: ") == 1
    assert "videos/train/00004.mp4" in log
    (final,) = metrics(output, "test_final")
    assert (final["num_videos"], final["num_failed"]) == (10, 2)
    failed = (output / "failed_videos.csv").read_text()
    assert "test/00002.mp4" in failed
    assert "test/00005.mp4" in failed


def test_checkpoint_mistakes(answer, videos, tmp_path):
    opts = options(videos, tmp_path / "out", TRAIN__ENABLE=False)
    said = answer([*opts, "TEST.CHECKPOINT_FILE_PATH", str(tmp_path / "none.pyth")])
    assert "none.pyth" in said
    corrupt = tmp_path / "corrupt.pyth"
    corrupt.write_bytes(b"\x80\x02PK not a checkpoint")
    assert "corrupt.pyth" in answer([*opts, "TEST.CHECKPOINT_FILE_PATH", str(corrupt)])
    train = options(videos, tmp_path / "out", TRAIN__CHECKPOINT_FILE_PATH=corrupt)
    assert "corrupt.pyth" in answer(train)
    files.write({"epoch": 3, "model_state": {}}, tmp_path / "foreign.pyth")
    train = options(videos, tmp_path / "out", TRAIN__CHECKPOINT_FILE_PATH=tmp_path / "foreign.pyth")
    assert "it holds no optimizer_state" in answer(train)


def test_help_is_answered(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["run_net.py", "--help"])
    with pytest.raises(SystemExit) as stop:
        run_net.main()
    assert stop.value.code == 0
    assert "--cfg FILE" in capsys.readouterr().out
