"""From a config to a model. The config stops here: entry points take plain keyword arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor, nn

from timesformer.registry import Registry

if TYPE_CHECKING:
    from yacs.config import CfgNode


class VideoClassifier(nn.Module):
    """What every registered model offers.

    `forward` takes float (B, C, T, H, W), normalised RGB, and returns logits (B, num_classes) in
    training and evaluation alike.
    """

    def forward_features(self, clip: Tensor) -> Tensor:
        """(B, D): what the classification head reads."""
        raise NotImplementedError

    def set_grad_checkpointing(self, enable: bool) -> None:
        """Trade time for memory: recompute activations in the backward pass."""
        raise NotImplementedError

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters that an optimiser may exempt from weight decay."""
        return set()


class EntryPoint(Protocol):
    """What the registry holds: a class or function from geometry to a model."""

    def __call__(self, **geometry: Any) -> VideoClassifier: ...


MODEL_REGISTRY: Registry[EntryPoint] = Registry("model")


def build_model(cfg: CfgNode, *, pretrained: bool = True) -> VideoClassifier:
    """The model that `cfg` names, on the CPU, in training mode.

    Weights are random unless ``TIMESFORMER.PRETRAINED_MODEL`` is a path and `pretrained`; what came
    of that file is logged. UserError for an unknown name, an impossible geometry, or a file that
    does not fit.
    """
    weights = cfg.TIMESFORMER.PRETRAINED_MODEL if pretrained else ""
    entry = MODEL_REGISTRY.get(cfg.MODEL.MODEL_NAME)
    model = entry(pretrained_model=weights, **geometry_from_cfg(cfg))
    model.set_grad_checkpointing(cfg.TIMESFORMER.GRAD_CHECKPOINTING)
    return model


def geometry_from_cfg(cfg: CfgNode) -> dict[str, Any]:
    """The keyword arguments of an entry point."""
    return {
        "img_size": cfg.DATA.TRAIN_CROP_SIZE,
        "num_frames": cfg.DATA.NUM_FRAMES,
        "in_chans": cfg.DATA.INPUT_CHANNEL_NUM[0],
        "num_classes": cfg.MODEL.NUM_CLASSES,
        "attention_type": cfg.TIMESFORMER.ATTENTION_TYPE,
        "patch_size": cfg.TIMESFORMER.PATCH_SIZE,
        "embed_dim": cfg.TIMESFORMER.EMBED_DIM,
        "depth": cfg.TIMESFORMER.DEPTH,
        "num_heads": cfg.TIMESFORMER.NUM_HEADS,
        "mlp_ratio": cfg.TIMESFORMER.MLP_RATIO,
        "qkv_bias": cfg.TIMESFORMER.QKV_BIAS,
        "drop_rate": cfg.TIMESFORMER.DROP_RATE,
        "attn_drop_rate": cfg.TIMESFORMER.ATTN_DROP_RATE,
        "drop_path_rate": cfg.TIMESFORMER.DROP_PATH_RATE,
        "init_std": cfg.TIMESFORMER.INIT_STD,
        "pos_embed_std": cfg.TIMESFORMER.POS_EMBED_STD,
        "time_embed_std": cfg.TIMESFORMER.TIME_EMBED_STD,
        "temporal_fc_zero_init": cfg.TIMESFORMER.TEMPORAL_FC_ZERO_INIT,
    }
