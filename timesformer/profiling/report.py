"""The tables of ``tools/model_info.py``: plain values first, then their text.

Dimensions: T frames, H W pixels, N patches of a frame.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch

from timesformer.models.attention import ATTENTION_SCHEMES, TokenGrid
from timesformer.models.build import build_model
from timesformer.models.vit import TimeSformer
from timesformer.profiling.columns import columns
from timesformer.profiling.cost import Cost, cost_of
from timesformer.profiling.flops import layers_of, nominal_flops, num_tokens
from timesformer.profiling.training_cost import GpuHours, gpu_hours
from timesformer.progress import counted

if TYPE_CHECKING:
    from yacs.config import CfgNode

AGREEMENT = 0.01  # the most by which measured FLOPs and those of the formula may differ

PAPER_MILLION_PARAMETERS = {
    "space_only": 85.9,
    "joint_space_time": 85.9,
    "divided_space_time": 121.4,
    "sparse_local_global": 121.4,
    "axial": 156.8,
}
"""Table 1 of the paper: base-16, 8 frames of 224 pixels."""

PAPER_CLASSES = 174
"""Those of Something-Something V2. With that head all five numbers are met; with 400 none is."""

PAPER_MODELS = {
    "TimeSformer": (8, 224, 0.59),
    "TimeSformer-HR": (16, 448, 5.11),
    "TimeSformer-L": (96, 224, 7.14),
}
"""T, H = W, and the paper's TFLOPs of the 3 views of a video, on Kinetics-400."""

FIGURE_3 = (
    *((8, size) for size in (224, 336, 448, 560, 672, 784, 896, 1024)),
    *((frames, 224) for frames in (16, 32, 48, 64, 96)),
)
"""T and H = W: the paper's figure 3 lets either grow."""


def config_report(cfg: CfgNode) -> dict[str, Any]:
    """The cost of a config's model: of a test view, of a video's views, of a training clip."""
    channels, frames = cfg.DATA.INPUT_CHANNEL_NUM[0], cfg.DATA.NUM_FRAMES
    view = (channels, frames, cfg.DATA.TEST_CROP_SIZE, cfg.DATA.TEST_CROP_SIZE)
    train_clip = (channels, frames, cfg.DATA.TRAIN_CROP_SIZE, cfg.DATA.TRAIN_CROP_SIZE)
    cost = cost_of(lambda: build_model(cfg, pretrained=False), view, train_clip)
    views = cfg.TEST.NUM_ENSEMBLE_VIEWS * cfg.TEST.NUM_SPATIAL_CROPS
    hours = gpu_hours(cfg)
    return {
        "name": cfg.MODEL.MODEL_NAME,
        "attention": cfg.TIMESFORMER.ATTENTION_TYPE if cost.tokens else None,
        "view": view,
        "train_clip": train_clip,
        "views_per_video": views,
        "measured_flops_per_video": cost.measured_flops * views,
        "gpu_hours": hours and hours._asdict(),
        **cost.as_dict(),
    }


def paper_report() -> dict[str, Any]:
    """The paper's comparisons, our numbers beside its own; about half a minute."""
    return {
        "schemes": [
            scheme_report(name) for name in counted(ATTENTION_SCHEMES.names(), "schemes", "scheme")
        ],
        "models": [model_report(name) for name in counted(PAPER_MODELS, "models", "model")],
        "figure_3": figure_3(),
    }


def base_16(frames: int, size: int, scheme: str = "divided_space_time") -> Cost:
    """The cost of a ViT-B/16 with 400 classes at T frames of H = W pixels."""
    return cost_of(
        lambda: TimeSformer(img_size=size, num_frames=frames, attention_type=scheme),
        (3, frames, size, size),
    )


def scheme_report(name: str) -> dict[str, Any]:
    """An attention scheme at 8 frames of 224 pixels."""
    cost = base_16(8, 224, name)
    return {
        "name": name,
        "parameters_174_classes": cost.parameters - (400 - PAPER_CLASSES) * (768 + 1),
        "paper_million_parameters": PAPER_MILLION_PARAMETERS.get(name),
        **cost.as_dict(),
    }


def model_report(name: str) -> dict[str, Any]:
    """One of `PAPER_MODELS`."""
    frames, size, paper_tflops = PAPER_MODELS[name]
    cost = base_16(frames, size)
    assert cost.nominal_flops is not None
    tflops = 3 * cost.nominal_flops / 1e12
    return {
        "name": name,
        "frames": frames,
        "size": size,
        "tflops_3_views": tflops,
        "paper_tflops": paper_tflops,
        "difference_to_paper": tflops / paper_tflops - 1,
        **cost.as_dict(),
    }


