"""Pictures of a run: clips that move, with a line of words, and confusion matrices.

T frames, H W pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from timesformer.writers.interface import Picture
from timesformer.writers.names import for_matplotlib, printable, shortened

SMALLEST_SIDE = 192  # pixels, to which small clips are enlarged
LINE = 16  # pixels of a line of words
SIZE = 12  # of its letters
SLOWEST, FASTEST = 1, 20  # frames per second
LONGEST_NAME = 32  # of a class beside a matrix
MOST_NUMBERED, MOST_NAMED = 15, 60  # classes, whose cells have numbers, and who have names


def moving_picture(frames: np.ndarray, fps: float, words: str) -> Picture:
    """The clip with `words` below it, over and over again.

    Args:
        frames: uint8 (T, H, W, 3).
        fps: of the original; kept where a person can follow.
    """
    images = [captioned(frame, words) for frame in frames]
    stream = BytesIO()
    images[0].save(
        stream,
        "GIF",
        save_all=True,
        append_images=images[1:],
        duration=round(1000 / min(max(fps, SLOWEST), FASTEST)),
        loop=0,
        disposal=1,
    )
    return Picture(stream.getvalue(), "gif", *images[0].size)


def captioned(frame: np.ndarray, words: str) -> Image.Image:
    """One frame, enlarged if it is small, above as many lines as the words take."""
    height, width = frame.shape[:2]
    factor = -(-SMALLEST_SIDE // min(height, width))
    size = width * factor, height * factor
    lines = wrapped(printable(words), size[0])
    canvas = Image.new("RGB", (size[0], size[1] + LINE * len(lines)), "white")
    canvas.paste(Image.fromarray(frame).resize(size, Image.Resampling.NEAREST))
    draw = ImageDraw.Draw(canvas)
    for place, line in enumerate(lines):
        draw.text((2, size[1] + LINE * place), line, "black", ImageFont.load_default(SIZE))
    return canvas


def wrapped(words: str, width: int) -> list[str]:
    """Lines of at most `width` pixels, but for words that are longer."""
    font = ImageFont.load_default(SIZE)
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width - 4 or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def confusion_matrix(counts: np.ndarray, class_names: Sequence[str]) -> Picture:
    """Shares of each true class (rows) that were taken for each class (columns).

    Args:
        counts: (K, K), whole numbers.
    """
    # Imported late: it costs a second. Without pyplot, which would look for a screen.
    from matplotlib.figure import Figure

    num_classes = len(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(max(5.0, 0.3 * num_classes), 16.0)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axes.set(xlabel="predicted", ylabel="true")
    if num_classes <= MOST_NAMED:
        places = range(num_classes)
        names = [for_matplotlib(shortened(name, LONGEST_NAME)) for name in class_names]
        axes.set_xticks(places, names, rotation=90)
        axes.set_yticks(places, names)
    if num_classes <= MOST_NUMBERED:
        for (row, column), count in np.ndenumerate(counts):
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{count:.0f}", ha="center", va="center", color=color)
    stream = BytesIO()
    figure.savefig(stream, format="png", dpi=100)
    width, height = Image.open(stream).size
    return Picture(stream.getvalue(), "png", width, height)
