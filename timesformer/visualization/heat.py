"""Heat over the frames of a clip, as a film and as a sheet, with a scale for every map.

T frames, S pixels of a side, h w rows and columns of patches.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from timesformer.visualization.contact_sheet import evenly_spaced
from timesformer.writers.names import printable

# Perceptually uniform, dark where there is nothing: what matplotlib calls inferno. RGB.
COLOURS = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_INFERNO)
COLOURS = COLOURS[:, 0, ::-1].astype(np.float32)
SHARE_OF_COLOUR = 0.55
UNDER_THE_SCALE = 128.0  # grey, as a frame might be

GAP, LINE, FONT_SIZE = 8, 18, 13  # pixels
MIN_WIDTH = 640  # so that the heading can be read
MAX_FRAMES, WIDTH_OF_A_SHEET, MAX_SIDE = 8, 1120, 224


@dataclass(frozen=True)
class Heat:
    """A map over a clip: `values` float (T, h, w), at least 0, and what they are."""

    title: str
    values: np.ndarray

    @property
    def relative(self) -> np.ndarray:
        """To the mean over the clip, which is 1; zeros where all are."""
        return self.values / (self.values.mean() or 1.0)

    @property
    def top(self) -> float:
        """Where the scale ends: few patches may have much more than all others."""
        return float(np.quantile(self.relative, 0.99) or self.relative.max())


@dataclass(frozen=True)
class Study:
    """Maps over one clip, `frames` uint8 RGB (T, S, S, 3), and what there is to say of it."""

    heading: Sequence[str]
    frames: np.ndarray
    heats: Sequence[Heat]


@dataclass(frozen=True)
class Cell:
    """A picture uint8 RGB (H, W, 3), a line above it, and below it a scale from 0 to `top`."""

    title: str
    picture: np.ndarray
    top: float | None = None


def film(study: Study, *, columns: int, side: int) -> Iterator[np.ndarray]:
    """The frames one after the other, beside them all maps: uint8 RGB pictures of even sides."""
    for time in range(len(study.frames)):
        yield np.asarray(moment(study, time, columns=columns, side=side))


def moment(study: Study, time: int, *, columns: int, side: int) -> Image.Image:
    """A frame, and beside it all maps on it, or below it where they are more than a row."""
    cells = cells_at(study, time, side)
    if len(cells) > columns:
        cells[1:1] = [Cell("", np.full_like(cells[0].picture, 255))] * (columns - 1)
    return board(study.heading, cells, columns)


def sheet(study: Study) -> Image.Image:
    """A row of frames, evenly spaced, and below it a row for each map."""
    shown = evenly_spaced(len(study.frames), MAX_FRAMES)
    side = min(WIDTH_OF_A_SHEET // len(shown), MAX_SIDE)
    moments = [cells_at(study, time, side) for time in shown]
    rows = [
        Cell(cells[0].title, side_by_side([cell.picture for cell in cells]), cells[0].top)
        for cells in zip(*moments, strict=True)
    ]
    numbers = ", ".join(str(time + 1) for time in shown)
    rows[0] = Cell(f"frames {numbers} of {len(study.frames)}", rows[0].picture)
    return board(study.heading, rows, columns=1)


def cells_at(study: Study, time: int, side: int) -> list[Cell]:
    """The frame `time`, and every map on it, in pictures of `side` pixels."""
    frame = scaled(study.frames[time], side)
    cells = [Cell(f"frame {time + 1} of {len(study.frames)}", frame)]
    for heat in study.heats:
        share = np.minimum(heat.relative[time] / (heat.top or 1.0), 1)
        cells.append(Cell(heat.title, painted(frame, share), heat.top))
    return cells


def painted(frame: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """A frame uint8 (H, W, 3), grey under the colours of `shares`, float (h, w) from 0 to 1."""
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    smooth = cv2.resize(shares.astype(np.float32), grey.shape[::-1])
    return blended(grey, smooth)


def blended(grey: np.ndarray, shares: np.ndarray) -> np.ndarray:
    colours = COLOURS[np.rint(255 * shares).astype(np.uint8)]
    mixed = (1 - SHARE_OF_COLOUR) * grey[..., None] + SHARE_OF_COLOUR * colours
    return np.rint(mixed).astype(np.uint8)


def scaled(frame: np.ndarray, side: int) -> np.ndarray:
    """A square of `side` pixels; small frames keep their pixels visible."""
    method = cv2.INTER_NEAREST if len(frame) < side else cv2.INTER_AREA
    return cv2.resize(frame, (side, side), interpolation=method)


def side_by_side(pictures: Sequence[np.ndarray]) -> np.ndarray:
    gap = np.full((len(pictures[0]), GAP // 2, 3), 255, dtype=np.uint8)
    return np.concatenate([part for picture in pictures for part in (picture, gap)][:-1], axis=1)


def board(heading: Sequence[str], cells: Sequence[Cell], columns: int) -> Image.Image:
    """Cells of one size, row by row, under a heading; both sides of the whole are even."""
    height, width = cells[0].picture.shape[:2]
    step_x, step_y = width + GAP, LINE + height + LINE + GAP
    rows, above = math.ceil(len(cells) / columns), len(heading) * LINE + GAP
    size = (max(columns * step_x + GAP, MIN_WIDTH), above + rows * step_y)
    canvas = Image.new("RGB", (size[0] + size[0] % 2, size[1] + size[1] % 2), "white")
    for number, line in enumerate(heading):
        write(canvas, GAP, GAP // 2 + number * LINE, line, size[0] - 2 * GAP)
    for number, cell in enumerate(cells):
        left, top = GAP + number % columns * step_x, above + number // columns * step_y
        write(canvas, left, top, cell.title, width)
        canvas.paste(Image.fromarray(cell.picture), (left, top + LINE))
        if cell.top is not None:
            draw_scale(canvas, left, top + LINE + height + 2, width, cell.top)
    return canvas


def draw_scale(canvas: Image.Image, left: int, top: int, width: int, most: float) -> None:
    """From 0 to `most`, with words where there is room for them."""
    words = f"{most:.3g} x mean"
    if width > 320:
        words = f"{most:.3g} times the mean of the clip, and more"
    zero, end = (math.ceil(font().getlength(text)) + 4 for text in ("0", words))
    bar = min(width - zero - end, 256)
    write(canvas, left, top - 1, "0", width)
    if bar > 8:
        shares = np.linspace(0, 1, bar)[None].repeat(LINE - 8, axis=0)
        colours = blended(np.full(shares.shape, UNDER_THE_SCALE), shares)
        canvas.paste(Image.fromarray(colours), (left + zero, top + 2))
    write(canvas, left + zero + max(bar, 0) + 4, top - 1, words, width)


def write(canvas: Image.Image, left: int, top: int, text: str, width: int) -> None:
    """A line of text, cut where it is wider than `width` pixels."""
    text = printable(text)
    length = font().getlength(text)
    if length > width:
        text = text[: int(len(text) * width / length)]
        while text and font().getlength(text + "…") > width:
            text = text[:-1]
        text += "…"
    ImageDraw.Draw(canvas).text((left, top), text, fill="black", font=font())


@cache
def font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(FONT_SIZE)
