"""MotionShapes: small real videos in which only the motion tells the class.

One shape of random form, colour, size and angle moves over a random static background, up, down,
left or right; the direction is the class. The frame is a torus: what leaves at one edge enters at
the opposite one. The shape starts anywhere with equal probability, so that at every moment it is
anywhere with equal probability, whatever the direction: each single frame has exactly the same
distribution in all four classes and says nothing about them. A model that sees the frames of a clip
without their order can tell the axis of the motion from the places the shape has been to, but not
which way along it: it stays at one half. (Compression bends this a little: behind the shape the
background is off by 2.1 grey levels of 255 on average, ahead of it by 1.9.)

Legend: `T` frames, `H W` pixels; places are ``(x, y)`` in pixels, y downwards.
"""

from __future__ import annotations

import fcntl
import glob
import json
import logging
import multiprocessing
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import VideoReformatter

from timesformer.errors import UserError
from timesformer.progress import progress
from timesformer.signals import blocked, end_with_parent_alone

CLASSES = ("up", "down", "left", "right")
NUM_FRAMES = 24
HEIGHT = 64
WIDTH = 72
FPS = 30

# To be raised with every change to what a clip looks like: older sets are then refused, not reused.
_VERSION = 1
_SPLITS = ("train", "val", "test")
_HEADINGS = np.array([(0, -1), (0, 1), (-1, 0), (1, 0)])  # of CLASSES
_SIZE = np.array([WIDTH, HEIGHT])
_CLIPS_WORTH_A_PROCESS = 200  # 2 seconds of work; a process takes about half a second to start

_logger = logging.getLogger(__name__)

Array = npt.NDArray[np.float64]


# Signed distance to the outline of each shape, negative inside; the unit is the shape's radius.
def _disc(x: Array, y: Array) -> Array:
    return np.hypot(x, y) - 1


def _ring(x: Array, y: Array) -> Array:
    return np.abs(np.hypot(x, y) - 0.75) - 0.25


def _square(x: Array, y: Array) -> Array:
    return np.maximum(np.abs(x), np.abs(y)) - 0.85


def _triangle(x: Array, y: Array) -> Array:
    return np.maximum(np.abs(x) * np.sqrt(0.75) + y / 2, -y) - 0.55


def _cross(x: Array, y: Array) -> Array:
    across = np.maximum(np.abs(x) - 1, np.abs(y) - 0.3)
    along = np.maximum(np.abs(x) - 0.3, np.abs(y) - 1)
    return np.minimum(across, along)


