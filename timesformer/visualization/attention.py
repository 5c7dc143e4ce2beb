"""What a network looked at in a video, as a film and as a sheet.

C channels, T frames, S pixels of a side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from timesformer.checkpoints.atomic import writing
from timesformer.datasets.build import normalizer
from timesformer.errors import UserError
from timesformer.interpretation.attention import (
    RawAttention,
    depth_of,
    raw_attention,
    relevance,
    rollout,
)
from timesformer.progress import progress
from timesformer.registry import closest
from timesformer.visualization.files import named, short, write_film
from timesformer.visualization.heat import Heat, Study, film, moment, sheet
from timesformer.visualization.views import middle_view

if TYPE_CHECKING:
    from timesformer.inference.predictor import Predictor

SIDE = 224  # pixels of a picture; those of heads side by side are half of that
FRAMES_PER_SECOND = 4  # of a film, so that each can be looked at
LONGEST_FILM = 12  # seconds
SIDE_BY_SIDE = 3  # maps that fit beside the frames
MAX_COLUMNS = 16
SOME = 20  # classes that a sentence names


@dataclass(frozen=True)
class View:
    """The clip of a video that is explained.

    Attributes:
        clip: float (1, C, T, S, S), as the model takes it, on its device.
        frames: uint8 RGB (T, S, S, 3).
        probabilities: float (K,).
        place: which view of the video it is.
    """

    clip: Tensor
    frames: np.ndarray
    probabilities: Tensor
    place: str

    @property
    def predicted(self) -> int:
        return int(self.probabilities.argmax())


def show_attention(
    video: str | Path, predictor: Predictor, out: str | Path, class_name: str | None = None
) -> list[Path]:
    """Write `out`.mp4 and `out`.png: the frames, rollout, and what speaks for a class.

    Of the views of a test, the middle one in time and space is explained.

    Args:
        video: what the data sets can open.
        class_name: the class to explain, or its number; by default what this view alone predicts.

    Raises:
        UserError: unreadable, no such class, a model without attention, or not to be written.
    """
    files = named(out, ".mp4", ".png")
    names = predictor.trained.class_names
    chosen = None if class_name is None else label_of(class_name, names)
    view = view_of(video, predictor)
    label = view.predicted if chosen is None else chosen
    model = predictor.trained.model
    with progress(2 * depth_of(model), "attention", unit="block") as bar:
        rows = {
            "rollout of the class token": rollout(model, view.clip, advance=bar.update),
            f"gradient-weighted, for '{names[label]}'": relevance(
                model, view.clip, [label], advance=bar.update
            ),
        }
    heats = [Heat(title, row.patches[0].numpy(force=True)) for title, row in rows.items()]
    study = Study(heading(video, predictor, view), view.frames, heats)
    return save(study, files, columns=3, side=SIDE, whole=True)


def show_raw(
    video: str | Path,
    predictor: Predictor,
    out: str | Path,
    layer: int | None = None,
    head: int | None = None,
) -> list[Path]:
    """Write `out`.mp4 and `out`.png: the frames, and what single heads attend to.

    All heads of all layers side by side; or those of a layer, with their frames below each other.

    Args:
        layer, head: from 0; negative layers count from the last. By default all of them.

    Raises:
        UserError: as `show_attention`, or no such layer or head.
    """
    files = named(out, ".mp4", ".png")
    view = view_of(video, predictor)
    layers = None if layer is None else [layer]
    model = predictor.trained.model
    with progress(len(layers or range(depth_of(model))), "attention", unit="block") as bar:
        seen = list(raw_attention(model, view.clip, layers, advance=bar.update))
    num_heads = seen[0].heads.shape[1]
    if head is not None and not 0 <= head < num_heads:
        raise UserError(f"There is no head {head}: each layer has {num_heads}, from 0.")
    heads = range(num_heads) if head is None else [head]
    heats = [raw_heat(each, one) for each in seen for one in heads]
    words = [*heading(video, predictor, view), *how_to_read(seen)]
    study = Study(words, view.frames, heats)
    of_a_layer = len(heads) * len({each.name for each in seen})
    columns = of_a_layer if of_a_layer <= MAX_COLUMNS else len(heads)
    return save(study, files, columns=columns, side=SIDE // 2, whole=layer is not None)


def raw_heat(raw: RawAttention, head: int) -> Heat:
    return Heat(f"L{raw.layer} {raw.name} H{head}", raw.heads[0, head].numpy(force=True))


def how_to_read(seen: Sequence[RawAttention]) -> list[str]:
    lines = ["L layer, H head, from 0; what the class token attends to"]
    if without := sorted({each.name for each in seen if not each.is_of_class}):
        lines.append(
            f"({', '.join(without)}: without the class token; what a patch gets on average)"
        )
    return lines


def view_of(video: str | Path, predictor: Predictor) -> View:
    """The middle one in time and in space.

    Raises:
        UnreadableVideo: which and why.
    """
    trained = predictor.trained
    pixels, place = middle_view(predictor.dataset_of([video]))
    clip = normalizer(trained.cfg, trained.device)(pixels[None, None].to(trained.device))
    with torch.no_grad():
        probabilities = trained.model(clip)[0].softmax(dim=0)
    return View(clip, pixels.permute(1, 2, 3, 0).numpy(), probabilities.cpu(), place)


def label_of(class_name: str, names: Sequence[str]) -> int:
    """By name, or else by number; UserError for one that there is not."""
    if class_name in names:
        return names.index(class_name)
    if class_name.isdecimal() and int(class_name) < len(names):
        return int(class_name)
    raise UserError(
        f"There is no class '{class_name}'.{closest(class_name, names)} The model knows "
        f"{', '.join(names[:SOME])}{', …' if len(names) > SOME else ''}."
    )


def heading(video: str | Path, predictor: Predictor, view: View) -> tuple[str, ...]:
    trained = predictor.trained
    name = trained.class_names[view.predicted]
    share = 100 * view.probabilities[view.predicted].item()
    scheme = trained.model.geometry.get("attention_type", "")
    return (
        f"{Path(video).name}, {view.place}; this view alone: '{name}', {share:.1f} %",
        f"{short(trained.source)}, {scheme}",
    )


def save(study: Study, files: list[Path], *, columns: int, side: int, whole: bool) -> list[Path]:
    """Write the film and, for `whole`, the sheet of all frames, or else of the middle one."""
    path_of_film, path_of_sheet = files
    if len(study.heats) <= SIDE_BY_SIDE:
        columns = 1 + len(study.heats)
    rate = max(Fraction(FRAMES_PER_SECOND), Fraction(len(study.frames), LONGEST_FILM))
    write_film(path_of_film, film(study, columns=columns, side=side), rate)
    if whole:
        picture = sheet(study)
    else:
        picture = moment(study, len(study.frames) // 2, columns=columns, side=side)
    with writing(path_of_sheet) as file:
        picture.save(file, format="PNG")
    return files
