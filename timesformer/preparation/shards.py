"""Pack the videos of a data set into tar shards, in any number of runs; see `annotations.shards`.

::

    OUT/train-000000.tar …         videos in shuffled order, made aside and put in their place
    OUT/train-000000.part.json     what is in the shard, until the index tells
    OUT/train.failed.csv           what could not be read
    OUT/train.index.json           written last
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from timesformer.annotations.places import frame_range, tar_member
from timesformer.annotations.shards import VERSION, index_name
from timesformer.annotations.table import VideoList
from timesformer.datasets.decode import VideoReader
from timesformer.datasets.shard_member import read_member
from timesformer.errors import UnreadableVideo, UserError
from timesformer.preparation.clips import Clip, clips_of, size_of, stamp
from timesformer.preparation.destination import Destination, writing_to
from timesformer.preparation.header import read_header
from timesformer.preparation.lists import DataSet, write_quarantine
from timesformer.preparation.workers import How, Lost
from timesformer.progress import progress

log = logging.getLogger("timesformer")

_PART = ".part.json"
_BLOCK = 512  # of which a tar file is made
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@dataclass(frozen=True)
class Sample:
    """A video to pack: its place in the list, where it lies, its class, its bytes.

    `stamp` is that of the file, see `clips.stamp`.
    """

    number: int
    clip: Clip
    label: int
    size: int
    stamp: list[int]


@dataclass(frozen=True)
class Shard:
    """Samples for one tar file; `fingerprint` changes with anything that it is made of."""

    name: str
    samples: list[Sample]
    fingerprint: str


def make_shards(data: DataSet, out: str, *, shard_bytes: int, seed: int, how: How) -> None:
    """Pack every list of a data set, and write an index for each.

    Args:
        data: videos in files, or in other shards.
        out: folder or address.
        shard_bytes: a shard is as large as it can be below this, but holds one video at least.
        seed: of the order in the shards. The index has the order of the list.
        how: the crew's time limit is for a shard.

    Raises:
        UserError: `out` holds other shards or cannot be written to; a video is a folder of frames;
            or more videos than allowed cannot be read.
    """
    if seed < 0:
        raise UserError(f"--seed is {seed}; it must be 0 or more.")
    with writing_to(out) as place:
        for split, videos in data.lists.items():
            _make_split(place, split, videos, shard_bytes, seed, how)
    folder = out if "://" in out else os.path.abspath(out)
    keys = ("TRAIN.DATASET", "shards", "TEST.DATASET", "shards", *data.keys)
    log.info(
        "Train on them with  python tools/run_net.py --cfg … %s DATA.PATH_TO_DATA_DIR %s",
        " ".join(keys),
        folder,
    )


def parse_bytes(text: str) -> int:
    """``256MB`` as a number of bytes; UserError for what is none."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", text.strip().upper())
    size = int(float(match[1]) * _UNITS[match[2]]) if match else 0
    if size < 1:
        raise UserError(f"--shard-size is '{text}'; it must be a size such as 256MB or 1GB.")
    return size


# --- one split ------------------------------------------------------------------------------------


def _make_split(
    place: Destination, split: str, videos: VideoList, shard_bytes: int, seed: int, how: How
) -> None:
    samples, failed = _samples(videos)
    shards = list(_plan(split, samples, shard_bytes, seed))
    present = place.sizes()
    fingerprint = _hash([videos.class_names, *(shard.fingerprint for shard in shards)])
    if _is_finished(place, present, split, fingerprint):
        log.info("%s: the shards are there already", split)
    else:
        told = _told(place, present, shards)
        _clear(place, split, present, {*told, *map(_part_name, told)}, how.overwrite)
        parts = {name: part for name, part in told.items() if part["bytes"] == present[name]}
        _make_missing(place, split, [s for s in shards if s.name not in parts], parts, how)
        failed |= {number: why for part in parts.values() for number, why in part["failures"]}
        _write_failed(place, split, videos, failed, how)
        index = {"version": VERSION, "split": split, "fingerprint": fingerprint}
        place.write(index_name(split), json.dumps(index | _columns(videos, shards, parts)))
        log.info("%s: %d videos in %d shards", split, len(videos) - len(failed), len(shards))
    for name in place.sizes().keys() & {_part_name(shard.name) for shard in shards}:
        place.remove(name)


