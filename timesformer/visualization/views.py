"""One view of a video to stand for all."""

from __future__ import annotations

from torch import Tensor

from timesformer.datasets.video import EvaluationViews
from timesformer.errors import UnreadableVideo


def middle_view(dataset: EvaluationViews, index: int = 0) -> tuple[Tensor, str]:
    """The view in the middle in time and in space: uint8 (C, T, S, S), and which it is.

    Raises:
        UnreadableVideo: which and why.
    """
    item = dataset[index]
    if item.views is None:
        raise UnreadableVideo(item.failures[0].path, item.failures[0].reason)
    crops = dataset.transform.num_crops
    clips = len(item.views) // crops
    place = f"clip {clips // 2 + 1} of {clips}, crop {crops // 2 + 1} of {crops}"
    return item.views[clips // 2 * crops + crops // 2], place
