"""The videos that a model takes for the most like a given one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from timesformer.checkpoints.atomic import writing
from timesformer.errors import UnreadableVideo, UserError
from timesformer.visualization.contact_sheet import Strip, save_png
from timesformer.visualization.features import (
    UNKNOWN,
    Features,
    check_width,
    features_of,
    nearest,
)
from timesformer.visualization.files import named
from timesformer.visualization.views import middle_view

if TYPE_CHECKING:
    from timesformer.inference.predictor import Predictor


@dataclass(frozen=True)
class Neighbour:
    """A video, its class, and the cosine between its features and those of the query."""

    path: str
    name: str
    cosine: float
    span: npt.NDArray[np.float64] | None


def show_neighbours(
    query: str,
    predictor: Predictor,
    out: str | Path,
    *,
    k: int = 8,
    split: str = "test",
    features_file: str | None = None,
) -> tuple[list[Neighbour], list[Path]]:
    """The `k` nearest videos, without itself; writes `out`.png, and features as `show_embeddings`.

    Raises:
        UserError: the query cannot be read, or no features (see `features_of`).
    """
    if k < 1:
        raise UserError(f"-k is {k}; it must be at least 1.")
    picture, kept = named(out, ".png", ".npz")
    strips = [Strip(f"query   {Path(query).name}", frames_of(predictor, query))]
    direction = predictor.features([query])[0]
    bank = features_of(predictor, split, features_file, kept)
    check_width(bank, len(direction))
    found = neighbours(query, direction, bank, predictor.trained.class_names, k)
    for place, near in enumerate(found, start=1):
        caption = f"{place}   cosine {near.cosine:.3f}   {near.name}   {Path(near.path).name}"
        strips.append(strip(predictor, near.path, near.span, caption))
    with writing(picture) as file:
        save_png(file, strips)
    return found, [picture, *([] if features_file else [kept])]


def neighbours(
    query: str,
    direction: npt.NDArray[np.float32],
    bank: Features,
    names: Sequence[str],
    k: int,
) -> list[Neighbour]:
    here = os.path.abspath(query)
    itself = {i for i, video in enumerate(bank.videos) if os.path.abspath(video) == here}
    found = []
    for index, cosine in nearest(bank, direction, k, but=itself):
        label = int(bank.labels[index])
        name = "unknown" if label == UNKNOWN else names[label]
        span = None if bank.spans is None else bank.spans[index : index + 1]
        found.append(Neighbour(bank.videos[index], name, cosine, span))
    return found


def strip(
    predictor: Predictor, path: str, span: npt.NDArray[np.float64] | None, caption: str
) -> Strip:
    """Grey for a video that is not there any more."""
    try:
        return Strip(caption, frames_of(predictor, path, span))
    except UnreadableVideo as error:
        side = predictor.trained.cfg.DATA.TEST_CROP_SIZE
        grey = np.full((1, side, side, 3), 128, dtype=np.uint8)
        return Strip(f"{caption}   cannot be read: {error.reason}", grey)


def frames_of(
    predictor: Predictor, path: str, span: npt.NDArray[np.float64] | None = None
) -> npt.NDArray[np.uint8]:
    """Of the middle view, RGB (T, S, S, 3); UnreadableVideo says which and why."""
    pixels, _ = middle_view(predictor.dataset_of([path], span))
    return pixels.permute(1, 2, 3, 0).numpy()


def table(found: Sequence[Neighbour]) -> str:
    """A line for each: its place, cosine, class and path."""
    width = max((len(near.name) for near in found), default=0)
    return "".join(
        f"{place:4d}  {near.cosine:6.3f}  {near.name:{width}}  {near.path}\n"
        for place, near in enumerate(found, start=1)
    )
