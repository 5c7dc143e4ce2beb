"""Data: lists of videos, frame selection, decoding, transforms, loading."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from timesformer.datasets.build import DATASET_REGISTRY, build_dataset

__all__ = ["DATASET_REGISTRY", "build_dataset"]


def __getattr__(name: str) -> Any:
    # Imported at first use: the rooms that need no torch (lists, MotionShapes and its worker
    # processes) would otherwise pay its two seconds and 500 MB.
    if name in __all__:
        from timesformer.datasets import build

        return getattr(build, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
