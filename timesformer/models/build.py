"""From a config to a model. The config stops here: entry points take plain keyword arguments."""

from __future__ import annotations

import inspect
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor, nn

from timesformer.config.defaults import KEYS
from timesformer.errors import UserError
from timesformer.models.layers import Attention, DropPath
from timesformer.models.pos_embed import SpatialMode
from timesformer.models.pretrained import LoadReport, load_weights
from timesformer.registry import Registry
from timesformer.weights.load import read_weights

if TYPE_CHECKING:
    from yacs.config import CfgNode

log = logging.getLogger("timesformer")


class VideoClassifier(nn.Module):
    """What every registered model offers.

    `forward` takes float (B, C, T, H, W), normalised RGB, and returns logits (B, num_classes) in
    training and evaluation alike.
    """

    @property
    def geometry(self) -> dict[str, Any]:
        """The arguments of `VisionTransformer` that say what network it is; empty for others."""
        return {}

    def forward_features(self, clip: Tensor) -> Tensor:
        """(B, D): what the classification head reads."""
        raise NotImplementedError

    def set_grad_checkpointing(
        self, enable: bool, *, every: int = 1, keep: str = "nothing"
    ) -> None:
        """Trade time for memory: recompute activations in the backward pass (see `Recomputed`)."""
        raise NotImplementedError

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters that an optimiser may exempt from weight decay."""
        return set()

    def parameter_layers(self) -> dict[str, int]:
        """Which layer each parameter is in, from 0 at the input; empty for a model without any."""
        return {}


class EntryPoint(Protocol):
    """What the registry holds: a class or function from geometry to a model."""

    def __call__(self, **geometry: Any) -> VideoClassifier: ...


MODEL_REGISTRY: Registry[EntryPoint] = Registry("model")


def build_model(cfg: CfgNode, *, pretrained: bool = True) -> VideoClassifier:
    """The model that `cfg` names, on the CPU, in training mode.

    Weights are random unless ``TIMESFORMER.PRETRAINED_MODEL`` names some and `pretrained`; what
    came of them is logged.

    Raises:
        UserError: an unknown name, an impossible geometry, a key that contradicts the model's name
            or that the model has no use for, or weights that do not fit.
    """
    name = cfg.MODEL.MODEL_NAME
    entry = MODEL_REGISTRY.get(name)
    geometry = geometry_from_cfg(cfg)
    check_stated(name, entry, geometry)
    check_crops(entry, cfg)
    model = entry(**what_it_takes(name, entry, geometry))
    if cfg.TIMESFORMER.PRETRAINED_MODEL and pretrained:
        report(load_pretrained(model, cfg.TIMESFORMER.PRETRAINED_MODEL, **loading(cfg)))
    model.set_grad_checkpointing(
        cfg.TIMESFORMER.GRAD_CHECKPOINTING,
        every=cfg.TIMESFORMER.CHECKPOINT_EVERY,
        keep=cfg.TIMESFORMER.CHECKPOINT_KEEP,
    )
    freeze(model, cfg.SOLVER.FROZEN_LAYERS)
    return model


def freeze(model: VideoClassifier, num_layers: int) -> None:
    """The lowest layers do not learn, and drop nothing: their features are those of a test.

    Raises:
        UserError: that leaves no layer, not even the last norm and head.
    """
    layers = model.parameter_layers()
    if num_layers > (last := max(layers.values(), default=0)):
        raise UserError(
            f"SOLVER.FROZEN_LAYERS is {num_layers}, but this model has {last} layers below its "
            f"last norm and head: set it to at most {last}"
        )
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(layers.get(name, 0) >= num_layers)
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            drop_nothing(module)


def drop_nothing(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, DropPath):
            part.is_on = False
        elif isinstance(part, nn.Dropout):
            part.p = 0.0
        elif isinstance(part, Attention):
            part.attn_drop_rate = 0.0


def load_pretrained(
    model: nn.Module,
    source: str | Path,
    *,
    strict: bool = True,
    pos_embed_mode: SpatialMode = "bicubic",
) -> LoadReport:
    """Loads weights from a path or an address into `model`: see `read_weights`, `load_weights`."""
    return load_weights(model, read_weights(source), strict=strict, pos_embed_mode=pos_embed_mode)


def report(loaded: LoadReport) -> None:
    """Says what came of the weights: in the log, or on the screen where nobody has set up a log."""
    if not log.hasHandlers():
        print(loaded)
        return
    smooth = not (loaded.new or loaded.unused or loaded.other)
    log.log(logging.INFO if smooth else logging.WARNING, "%s", loaded)


def loading(cfg: CfgNode) -> dict[str, Any]:
    """The keyword arguments of `load_pretrained`, for weights to train from."""
    return {
        "strict": cfg.TRAIN.STRICT_LOADING,
        "pos_embed_mode": cfg.TIMESFORMER.POS_EMBED_RESIZE,
    }


def check_stated(name: str, entry: EntryPoint, geometry: dict[str, Any]) -> None:
    """UserError if the config asks for something else than the model's name says."""
    stated = getattr(entry, "keywords", {})
    for argument in stated:
        differs = stated[argument] != geometry.get(argument, stated[argument])
        if differs and argument != "num_classes":  # the data set's, whatever the name is used for
            key = KEY_OF.get(argument, f"TIMESFORMER.{argument.upper()}")
            raise UserError(
                f"MODEL.MODEL_NAME {name} means {key} {stated[argument]}, but the config says "
                f"{geometry[argument]}: change either, or use MODEL.MODEL_NAME TimeSformer."
            )


