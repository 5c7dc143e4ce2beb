"""Checkpoints of which each process writes its share: a folder that `torch.distributed` can read.

::

    checkpoint_epoch_00005.dcp/__0_0.distcp  the shares of the tensors, a file of each process
    checkpoint_epoch_00005.dcp/.metadata     where in them each tensor lies
    checkpoint_epoch_00005.dcp/plain.pyth    all the rest, and each tensor's shape in its place

Tensors are named after their place: ``model_state/head.weight``. Any number of processes reads what
any other number wrote.

PyTorch would execute what the metadata asks for, and likewise values that are no tensors. Here the
metadata may ask for nothing but what it is made of, and other values lie in a file of their own.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint import metadata as parts
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner
from torch.distributed.checkpoint.filesystem import _StorageInfo
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta, TensorStorageMetadata

from timesformer.checkpoints.snapshot import Place, Room, on_cpu, with_tensors
from timesformer.errors import UserError
from timesformer.weights.files import read_pickle

SUFFIX = ".dcp"
PLAIN = "plain.pyth"

# What metadata is made of; to call any of these makes one and does nothing else.
HARMLESS = {
    (kind.__module__, kind.__qualname__): kind
    for kind in (
        *(getattr(parts, name) for name in parts.__all__),
        parts._MEM_FORMAT_ENCODING,
        _StorageInfo,
    )
} | {("torch", "Size"): torch.Size, ("torch.serialization", "_get_layout"): lambda _: torch.strided}


class Writer(dcp.FileSystemWriter):
    """Into a new folder, synced; without noting where that lies."""

    def storage_meta(self) -> StorageMeta | None:
        return None


class Reader(dcp.FileSystemReader):
    """Executes nothing."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """UserError for metadata that asks for anything but a description of tensors."""
        with Path(self.path, ".metadata").open("rb") as file:
            metadata = MetadataUnpickler(file).load()
        if not isinstance(metadata, Metadata):
            raise pickle.UnpicklingError("the metadata is none")
        for name, kind in metadata.state_dict_metadata.items():
            if not isinstance(kind, TensorStorageMetadata):
                raise pickle.UnpicklingError(f"{name} is no tensor")
        for information in metadata.storage_data.values():
            if Path(information.relative_path).name != information.relative_path:
                raise pickle.UnpicklingError(f"{information.relative_path} is elsewhere")
        return metadata


class MetadataUnpickler(pickle.Unpickler):
    """Knows the classes of `HARMLESS`, and PyTorch's dtypes, alone."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in HARMLESS:
            return HARMLESS[module, name]
        if module == "torch" and isinstance(found := getattr(torch, name, None), torch.dtype):
            return found
        raise pickle.UnpicklingError(f"to load it, Python would have to execute {module}.{name}")


def write_shares(
    checkpoint: Mapping[str, Any], folder: Path, group: dist.ProcessGroup | None = None
) -> Any:
    """Write this process's shares of the tensors in `checkpoint` into `folder`, synced.

    All processes call it, with the same tensors in the same places.

    Args:
        checkpoint: nested dicts, lists and tuples of tensors, `DTensor` or whole, and plain values.
        folder: a new or empty one.
        group: those who write together.

    Returns:
        What remains, which belongs into the file `PLAIN`.

    Raises:
        CheckpointException: what went wrong, and in which process; in all of them.
    """
    tensors: dict[str, Tensor] = {}

    def take_out(place: Place, tensor: Tensor) -> Tensor:
        tensors[name_of(place)] = tensor.detach()
        return torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")

    plain = with_tensors(checkpoint, take_out)
    dcp.save(tensors, storage_writer=Writer(folder), process_group=group)
    return plain


def read(folder: Path, room: Room = on_cpu) -> Any:
    """The checkpoint in `folder`, written by any number of processes; each reads for itself.

    Args:
        folder: of `write_shares`, with the file `PLAIN`.
        room: given the place of a tensor and an empty one of its shape and dtype, returns the
            tensor to fill, of which a `DTensor` takes no more than this process's share.

    Raises:
        UserError: it is damaged, or would have code executed.
    """
    empty: dict[str, Tensor] = {}

    def make_room(place: Place, tensor: Tensor) -> Tensor:
        return empty.setdefault(name_of(place), room(place, tensor))

    checkpoint = with_tensors(read_pickle(folder / PLAIN), make_room)
    with damaged(folder):
        fill(empty, Reader(folder))
    return checkpoint


def check(folder: Path) -> None:
    """UserError if all but the values of the tensors in `folder` cannot be read.

    Of their files the sizes are looked at.
    """
    read_pickle(folder / PLAIN)
    with damaged(folder):
        for share in Reader(folder).read_metadata().storage_data.values():
            if (folder / share.relative_path).stat().st_size < share.offset + share.length:
                raise EOFError(f"{share.relative_path} is too short")


@contextmanager
def damaged(folder: Path) -> Iterator[None]:
    """Any failure is a UserError about `folder`."""
    try:
        yield
    # A damaged file fails in whatever way its damaged bytes ask for: the type says nothing.
    except Exception as error:
        raise UserError(
            f"'{folder}' was refused or is damaged ({type(error).__name__}: {error}). Copy it "
            "again, or take the checkpoint before it."
        ) from error


def fill(tensors: dict[str, Tensor], reader: Reader) -> None:
    """Read the values of `tensors`, those shares of them that are here."""
    metadata, planner = reader.read_metadata(), DefaultLoadPlanner()
    planner.set_up_planner(tensors, metadata, is_coordinator=True)
    reader.set_up_storage_reader(metadata, is_coordinator=True)
    plan = reader.prepare_local_plan(planner.create_local_plan())
    reader.read_data(plan, planner).wait()


def name_of(place: Place) -> str:
    return "/".join(map(str, place))
