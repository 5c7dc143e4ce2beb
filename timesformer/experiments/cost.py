"""What the network of a cell costs, from its config alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from timesformer.models.build import build_model

if TYPE_CHECKING:
    from yacs.config import CfgNode


def costs(cfg: CfgNode) -> dict[str, float | None]:
    """Millions of parameters; nominal multiply-adds: 10^9 of a view, 10^12 of all views of a video.

    The last two are None for a model that is no TimeSformer.
    """
    from timesformer.profiling.cost import expected  # chains of imports stay short

    with torch.device("meta"):
        model = build_model(cfg, pretrained=False)
    side = cfg.DATA.TEST_CROP_SIZE
    clip = (cfg.DATA.INPUT_CHANNEL_NUM[0], cfg.DATA.NUM_FRAMES, side, side)
    _, _, flops = expected(model, clip)
    views = cfg.TEST.NUM_ENSEMBLE_VIEWS * cfg.TEST.NUM_SPATIAL_CROPS
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()) / 1e6,
        "gflops": None if flops is None else flops / 1e9,
        "tflops": None if flops is None else flops * views / 1e12,
    }
