"""Shards: the same bytes as the files, in whole or in many runs, for us and for webdataset."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import fsspec
import numpy as np
import pytest

from tests.range_server import serving
from tests.shared_data import DATA, ROOT, needs_shared_data
from tests.small_videos import small_frames, small_video
from timesformer.annotations.csv_list import read_video_list
from timesformer.annotations.places import tar_member
from timesformer.annotations.shards import read_shards
from timesformer.annotations.table import PackedStrings, VideoList
from timesformer.datasets.decode import decode_all
from timesformer.datasets.shard_member import read_member
from timesformer.errors import UserError
from timesformer.preparation.check import check_dataset
from timesformer.preparation.choose import choose
from timesformer.preparation.encode import VideoSettings
from timesformer.preparation.lists import DataSet
from timesformer.preparation.produce import prepare_dataset
from timesformer.preparation.shards import make_shards, parse_bytes
from timesformer.preparation.workers import Crew, How

HOW = How(Crew(workers=1, timeout=60))
NUM = 20


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Twenty videos of four classes, with lists."""
    folder = tmp_path_factory.mktemp("files")
    lines = []
    for index in range(NUM):
        name = f"some class/Clip {index}.v2.{'AVI' if index % 3 else 'mp4'}"
        small_video(folder / name, seed=index)
        lines.append(f"{name} {index // 5}\n")
    (folder / "train.csv").write_text("".join(lines))
    (folder / "test.csv").write_text("".join(lines[::4]))
    (folder / "classes.txt").write_text("one\ntwo\nthree\nfour\n")
    return folder


@pytest.fixture(scope="module")
def packed(files, tmp_path_factory):
    """Their shards, of about four videos each."""
    out = tmp_path_factory.mktemp("packed")
    pack(files, out)
    return out


def listed(files: Path, *splits: str) -> DataSet:
    return choose(
        [str(files / f"{split}.csv") for split in splits or ("train", "test")], None, "train"
    )


def pack(files, out, *, how=HOW, size=40_000, seed=0, data=None) -> None:
    make_shards(data or listed(files), str(out), shard_bytes=size, seed=seed, how=how)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def members(videos: VideoList) -> list:
    return [tar_member(path) for path in videos.paths]


# --- what is written ------------------------------------------------------------------------------


def test_the_bytes_and_the_order_are_those_of_the_list(files, packed):
    for split in ("train", "test"):
        videos = read_video_list(files / f"{split}.csv")
        shards = read_shards(str(packed), split, num_classes=4)
        assert shards.labels.tolist() == videos.labels.tolist()
        assert shards.class_names == ("one", "two", "three", "four")
        assert shards.spans is None
        for path, member in zip(videos.paths, members(shards), strict=True):
            assert read_member(member) == Path(path).read_bytes()


def test_frames_are_the_same_to_the_bit(files, packed):
    videos, shards = read_video_list(files / "test.csv"), read_shards(str(packed), "test")
    for path, member in zip(videos.paths, members(shards), strict=True):
        assert np.array_equal(decode_all(str(member), read_member(member)), decode_all(path))


def test_shards_are_as_large_as_asked_and_hold_mixed_classes(packed):
    shards = read_shards(str(packed), "train")
    tars = sorted(packed.glob("train-*.tar"))
    assert len(tars) > 3
    assert [tar.name for tar in tars] == [f"train-{i:06}.tar" for i in range(len(tars))]
    for tar in tars:
        inside = [member for member in members(shards) if member.tar == str(tar)]
        assert sum(member.size for member in inside) <= 40_000
    offsets = [(member.tar, member.offset) for member in members(shards)]
    order = np.argsort(np.argsort([tar + f"{offset:09}" for tar, offset in offsets]))
    # Of 20 independent places, the rank correlation has standard deviation 1 / sqrt(19) = 0.23.
    assert abs(np.corrcoef(order, np.arange(NUM))[0, 1]) < 0.7


def test_no_trace_of_the_work_is_left(packed):
    names = {path.name for path in packed.iterdir()}
    rest = {name for name in names if not name.endswith(".tar")}
    assert rest == {
        *(".lock", "train.index.json", "test.index.json"),
        *("train.failed.csv", "test.failed.csv"),
    }


STREAM = """
import hashlib, json, sys, webdataset
for sample in webdataset.WebDataset(sys.argv[1:], shardshuffle=False):
    video = next(sample[name] for name in ("mp4", "avi") if name in sample)
    digest = hashlib.sha256(video).hexdigest()
    print(json.dumps([sample["__key__"], int(sample["cls"]), digest]))
"""


