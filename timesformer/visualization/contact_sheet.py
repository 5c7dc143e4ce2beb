"""Clips as strips of frames with a caption each: one picture, or one page that opens offline.

T frames, H W pixels.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from timesformer.writers.names import printable

MAX_FRAMES = 8  # of a strip; of more, evenly spaced ones are shown
TILE_HEIGHT = 112  # pixels
GAP = 4
CAPTION_HEIGHT = 18

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 1.5rem auto; max-width: 72rem;
       padding: 0 1rem; color: #222; background: #fff; }}
figure {{ margin: 1.2rem 0; }}
figure div {{ overflow-x: auto; }}
img {{ display: block; }}
figcaption {{ margin-bottom: .3rem; }}
p {{ color: #555; white-space: pre-line; }}
@media (prefers-color-scheme: dark) {{ body {{ color: #ddd; background: #181818; }}
  p {{ color: #aaa; }} }}
</style>
<h1>{title}</h1>
<p>{note}</p>
{figures}
</html>
"""


@dataclass(frozen=True)
class Strip:
    """A clip to show: `frames` uint8 RGB (T, H, W, 3), and what to say of it."""

    caption: str
    frames: np.ndarray


def save_png(file: BinaryIO, strips: Sequence[Strip]) -> None:
    """All strips below each other, captions above them."""
    pictures = [_join(strip.frames) for strip in strips]
    font = ImageFont.load_default(13)
    widths = [picture.width for picture in pictures]
    captions = [printable(strip.caption) for strip in strips]
    widths += [int(font.getlength(caption)) for caption in captions]
    height = sum(CAPTION_HEIGHT + picture.height + GAP for picture in pictures)
    sheet = Image.new("RGB", (max(widths) + 2 * GAP, height + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    top = GAP
    for caption, picture in zip(captions, pictures, strict=True):
        draw.text((GAP, top), caption, fill="black", font=font)
        sheet.paste(picture, (GAP, top + CAPTION_HEIGHT))
        top += CAPTION_HEIGHT + picture.height + GAP
    sheet.save(file, format="PNG")


def save_html(file: BinaryIO, strips: Sequence[Strip], *, title: str, note: str) -> None:
    """A page that holds its pictures itself; `note` may have several lines."""
    figures = "\n".join(
        f"<figure><figcaption>{html.escape(strip.caption)}</figcaption>"
        f'<div><img alt="{html.escape(strip.caption)}" src="{_data_uri(strip.frames)}"></div>'
        "</figure>"
        for strip in strips
    )
    page = _PAGE.format(title=html.escape(title), note=html.escape(note), figures=figures)
    # Names of files may hold bytes that are no UTF-8.
    file.write(page.encode(errors="backslashreplace"))


def _data_uri(frames: np.ndarray) -> str:
    buffer = io.BytesIO()
    _join(frames).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _join(frames: np.ndarray) -> Image.Image:
    """Frames side by side, each `TILE_HEIGHT` high."""
    shown = frames[evenly_spaced(len(frames), MAX_FRAMES)]
    width = round(frames.shape[2] * TILE_HEIGHT / frames.shape[1])
    # Small frames keep their pixels visible.
    method = Image.Resampling.NEAREST if frames.shape[1] < TILE_HEIGHT else Image.Resampling.BOX
    joined = Image.new("RGB", (len(shown) * (width + GAP) - GAP, TILE_HEIGHT), "white")
    for place, frame in enumerate(shown):
        tile = Image.fromarray(frame).resize((width, TILE_HEIGHT), method)
        joined.paste(tile, (place * (width + GAP), 0))
    return joined


def evenly_spaced(length: int, count: int) -> list[int]:
    """At most `count` of the numbers below `length`, the first and the last among them."""
    if length <= count:
        return list(range(length))
    return [round(i * (length - 1) / max(count - 1, 1)) for i in range(count)]
