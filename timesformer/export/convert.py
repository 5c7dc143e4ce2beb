"""From a weights file to a file for another program: read, write aside, prove, put in place."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from timesformer.errors import UserError
from timesformer.export import formats, programs
from timesformer.export.network import as_network, writing
from timesformer.weights.load import Weights, read_weights

log = logging.getLogger("timesformer")

Writer = Callable[[Weights, Path], str]


CHECKPOINT = (".pyth", ".pth", ".pt", ".bin")  # what is read as `torch.save` writes it
# What can be written: by whom, and how its file may end; no ending means a folder.
TARGETS: dict[str, tuple[Writer, tuple[str, ...]]] = {
    "released": (formats.write_released, CHECKPOINT),
    "transformers": (formats.write_transformers, ()),
    "mmaction2": (formats.write_mmaction2, CHECKPOINT),
    "safetensors": (formats.write_safetensors, (".safetensors",)),
    "torch_export": (programs.write_torch_export, (".pt2",)),
    "onnx": (programs.write_onnx, (".onnx",)),
}


def convert(
    source: str | Path,
    out: str | Path,
    to: str,
    *,
    num_heads: int | None = None,
    num_frames: int | None = None,
    img_size: int | None = None,
    class_names: str | Path | None = None,
    overwrite: bool = False,
) -> None:
    """Writes the network in `source` to `out` for another program, and proves that it is the same.

    Args:
        source: whatever `read_weights` takes.
        out: file, or for "transformers" folder; folders above it are made.
        to: a name in `TARGETS`.
        num_heads: where the file does not state it, or states it wrongly.
        num_frames, img_size: of the clips that the written network is for; embeddings are resized.
        class_names: text file for "transformers", one name a line in the order of the labels.
        overwrite: replace what stands at `out`; what else lies in a folder stays.

    Raises:
        UserError: unreadable weights, a network that the other program does not have, a place that
            cannot be written to, or a result that is not the same. Nothing is left at `out` then.
    """
    out = Path(out)
    write = writer_for(out, to, overwrite)
    if to == "onnx":
        programs.check_onnx_packages()
    sizes = {"num_heads": num_heads, "num_frames": num_frames, "img_size": img_size}
    wanted = {name: positive(name, size) for name, size in sizes.items() if size is not None}
    weights = as_network(read_weights(source), wanted)
    if class_names is not None:
        names = read_class_names(Path(class_names), to, weights.stated["num_classes"])
        write = partial(formats.write_transformers, class_names=names)
    proof = write_aside(write, weights, out, overwrite)
    log.info("Wrote %s (%s): %s", out, to, proof)


def writer_for(out: Path, to: str, overwrite: bool) -> Writer:
    """UserError unless `to` is known and may be written to `out`."""
    if to not in TARGETS:
        raise UserError(f"--to is '{to}'; it must be one of {', '.join(TARGETS)}.")
    write, endings = TARGETS[to]
    if endings and out.suffix not in endings:
        raise UserError(f"'{out}' must end in {' or '.join(endings)} for --to {to}.")
    if out.exists() and out.is_dir() == bool(endings):
        kinds = ("file", "folder") if endings else ("folder", "file")
        raise UserError(
            f"--to {to} writes a {kinds[0]}, and '{out}' is a {kinds[1]}: name another."
        )
    check_free(out, overwrite)
    return write


def check_free(path: Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise UserError(f"'{path}' exists already: name another, or replace it with --overwrite.")


def positive(name: str, size: int) -> int:
    if size < 1:
        raise UserError(f"--{name.replace('_', '-')} is {size}, but must be at least 1.")
    return size


def read_class_names(path: Path, to: str, num_classes: int) -> Sequence[str]:
    """The lines of a file; UserError unless they are as many different names as classes."""
    if to != "transformers":
        raise UserError(f"--class-names is for --to transformers; '{to}' has no place for names.")
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8").rstrip().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The class names in '{path}' cannot be read: {error}.") from error
    if len(names) != num_classes:
        raise UserError(
            f"'{path}' names {len(names)} classes, and the network has {num_classes}: give one "
            "name a line, in the order of the labels."
        )
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"'{path}' names the class '{twice[0]}' twice: names must differ.")
    return names


def write_aside(write: Writer, weights: Weights, out: Path, overwrite: bool) -> str:
    """Writes and proves in a folder beside `out`; only what is proven is put in place."""
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.")
    with folder as name:
        aside = Path(name, out.name)
        proof = write(weights, aside)
        with writing(out):
            put_in_place(aside, out, overwrite)
    return proof


def put_in_place(aside: Path, out: Path, overwrite: bool) -> None:
    """Moves what was written, each file whole; UserError if one would replace another unasked."""
    moves = planned_moves(aside, out)
    for place in moves.values():
        check_free(place, overwrite)
    for file in filter(Path.is_file, aside.parent.rglob("*")):
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
    for file, place in moves.items():
        os.replace(file, place)


def planned_moves(aside: Path, out: Path) -> dict[Path, Path]:
    """What goes where. `out` itself comes last, so that where it is there, all beside it is."""
    if aside.is_dir():
        return {f: out / f.name for f in aside.iterdir()} if out.exists() else {aside: out}
    beside = {f: out.parent / f.name for f in aside.parent.iterdir() if f != aside}
    return {**beside, aside: out}