def test_the_webdataset_library_streams_them(files, packed):
    urls = sorted(str(path) for path in packed.glob("train-*.tar"))
    # In a process of its own, because the library leaves files open, and warnings are errors here.
    done = subprocess.run([sys.executable, "-c", STREAM, *urls], check=True, stdout=subprocess.PIPE)
    samples = sorted(map(json.loads, done.stdout.splitlines()))
    videos = read_video_list(files / "train.csv")
    assert [int(key.split("_")[0]) for key, _, _ in samples] == list(range(NUM))
    assert [label for _, label, _ in samples] == videos.labels.tolist()
    digests = [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in videos.paths]
    assert [digest for _, _, digest in samples] == digests


def test_tar_reads_them_and_names_hold_nothing_odd(packed):
    with tarfile.open(packed / "train-000000.tar") as tar:
        infos = tar.getmembers()
    assert len(infos) % 2 == 0
    assert all(info.mtime == info.uid == 0 and info.name.isascii() for info in infos)
    assert all(info.name.count(".") == 1 and " " not in info.name for info in infos)
    assert "_Clip_" in infos[0].name


def test_spans_are_kept(files, tmp_path):
    spans = np.array([[0.08, 0.2], [np.nan, np.nan], [np.nan, 0.12]])
    paths = read_video_list(files / "train.csv").paths[:3]
    videos = VideoList(PackedStrings(paths), np.array([0, 1, 0]), "here", spans=spans)
    pack(files, tmp_path, data=DataSet({"train": videos}, None, 30.0))
    shards = read_shards(str(tmp_path), "train")
    np.testing.assert_array_equal(shards.spans, spans)
    with tarfile.open(tmp_path / "train-000000.tar") as tar:
        told = {
            int(name.split("_")[0]): json.loads(tar.extractfile(name).read())
            for name in tar.getnames()
            if name.endswith(".json")
        }
    assert told == {0: {"start": 0.08, "end": 0.2}, 2: {"start": None, "end": 0.12}}


def test_shards_of_shards(packed, tmp_path):
    videos = read_shards(str(packed), "test")
    pack(None, tmp_path, size=10**9, data=DataSet({"test": videos}, None, 30.0))
    again = read_shards(str(tmp_path), "test")
    assert len(list(tmp_path.glob("*.tar"))) == 1
    for one, other in zip(members(videos), members(again), strict=True):
        assert read_member(one) == read_member(other)


def packed_at(address: str) -> DataSet:
    return choose(["shards", "DATA.PATH_TO_DATA_DIR", address], None, "test")


def test_shards_at_an_address_are_packed_checked_and_prepared_again(packed, tmp_path):
    local = read_shards(str(packed), "test")
    with serving(packed) as server:
        for address in (server.url, f"file://{packed}"):
            out = tmp_path / address.partition("://")[0]
            pack(None, out / "shards", size=10**9, data=packed_at(address))
            again = read_shards(str(out / "shards"), "test")
            for one, other in zip(members(local), members(again), strict=True):
                assert read_member(one) == read_member(other)
            assert check_dataset(packed_at(address), out / "checked", HOW.crew)
            videos = json.loads((out / "checked" / "report.json").read_text())["videos"]
            assert videos["formats"] == {"mpeg4 in avi": 3, "mpeg4 in mov,mp4,m4a,3gp,3g2,mj2": 2}
            checked = read_video_list(out / "checked" / "test.csv")
            assert list(checked.paths) == list(read_shards(address, "test").paths)
            prepare_dataset(packed_at(address), out / "prepared", VideoSettings(), HOW)
            assert len(list((out / "prepared").rglob("*.mp4"))) == len(local)


def test_an_address(files, packed, tmp_path):
    pack(files, f"file://{tmp_path}/new")
    assert contents(tmp_path / "new") == contents(packed)
    videos = read_shards(f"file://{tmp_path}/new", "train")
    assert videos.paths[0].startswith("file:///")
    file = read_video_list(files / "train.csv").paths[0]
    assert read_member(tar_member(videos.paths[0])) == Path(file).read_bytes()


# --- again ----------------------------------------------------------------------------------------