def check_crops(entry: EntryPoint, cfg: CfgNode) -> None:
    """UserError if a model of patches is to see frames that are not whole numbers of them."""
    if takes(entry, "patch_size"):
        for name in ("TRAIN_CROP_SIZE", "TEST_CROP_SIZE"):
            if cfg.DATA[name] % cfg.TIMESFORMER.PATCH_SIZE:
                raise UserError(
                    f"DATA.{name} {cfg.DATA[name]} must be a multiple of TIMESFORMER.PATCH_SIZE "
                    f"{cfg.TIMESFORMER.PATCH_SIZE}"
                )


def takes(entry: EntryPoint, argument: str) -> bool:
    """Whether an entry point has a use for `argument`."""
    parameters = inspect.signature(entry).parameters
    anything = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return anything or argument in parameters


def what_it_takes(name: str, entry: EntryPoint, geometry: dict[str, Any]) -> dict[str, Any]:
    """The part of `geometry` that `entry` has arguments for.

    Raises:
        UserError: a key of the section TIMESFORMER was changed, and the model has no use for it.
    """
    taken = {name: value for name, value in geometry.items() if takes(entry, name)}
    for argument in geometry.keys() - taken.keys() - KEY_OF.keys():
        key = KEYS[f"TIMESFORMER.{argument.upper()}"]
        if geometry[argument] != key.default:
            raise UserError(
                f"{key.name} is {geometry[argument]!r}, but the model {name} has no use for it: "
                "remove the key, or choose a TimeSformer as MODEL.MODEL_NAME."
            )
    return taken


KEY_OF = {
    "img_size": "DATA.TRAIN_CROP_SIZE",
    "num_frames": "DATA.NUM_FRAMES",
    "in_chans": "DATA.INPUT_CHANNEL_NUM",
    "num_classes": "MODEL.NUM_CLASSES",
}
"""Arguments whose keys are not those of the section TIMESFORMER of the same name."""


def geometry_from_cfg(cfg: CfgNode) -> dict[str, Any]:
    """The keyword arguments of an entry point; the size is left to its name where it is 0."""
    size = {
        "embed_dim": cfg.TIMESFORMER.EMBED_DIM,
        "depth": cfg.TIMESFORMER.DEPTH,
        "num_heads": cfg.TIMESFORMER.NUM_HEADS,
    }
    return {
        "img_size": cfg.DATA.TRAIN_CROP_SIZE,
        "num_frames": cfg.DATA.NUM_FRAMES,
        "in_chans": cfg.DATA.INPUT_CHANNEL_NUM[0],
        "num_classes": cfg.MODEL.NUM_CLASSES,
        "attention_type": cfg.TIMESFORMER.ATTENTION_TYPE,
        "patch_size": cfg.TIMESFORMER.PATCH_SIZE,
        "mlp_ratio": cfg.TIMESFORMER.MLP_RATIO,
        "qkv_bias": cfg.TIMESFORMER.QKV_BIAS,
        "pos_embed": cfg.TIMESFORMER.POS_EMBED,
        "head_hidden_dim": cfg.TIMESFORMER.HEAD_HIDDEN_DIM,
        "drop_rate": cfg.TIMESFORMER.DROP_RATE,
        "attn_drop_rate": cfg.TIMESFORMER.ATTN_DROP_RATE,
        "drop_path_rate": cfg.TIMESFORMER.DROP_PATH_RATE,
        "init_std": cfg.TIMESFORMER.INIT_STD,
        "pos_embed_init": cfg.TIMESFORMER.POS_EMBED_INIT,
        "pos_embed_std": cfg.TIMESFORMER.POS_EMBED_STD,
        "time_embed_init": cfg.TIMESFORMER.TIME_EMBED_INIT,
        "time_embed_std": cfg.TIMESFORMER.TIME_EMBED_STD,
        "temporal_fc_zero_init": cfg.TIMESFORMER.TEMPORAL_FC_ZERO_INIT,
        **{argument: value for argument, value in size.items() if value},
    }
