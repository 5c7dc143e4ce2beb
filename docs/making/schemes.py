"""The pictures of the attention schemes in docs/concepts.md, drawn from what the blocks compute.

    python -m docs.making.schemes      # writes docs/figures/attention_*.svg; prints the table

What a patch attends to is not written down here: it is asked of the real block. All its attentions
but one are switched off, and automatic differentiation tells on which tokens the outcome for one
patch depends. `tests/docs/test_schemes.py` compares the files, and the table of
the page, with what this writes.

T frames, N = h*w patches of a frame, D width.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from timesformer.models.attention import ATTENTION_SCHEMES, Block, BlockSpec, TokenGrid

FIGURES = Path(__file__).parents[1] / "figures"

STEPS: dict[str, tuple[str, ...]] = {  # the words for each attention of a block, in its order
    "space_only": ("its own frame",),
    "joint_space_time": ("all patches of all frames",),
    "divided_space_time": ("1. over time", "2. over space"),
    "sparse_local_global": ("1. near: its quarter of the picture", "2. far: every second patch"),
    "axial": ("1. over time", "2. along its row", "3. along its column"),
}

DRAWN = TokenGrid(frames=5, height=8, width=8)
QUERY = (2, 2, 5)  # frame, row, column: in none of them at an edge
COUNTED = TokenGrid(frames=8, height=14, width=14)  # 8 frames of 224 pixels

QUERY_COLOUR = "#1f6fd6"
STEP_COLOURS = ("#e69f00", "#009e73", "#cc79a7")  # Okabe and Ito: told apart by everybody
OTHER = "#767c84"
CELL, GAP, MARGIN = 13, 16, 4


class Seen(NamedTuple):
    """What one attention of a block lets one patch see."""

    patches: Tensor  # bool (T, h, w)
    class_token: bool


def seen_by_step(scheme: str, grid: TokenGrid, query: tuple[int, int, int]) -> list[Seen]:
    """What the patch `query` (frame, row, column) sees in each attention of a block of `scheme`."""
    return [dependence(scheme, grid, query, only=name) for name in attentions(scheme)]


def attentions(scheme: str) -> list[str]:
    """The names of a block's attentions, in the order in which it takes them."""
    return [f"{name}_attn" for name in ATTENTION_SCHEMES.get(scheme).attentions_with_fc] + ["attn"]


def dependence(scheme: str, grid: TokenGrid, query: tuple[int, int, int], only: str) -> Seen:
    """The tokens on which the outcome for `query` depends where only one attention is at work."""
    block = random_block(scheme)
    silence(block, [name for name in attentions(scheme) if name != only])
    cls_token = torch.randn(1, 1, 8, dtype=torch.float64, requires_grad=True)
    patches = torch.randn(1, grid.patches, grid.frames, 8, dtype=torch.float64, requires_grad=True)
    tokens = block(block.arrange(cls_token, patches), grid)
    frame, row, column = query
    outcome = block.patches_of(tokens, grid)[0, row * grid.width + column, frame]
    value = outcome @ torch.randn_like(outcome)
    of_class, of_patches = torch.autograd.grad(value, [cls_token, patches])
    touched = (of_patches[0] != 0).any(dim=-1)  # (N, T)
    on_grid = touched.unflatten(0, (grid.height, grid.width)).permute(2, 0, 1)
    return Seen(on_grid, bool((of_class != 0).any()))


def random_block(scheme: str) -> Block:
    torch.manual_seed(0)
    spec = BlockSpec(
        dim=8, num_heads=1, mlp_ratio=1.0, qkv_bias=True, drop_rate=0.0, attn_drop_rate=0.0
    )
    return ATTENTION_SCHEMES.get(scheme)(spec, drop_path_rate=0.0).double().eval()


def silence(block: Block, names: list[str]) -> None:
    """These attentions, and the MLP, add the same to every token, whatever the tokens are."""
    for layer in [block.mlp.fc2, *(getattr(block, name).proj for name in names)]:
        torch.nn.init.zeros_(layer.weight)