def test_a_second_run_changes_nothing(files, packed):
    before = {path: path.stat().st_mtime_ns for path in packed.iterdir()}
    pack(files, packed)
    after = {path: path.stat().st_mtime_ns for path in packed.iterdir()}
    assert {path: after[path] for path in before if path.name != ".lock"} == {
        path: time for path, time in before.items() if path.name != ".lock"
    }


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on(files, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    pack(files, whole, size=1, data=listed(files, "train"))  # a shard for each video
    command = [
        *(sys.executable, str(ROOT / "tools" / "make_shards.py"), str(files / "train.csv")),
        *("--out", str(killed), "--shard-size", "1", "--workers", "1"),
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while len(list(killed.glob("*.tar"))) < 3 and time.monotonic() < deadline:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
    tars = sorted(killed.glob("*.tar"))
    assert 3 <= len(tars) < NUM
    assert not (killed / "train.index.json").exists()
    inodes = {tar: tar.stat().st_ino for tar in tars}
    time.sleep(0.5)  # its worker ends by itself
    tars[1].write_bytes(tars[1].read_bytes()[:-1])  # and a disk that lost something
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    assert contents(killed) == contents(whole)
    kept = {tar: tar.stat().st_ino for tar in tars}
    assert [kept[tar] == inodes[tar] for tar in tars[:3]] == [True, False, True]


def test_a_seed_below_zero_is_refused(files, tmp_path):
    with pytest.raises(UserError, match="--seed is -1; it must be 0 or more"):
        pack(files, tmp_path, seed=-1)


def test_other_shards_are_not_written_over(files, tmp_path):
    pack(files, tmp_path, data=listed(files, "test"))
    before = contents(tmp_path)
    with pytest.raises(UserError, match="holds 'test-000000.tar' of another data set, of other se"):
        pack(files, tmp_path, data=listed(files, "test"), seed=1)
    assert contents(tmp_path) == before
    pack(files, tmp_path, data=listed(files, "train"))  # another split is no other data set
    how = How(HOW.crew, overwrite=True)
    pack(files, tmp_path, data=listed(files, "test"), size=10**6, how=how)
    assert len(list(tmp_path.glob("test-*.tar"))) == 1
    assert len(read_shards(str(tmp_path), "test")) == 5


# --- what cannot be packed ------------------------------------------------------------------------


def test_unreadable_videos_are_named_and_left_out_and_may_be_repaired(files, tmp_path):
    folder, out = tmp_path / "set", tmp_path / "out"
    for index in range(4):
        small_video(folder / f"{index}.{'mkv' if index == 2 else 'mp4'}", seed=index)
    sound = (folder / "2.mkv").read_bytes()
    (folder / "2.mkv").write_bytes(sound[: len(sound) // 2])
    (folder / "3.mp4").rename(folder / "elsewhere")
    (folder / "train.csv").write_text("0.mp4 0\n1.mp4 1\n2.mkv 2\n3.mp4 3\n")
    with pytest.raises(UserError, match="2 of 4 videos cannot be read; the first is .*2.mkv': "):
        pack(folder, out, data=listed(folder, "train"))
    failed = (out / "train.failed.csv").read_text()
    assert "2.mkv" in failed
    assert "3.mp4" in failed
    assert "No such file" in failed
    assert not (out / "train.index.json").exists()
    (folder / "elsewhere").rename(folder / "3.mp4")
    how = How(HOW.crew, max_failed_fraction=0.25)
    pack(folder, out, data=listed(folder, "train"), how=how)
    videos = read_shards(str(out), "train")
    assert videos.labels.tolist() == [0, 1, 3]
    assert read_member(members(videos)[2]) == (folder / "3.mp4").read_bytes()


@pytest.mark.parametrize("line", ["v_1", "v_1/[0-7].jpg"])
def test_folders_of_frames_are_refused(tmp_path, line):
    small_frames(tmp_path / "v_1")
    (tmp_path / "train.csv").write_text(f"{line} 0\n")
    with pytest.raises(UserError, match="v_1.*' is a folder of frames, .*tools/prepare_dataset.py"):
        pack(tmp_path, tmp_path / "out", data=listed(tmp_path, "train"))


def test_an_address_nobody_serves(files):
    with pytest.raises(
        UserError, match="'nosuch://x/test.csv' is no address|'nosuch://x' is no ad"
    ):
        pack(files, "nosuch://x", data=listed(files, "test"))


def test_a_place_that_cannot_be_written(files, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written to .*name another --out"):
        pack(files, tmp_path / "file")


@pytest.mark.parametrize(
    ("text", "size"), [("256MB", 256_000_000), ("1.5 gb", 1_500_000_000), ("10k", 10_000), ("7", 7)]
)
def test_sizes(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "MB", "12XB", "-1MB", "0"])
def test_what_is_no_size(text):
    with pytest.raises(UserError, match="--shard-size is .* such as 256MB or 1GB"):
        parse_bytes(text)


# --- reading them back ----------------------------------------------------------------------------


def test_from_memory(files, packed):
    memory = fsspec.filesystem("memory")
    for path in packed.iterdir():
        memory.pipe_file(f"/bucket/{path.name}", path.read_bytes())
    videos = read_shards("memory://bucket", "test")
    paths = read_video_list(files / "test.csv").paths
    for path, member in zip(paths, members(videos), strict=True):
        assert read_member(member) == Path(path).read_bytes()
    memory.rm("/bucket", recursive=True)


@needs_shared_data
def test_real_videos(tmp_path):
    pack(None, tmp_path, size=4_000_000, data=listed(DATA / "ucf101_mini", "test"))
    videos = read_video_list(DATA / "ucf101_mini" / "test.csv")
    shards = read_shards(str(tmp_path), "test", num_classes=9)
    assert len(shards) == 63
    path, member = videos.paths[40], members(shards)[40]
    assert np.array_equal(decode_all(str(member), read_member(member)), decode_all(path))
