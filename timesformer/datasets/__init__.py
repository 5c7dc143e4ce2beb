"""Data: lists of videos, frame selection, decoding, transforms, loading."""

from timesformer.datasets.build import DATASET_REGISTRY, build_dataset

__all__ = ["DATASET_REGISTRY", "build_dataset"]