def drawing(scheme: str) -> str:
    """The SVG of a scheme: the frames of a clip, and in them the patches that one patch sees."""
    steps = [seen.patches for seen in seen_by_step(scheme, DRAWN, QUERY)]
    width, height = frame_left(DRAWN.frames) - GAP + MARGIN, DRAWN.height * CELL + 2 * MARGIN
    cells = [
        cell(steps, frame, row, column)
        for frame in range(DRAWN.frames)
        for row in range(DRAWN.height)
        for column in range(DRAWN.width)
    ]
    labels = [label(frame, DRAWN.height * CELL + 2 * MARGIN + 12) for frame in range(DRAWN.frames)]
    legend = legend_of(scheme, height + 44)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height + 50}" '
            'font-family="sans-serif" font-size="14">',
            f"<title>{scheme}: what one patch attends to</title>",
            *cells,
            *labels,
            *legend,
            "</svg>",
            "",
        ]
    )


def frame_left(frame: int) -> int:
    return MARGIN + frame * (DRAWN.width * CELL + GAP)


def cell(steps: list[Tensor], frame: int, row: int, column: int) -> str:
    """A patch; one that is seen in two steps has a half in each colour."""
    x, y = frame_left(frame) + column * CELL, MARGIN + row * CELL
    if (frame, row, column) == QUERY:
        return square(x, y, QUERY_COLOUR)
    seen = [
        colour
        for step, colour in zip(steps, STEP_COLOURS, strict=False)
        if step[frame, row, column]
    ]
    if not seen:
        return square(x, y, OTHER, opacity="0.2")
    side = CELL - 1
    halves = [f'<path d="M{x} {y + side}V{y}h{side}z" fill="{seen[0]}"/>'] if seen[1:] else []
    return "".join([square(x, y, seen[-1]), *halves])


def square(x: int, y: int, colour: str, *, opacity: str = "1") -> str:
    place = f'x="{x}" y="{y}" width="{CELL - 1}" height="{CELL - 1}"'
    return f'<rect {place} fill="{colour}" opacity="{opacity}"/>'


def label(frame: int, y: int) -> str:
    away = frame - QUERY[0]
    words = "t" + (f" {'+' if away > 0 else '−'} {abs(away)}" if away else "")
    middle = frame_left(frame) + DRAWN.width * CELL // 2
    return f'<text x="{middle}" y="{y}" text-anchor="middle" fill="{OTHER}">{words}</text>'


def legend_of(scheme: str, y: int) -> list[str]:
    """A square and words for the query and for each step, side by side."""
    entries = [("the patch", QUERY_COLOUR), *zip(STEPS[scheme], STEP_COLOURS, strict=False)]
    parts, x = [], MARGIN
    for words, colour in entries:
        parts.append(square(x, y - 11, colour))
        parts.append(f'<text x="{x + CELL + 4}" y="{y}" fill="{OTHER}">{words}</text>')
        x += CELL + 22 + round(6.2 * len(words))
    return parts


def counts() -> str:
    """A Markdown table: how many tokens a patch is compared with, in each step and in all."""
    rows = ["| scheme | tokens in each step | in all | of joint |", "|---|---|---:|---:|"]
    joint = sum(tokens_compared("joint_space_time"))
    for scheme in STEPS:
        each = tokens_compared(scheme)
        sums = " + ".join(f"{number:,}" for number in each)
        rows.append(f"| `{scheme}` | {sums} | {sum(each):,} | {sum(each) / joint:.1%} |")
    return "\n".join([*rows, ""])


def tokens_compared(scheme: str) -> list[int]:
    """Of a patch in the middle of the clip, itself and the class token included."""
    query = (COUNTED.frames // 2, COUNTED.height // 2, COUNTED.width // 2)
    steps = seen_by_step(scheme, COUNTED, query)
    return [int(seen.patches.sum()) + seen.class_token for seen in steps]


def files() -> dict[Path, str]:
    """Every picture, by the file it is in."""
    return {FIGURES / f"attention_{scheme}.svg": drawing(scheme) for scheme in STEPS}


if __name__ == "__main__":
    FIGURES.mkdir(exist_ok=True)
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path}")
    print(counts())