def _samples(videos: VideoList) -> tuple[list[Sample], dict[int, str]]:
    """What can be packed, and the reason for each that cannot, by its place in the list."""
    samples, failed = [], {}
    log.info("%s: looking for %d videos", videos.source, len(videos))
    for number, (clip, label) in enumerate(zip(clips_of(videos), videos.labels, strict=True)):
        try:
            samples.append(_sample(number, clip, int(label)))
        except OSError as error:
            failed[number] = error.strerror or type(error).__name__
    return samples, failed


def _sample(number: int, clip: Clip, label: int) -> Sample:
    """A video with its size; OSError if it is not there, UserError if it is no file."""
    if frame_range(clip.path) is not None or os.path.isdir(clip.path):
        raise UserError(
            f"'{clip.path}' is a folder of frames, and shards hold video files. Make some of the "
            "frames first, with tools/prepare_dataset.py."
        )
    return Sample(number, clip, label, size_of(clip.path), stamp(clip.path))


def _plan(split: str, samples: Sequence[Sample], shard_bytes: int, seed: int) -> Iterator[Shard]:
    """The samples in a random order, cut where a shard is full."""
    order = np.random.default_rng(seed).permutation(len(samples))
    chosen: list[Sample] = []
    size, count = 0, 0
    for index in order:
        sample = samples[index]
        if chosen and size + sample.size > shard_bytes:
            yield _shard(split, count, chosen)
            chosen, size, count = [], 0, count + 1
        chosen.append(sample)
        size += sample.size
    if chosen:
        yield _shard(split, count, chosen)


def _shard(split: str, count: int, samples: list[Sample]) -> Shard:
    return Shard(f"{split}-{count:06}.tar", samples, _hash([VERSION, *map(astuple, samples)]))


def _part_name(shard: str) -> str:
    """The name of the file that tells what is in a shard."""
    return shard.removesuffix(".tar") + _PART


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _is_finished(
    place: Destination, present: Mapping[str, int], split: str, fingerprint: str
) -> bool:
    """Whether the index and all its shards are there, and made of the same."""
    index = _read_json(place, index_name(split)) if index_name(split) in present else {}
    if index.get("fingerprint") != fingerprint:
        return False
    sizes = dict(zip(index["shards"], index["shard_bytes"], strict=True))
    return sizes.items() <= present.items()


def _told(
    place: Destination, present: Mapping[str, int], shards: Sequence[Shard]
) -> dict[str, dict[str, Any]]:
    """What should be in each shard that is there and made of the same."""
    parts = {}
    for shard in shards:
        if shard.name in present and _part_name(shard.name) in present:
            part = _read_json(place, _part_name(shard.name))
            if part.get("fingerprint") == shard.fingerprint:
                parts[shard.name] = part
    return parts


def _read_json(place: Destination, name: str) -> dict[str, Any]:
    """A JSON object; {} if the file is none."""
    try:
        value = json.loads(place.read(name))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _clear(
    place: Destination, split: str, present: Mapping[str, int], kept: set[str], overwrite: bool
) -> None:
    """Remove what is not to be kept. UserError if a finished run left it, or none of ours."""
    pattern = re.compile(rf"{split}(-\d+\.(tar|part\.json)|\.index\.json)")
    names = {name for name in present if pattern.fullmatch(name)} - kept
    unfinished = {name for name in names if name.endswith(_PART) or _part_name(name) in present}
    others = sorted(names - unfinished)
    if others and not overwrite:
        raise UserError(
            f"'{place.place}' holds '{others[0]}' of another data set, of other settings, or cut "
            "short. Name another --out, or replace what is there with --overwrite."
        )
    if unfinished:
        log.info("%s: shards of changed videos or settings are made again", split)
    for name in names:
        place.remove(name)


def _make_missing(
    place: Destination,
    split: str,
    missing: Sequence[Shard],
    parts: dict[str, dict[str, Any]],
    how: How,
) -> None:
    """Make the missing shards, and add to `parts` what is in them."""
    if parts:
        log.info("%s: %d shards are there already, %d to go", split, len(parts), len(missing))
    write = partial(write_shard, place)
    with progress(sum(len(shard.samples) for shard in missing), split) as bar:
        for index, part in how.crew.outcomes(write, missing):
            shard = missing[index]
            if isinstance(part, Lost):
                raise UserError(
                    f"the shard {shard.name} was not written: {part}. What is done stays: start "
                    "the same command again to continue, with a longer --timeout if need be."
                )
            parts[shard.name] = part
            bar.update(len(shard.samples))