def figure_3() -> list[dict[str, int]]:
    """Nominal FLOPs of joint and divided attention, base-16, as frames and pictures grow."""
    with torch.device("meta"):
        layers = layers_of(TimeSformer().model)
    rows = []
    for frames, size in FIGURE_3:
        grid = TokenGrid(frames, size // 16, size // 16)
        row = {"frames": frames, "size": size, "tokens": num_tokens("joint_space_time", grid)}
        for scheme in ("joint_space_time", "divided_space_time"):
            row[scheme] = nominal_flops(scheme, grid, layers)
        rows.append(row)
    return rows


def config_text(report: dict[str, Any]) -> str:
    """A `config_report` for a person."""
    views = report["views_per_video"]
    title = " ".join(filter(None, (report["name"], report["attention"])))
    rows = [
        [title, "a view", f"a video ({views} views)"],
        ["frames x height x width", sides(report["view"]), ""],
        ["parameters, M", mega(report["parameters"]), ""],
        ["tokens", count(report["tokens"]), count(report["tokens"], views)],
        *(
            [label, giga(report[key]), giga(report[key], views)]
            for label, key in (
                ("GFLOPs (multiply-adds), as papers count", "nominal_flops"),
                ("GFLOPs computed, measured", "measured_flops"),
                ("GFLOPs computed, by the formula", "formula_flops"),
            )
        ),
        ["relative difference", percent(report["difference"]), ""],
        ["", "", ""],
        ["Kept for the backward pass, float32", "a clip", ""],
        ["frames x height x width", sides(report["train_clip"]), ""],
        ["MiB", mebi(report["kept_bytes"]), ""],
        ["MiB with activation checkpointing", mebi(report["kept_bytes_checkpointed"]), ""],
    ]
    hours = report["gpu_hours"]
    whole = ["", str(GpuHours(**hours))] if hours else []
    return "\n".join([*columns(rows), *whole, *doubts([report])])


def paper_text(report: dict[str, Any]) -> str:
    """A `paper_report` for a person."""
    return "\n".join(
        [
            "Attention schemes: base-16, 8 frames of 224 x 224 pixels, 400 classes",
            *columns([SCHEME_COLUMNS, *map(scheme_cells, report["schemes"])]),
            *SCHEME_NOTES,
            "",
            "Divided attention: the models of the paper, 400 classes, 3 views of a video",
            *columns([MODEL_COLUMNS, *map(model_cells, report["models"])]),
            "",
            "TFLOPs of joint and of divided attention as pictures and clips grow (figure 3)",
            *columns([GROWTH_COLUMNS, *map(growth_cells, report["figure_3"])]),
            *doubts([*report["schemes"], *report["models"]]),
        ]
    )


COST_COLUMNS = ["tokens", "GFLOPs", "computed", "by formula", "kept MiB", "checkpointed"]
SCHEME_COLUMNS = ["", "M params", "174 classes", "paper", *COST_COLUMNS]
MODEL_COLUMNS = ["", "clip", *COST_COLUMNS, "TFLOPs of 3", "paper", "to paper"]
GROWTH_COLUMNS = ["frames x pixels", "tokens", "joint", "divided", "joint / divided"]

SCHEME_NOTES = [
    "GFLOPs are multiply-adds of one view as papers count them; less is computed, because of the",
    "last block the class token alone is wanted. Kept is for the backward pass of one clip in",
    "float32; with checkpointing, one block's share comes on top while its turn lasts. The paper's",
    f"parameters are met with a head for {PAPER_CLASSES} classes (Something-Something V2).",
]


def cost_cells(row: dict[str, Any]) -> list[str]:
    return [
        count(row["tokens"]),
        giga(row["nominal_flops"]),
        giga(row["measured_flops"]),
        giga(row["formula_flops"]),
        mebi(row["kept_bytes"]),
        mebi(row["kept_bytes_checkpointed"]),
    ]


def scheme_cells(row: dict[str, Any]) -> list[str]:
    parameters = [mega(row["parameters"]), mega(row["parameters_174_classes"])]
    paper = row["paper_million_parameters"]
    return [row["name"], *parameters, "-" if paper is None else f"{paper}", *cost_cells(row)]


def model_cells(row: dict[str, Any]) -> list[str]:
    clip = f"{row['frames']} x {row['size']}"
    tflops = [f"{row['tflops_3_views']:.2f}", f"{row['paper_tflops']:.2f}"]
    return [row["name"], clip, *cost_cells(row), *tflops, percent(row["difference_to_paper"])]


def growth_cells(row: dict[str, int]) -> list[str]:
    joint, divided = row["joint_space_time"], row["divided_space_time"]
    tflops = [f"{flops / 1e12:.2f}" for flops in (joint, divided)]
    clip = f"{row['frames']} x {row['size']}"
    return [clip, count(row["tokens"]), *tflops, f"{joint / divided:.2f}"]


def doubts(rows: Iterable[dict[str, Any]]) -> list[str]:
    """A sentence for each number that should not be believed."""
    sentences = []
    for row in rows:
        if row["uncounted"]:
            names = ", ".join(row["uncounted"])
            sentences.append(f"{row['name']}: what these operators cost is not counted: {names}.")
        if row["difference"] is not None and abs(row["difference"]) > AGREEMENT:
            sentences.append(
                f"{row['name']}: measured FLOPs and the formula differ by "
                f"{percent(row['difference'])}, so one of them is wrong."
            )
    return sentences


def sides(clip: tuple[int, int, int, int]) -> str:
    return " x ".join(str(side) for side in clip[1:])


def count(value: int | None, times: int = 1) -> str:
    return "-" if value is None else f"{value * times:,}"


def mega(value: int) -> str:
    return f"{value / 1e6:,.2f}"


def giga(value: int | None, times: int = 1) -> str:
    return "-" if value is None else significant(value * times / 1e9)


def mebi(value: int | None) -> str:
    return "-" if value is None else significant(value / 2**20)


def significant(value: float) -> str:
    """Without decimals from a thousand on, with four below one."""
    return f"{value:,.{0 if value >= 1000 else 1 if value >= 1 else 4}f}"


def percent(share: float | None) -> str:
    return "-" if share is None else f"{share:+.2%}"