_SHAPES: tuple[Callable[[Array, Array], Array], ...] = (_disc, _ring, _square, _triangle, _cross)
_REACH = 1.25  # no shape extends further from its centre, in radii


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that is random about one clip.

    Attributes:
        label: index into `CLASSES`.
        shape: the signed distance function of the shape.
        radius: of the shape, in pixels.
        angle: of the shape, in radians.
        colour: RGB of the shape, float ``(3,)`` in [0, 255].
        background: RGB, float ``(H, W, 3)`` in [0, 255].
        centres: the place of the shape in each frame, float ``(T, 2)`` in ``[0, (W, H))``.
    """

    label: int
    shape: Callable[[Array, Array], Array]
    radius: float
    angle: float
    colour: Array
    background: Array
    centres: Array


def make_recipe(seed: int, split: str, index: int) -> Recipe:
    """The recipe of one clip: a pure function of its arguments; classes take turns."""
    rng = np.random.default_rng([seed, _SPLITS.index(split), index])
    label = _label(index)
    background = rng.uniform(20, 90, 3) + 15 * _texture(rng)
    colour = rng.uniform(140, 255, 3)
    inverted = rng.random() < 0.5  # a dark shape on a light background
    return Recipe(
        label=label,
        shape=_SHAPES[rng.integers(len(_SHAPES))],
        radius=rng.uniform(9, 13),
        angle=rng.uniform(0, 2 * np.pi),
        colour=255 - colour if inverted else colour,
        background=255 - background if inverted else background,
        centres=_trajectory(rng, label),
    )


def _label(index: int) -> int:
    return index % len(CLASSES)


def _texture(rng: np.random.Generator) -> Array:
    """A plane wave for each colour, of whole periods, so without a seam: ``(H, W, 3)``, [-1, 1]."""
    y, x = np.mgrid[:HEIGHT, :WIDTH][..., None]
    periods_x, periods_y = rng.integers(-3, 4, (2, 3))
    turns = periods_x * x / WIDTH + periods_y * y / HEIGHT + rng.random(3)
    return np.sin(2 * np.pi * turns)


def _trajectory(rng: np.random.Generator, label: int) -> Array:
    """``(T, 2)``: from anywhere, half to once around the torus at constant speed."""
    start = rng.random(2) * _SIZE
    travel = rng.uniform(0.5, 1.0) * _SIZE * _HEADINGS[label]
    times = np.arange(NUM_FRAMES)[:, None] / NUM_FRAMES
    return (start + times * travel) % _SIZE


def draw(recipe: Recipe) -> npt.NDArray[np.uint8]:
    """The frames of the clip before compression: RGB ``(T, H, W, 3)``."""
    reach = int(_REACH * recipe.radius) + 2
    offsets = np.arange(-reach, reach + 1)
    nearest = np.rint(recipe.centres).astype(int)
    x, y = np.moveaxis((nearest - recipe.centres)[..., None] + offsets, 1, 0)  # each (T, patch)
    coverage = _coverage(recipe, x[:, None], y[:, :, None])[..., None]
    columns, rows = np.moveaxis((nearest[..., None] + offsets) % _SIZE[:, None], 1, 0)
    times, rows, columns = np.arange(NUM_FRAMES)[:, None, None], rows[:, :, None], columns[:, None]

    frames = np.repeat(np.rint(recipe.background).astype(np.uint8)[None], NUM_FRAMES, axis=0)
    blend = (1 - coverage) * recipe.background[rows, columns] + coverage * recipe.colour
    frames[times, rows, columns] = np.rint(blend)  # indices that broadcast to (T, patch, patch)
    return frames


def _coverage(recipe: Recipe, x: Array, y: Array) -> Array:
    """How much of the pixel at ``(x, y)`` from the centre is shape: 0 to 1, with a soft edge."""
    cos, sin = np.cos(recipe.angle) / recipe.radius, np.sin(recipe.angle) / recipe.radius
    distance = recipe.radius * recipe.shape(cos * x - sin * y, sin * x + cos * y)
    return np.clip(0.5 - distance, 0, 1)


def write_clip(path: Path, frames: npt.NDArray[np.uint8]) -> None:
    """Encode RGB frames ``(T, H, W, 3)`` as H.264 in mp4 at `FPS` frames per second."""
    # A larger crf would leave traces of where the shape has been, and so tell the class in a single
    # frame; veryfast is as fast as any preset here, and its files are the smallest. Without mbtree,
    # which at this size now and then makes different files from equal frames (PyAV 18.1, AVX2).
    options = {"preset": "veryfast", "crf": "20", "mbtree": "0"}
    reformatter = VideoReformatter()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for rgb in frames:
            # One thread: by default every conversion would start as many as there are cores.
            frame = reformatter.reformat(
                av.VideoFrame.from_ndarray(rgb, format="rgb24"), format="yuv420p", threads=1
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def ensure_motion_shapes(
    root: str | os.PathLike[str],
    *,
    seed: int = 0,
    num_train: int = 1600,
    num_val: int = 200,
    num_test: int = 400,
    force: bool = False,
) -> None:
    """Make the data set in the folder `root`, unless it is there already.

    It is written beside `root` and renamed when complete, so that `root` never holds half of it;
    and under a lock, so that of several processes one makes it while the others wait.

    Args:
        root: will hold ``{train,val,test}.csv``, ``classes.txt``, ``meta.json`` and ``videos/``.
        seed: of all randomness, 0 or more.
        num_train: clips of the training split, 1 or more; `num_val` and `num_test` likewise.
        force: replace a MotionShapes set that is there, whatever its seed, sizes and version.

    Raises:
        UserError: `root` holds something else, or another MotionShapes and not `force` (neither is
            touched); it cannot be written; the seed or a size is not allowed.
    """
    root = Path(root).expanduser().resolve()
    meta = _describe(seed, {"train": num_train, "val": num_val, "test": num_test})
    if not force and _is_made(root, meta):
        return
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with _lock(root.with_name(f".{root.name}.lock")):
            if force or not _is_made(root, meta):
                _make(root, meta)
    except OSError as error:
        raise UserError(
            f"MotionShapes could not be written to '{root}': {error}. Name another folder."
        ) from error


def _describe(seed: int, num_clips: dict[str, int]) -> dict[str, Any]:
    """What meta.json says: two sets with the same description are the same set."""
    if seed < 0 or min(num_clips.values()) < 1:
        raise UserError(
            f"MotionShapes needs a seed of 0 or more and a clip or more in every split, "
            f"not seed {seed} and {num_clips}."
        )
    return {"name": "MotionShapes", "version": _VERSION, "seed": seed, "num_clips": num_clips}


def _is_made(root: Path, meta: dict[str, Any]) -> bool:
    """Whether the set described by `meta` is in `root`; UserError if another one is."""
    found = _find(root)
    if found is None or found == meta:
        return found is not None
    raise UserError(
        f"'{root}' holds another MotionShapes ({found}) than the one asked for ({meta}). "
        "Remake it with tools/make_motion_shapes.py --force, or name another folder with --out."
    )


def _find(root: Path) -> dict[str, Any] | None:
    """The description of the set in `root`, None if nothing is there; UserError for a stranger."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return None
    try:
        meta = json.loads((root / "meta.json").read_text())
    except (OSError, ValueError):
        meta = None
    if not isinstance(meta, dict) or meta.get("name") != "MotionShapes":
        raise UserError(
            f"'{root}' is not a MotionShapes data set: it has no meta.json that says so. It is "
            "left as it is; name another folder, or move this one away."
        )
    return meta


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold `path` against other processes; the system lets go of it however this one ends."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(root: Path, meta: dict[str, Any]) -> None:
    """Write the set beside `root` and put it there. Only under the lock: leftovers are cleared."""
    _find(root)  # even --force replaces nothing but a MotionShapes
    for leftover in root.parent.glob(f".{glob.escape(root.name)}.partial-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    # Never the same name twice: a killed run can leave processes that write for a moment yet.
    partial = root.with_name(f".{root.name}.partial-{uuid.uuid4().hex}")
    _logger.info("making MotionShapes in %s", root)
    try:
        _fill(partial / "new", meta)
        if root.exists():
            root.rename(partial / "old")
        (partial / "new").rename(root)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _fill(folder: Path, meta: dict[str, Any]) -> None:
    clips = [(split, index) for split, num in meta["num_clips"].items() for index in range(num)]
    for split in _SPLITS:
        (folder / "videos" / split).mkdir(parents=True)
        lines = [f"{_name(*clip)} {_label(clip[1])}\n" for clip in clips if clip[0] == split]
        (folder / f"{split}.csv").write_text("".join(lines))
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    (folder / "meta.json").write_text(json.dumps(meta, indent=2) + "\n")
    _write_in_parallel(folder, meta["seed"], clips)


def _name(split: str, index: int) -> str:
    return f"videos/{split}/{index:05d}.mp4"


def _write_in_parallel(folder: Path, seed: int, clips: list[tuple[str, int]]) -> None:
    """Write the videos, shared out between this process and as many others as are worth starting.

    Processes, because threads take turns at the interpreter lock and are no faster than one. Not a
    pool: that would outlive a parent that is killed, or restart for ever workers that cannot start.
    """
    num_shares = min(os.cpu_count() or 1, 1 + len(clips) // _CLIPS_WORTH_A_PROCESS)
    shares = [clips[first::num_shares] for first in range(num_shares)]
    workers = [
        multiprocessing.get_context("spawn").Process(
            target=_write_share, args=(folder, seed, share), daemon=True
        )
        for share in shares[1:]
    ]
    with blocked():
        for worker in workers:
            worker.start()
    try:
        with progress(len(shares[0]), f"MotionShapes, a share of {num_shares}", "clip") as bar:
            for clip in shares[0]:
                _write_clip(folder, seed, *clip)
                bar.update()
        for worker in workers:
            worker.join()
    finally:
        for worker in workers:  # which, after Ctrl-C, would write to a folder that is gone
            worker.terminate()
            worker.join()
    if any(worker.exitcode != 0 for worker in workers):
        raise OSError("a process that wrote videos failed, as it says above")


def _write_share(folder: Path, seed: int, clips: list[tuple[str, int]]) -> None:
    end_with_parent_alone()  # who alone obeys Ctrl-C
    for clip in clips:
        _write_clip(folder, seed, *clip)


def _write_clip(folder: Path, seed: int, split: str, index: int) -> None:
    write_clip(folder / _name(split, index), draw(make_recipe(seed, split, index)))