def _write_failed(
    place: Destination, split: str, videos: VideoList, failed: Mapping[int, str], how: How
) -> None:
    """Write what is left out; UserError if it is more than allowed."""
    name = f"{split}.failed.csv"
    clips = clips_of(videos) if failed else []
    write_quarantine(place.aside / name, ((clips[n], split, failed[n]) for n in sorted(failed)))
    place.put(name)
    if failed and (
        len(failed) == len(videos) or len(failed) > how.max_failed_fraction * len(videos)
    ):
        number = min(failed)
        raise UserError(
            f"{len(failed)} of {len(videos)} videos cannot be read; the first is "
            f"'{clips[number]}': {failed[number]}. All are in {place.place}/{name}. No index was "
            "written: repair them and start again, or allow more with --max-failed-fraction."
        )
    if failed:
        log.warning("%d could not be read and are left out: see %s", len(failed), name)


def _columns(
    videos: VideoList, shards: Sequence[Shard], parts: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """What the index says of shards and videos, which have the order of their list."""
    rows = sorted(
        (number, name, place, offset, size)
        for place, shard in enumerate(shards)
        for number, name, offset, size in parts[shard.name]["videos"]
    )
    numbers, names, places, offsets, sizes = map(list, zip(*rows, strict=True))
    columns = {
        "classes": videos.class_names,
        "shards": [shard.name for shard in shards],
        "shard_bytes": [parts[shard.name]["bytes"] for shard in shards],
        "names": names,
        "places": places,
        "offsets": offsets,
        "sizes": sizes,
        "labels": videos.labels[numbers].tolist(),
    }
    if videos.spans is not None:
        clips = clips_of(videos.select(np.array(numbers)))
        columns |= {"starts": [c.start for c in clips], "ends": [c.end for c in clips]}
    return columns


# --- one shard ------------------------------------------------------------------------------------


def write_shard(place: Destination, shard: Shard) -> dict[str, Any]:
    """In a worker: write a shard and its part, whole; returns what the part says.

    The part comes first: a shard whose part is missing is nobody's.
    """
    videos, failures = [], []
    try:
        with (place.aside / shard.name).open("wb") as file:
            for sample in shard.samples:
                try:
                    data = _checked_bytes(sample.clip.path)
                except UnreadableVideo as error:
                    failures.append((sample.number, error.reason))
                    continue
                name = _member_name(sample)
                videos.append(
                    (sample.number, name, _add_sample(file, name, data, sample), len(data))
                )
            file.write(bytes(2 * _BLOCK))  # the mark of the end
            size = file.tell()
        part = {
            "fingerprint": shard.fingerprint,
            "bytes": size,
            "videos": videos,
            "failures": failures,
        }
        place.write(_part_name(shard.name), json.dumps(part))
        place.put(shard.name)
    except OSError as error:
        raise UserError(
            f"{place.place}/{shard.name} cannot be written ({error}). What is done stays: make "
            "room, and start the same command again to continue."
        ) from error
    return part


def _checked_bytes(path: str) -> bytes:
    """The bytes of a video that opens and is not cut short."""
    try:
        member = tar_member(path)
        data = Path(path).read_bytes() if member is None else read_member(member)
    except OSError as error:
        raise UnreadableVideo(path, error.strerror or type(error).__name__) from error
    with VideoReader(path, data) as reader:
        read_header(reader.source)
    return data


def _member_name(sample: Sample) -> str:
    """Unique, and with nothing that a tar file or the webdataset library would read otherwise."""
    member = tar_member(sample.clip.path)
    stem, extension = os.path.splitext(
        os.path.basename(member.name if member else sample.clip.path)
    )
    printable = re.sub(r"[^A-Za-z0-9_-]", "_", stem)[:60]
    ending = re.sub(r"[^a-z0-9]", "", extension.lower()) or "video"
    return f"{sample.number:08}_{printable}.{ending}"


def _add_sample(file: BinaryIO, name: str, data: bytes, sample: Sample) -> int:
    """Append the members of a sample; returns where the video's bytes begin."""
    stem = name.partition(".")[0]
    offset = _add(file, name, data)
    _add(file, f"{stem}.cls", str(sample.label).encode())
    if sample.clip.start is not None or sample.clip.end is not None:
        span = {"start": sample.clip.start, "end": sample.clip.end}
        _add(file, f"{stem}.json", json.dumps(span).encode())
    return offset


def _add(file: BinaryIO, name: str, data: bytes) -> int:
    info = tarfile.TarInfo(name)  # no time and no owner: the same videos make the same bytes
    info.size = len(data)
    file.write(info.tobuf(tarfile.GNU_FORMAT))
    offset = file.tell()
    file.write(data)
    file.write(bytes(-len(data) % _BLOCK))
    return offset
