"""What keys must be to each other. Runs after the merge; changes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable

from fvcore.common.config import CfgNode

from timesformer.errors import UserError


def validate(cfg: CfgNode) -> None:
    """Raise UserError for the first rule that the merged config breaks."""
    for rule in RULES:
        rule(cfg)


def _something_to_do(cfg: CfgNode) -> None:
    if not (cfg.TRAIN.ENABLE or cfg.TEST.ENABLE):
        raise UserError("TRAIN.ENABLE and TEST.ENABLE are both False: nothing to do; enable one")


def _processes(cfg: CfgNode) -> None:
    if cfg.NUM_GPUS and cfg.NUM_PROCS > 1:
        raise UserError(
            f"NUM_PROCS {cfg.NUM_PROCS} is for CPU runs, but NUM_GPUS is {cfg.NUM_GPUS} (one "
            "process for each GPU); set NUM_GPUS 0 or NUM_PROCS 1"
        )
    address = re.fullmatch(r"tcp://[^:/]+:(\d{1,5})", cfg.INIT_METHOD)
    if cfg.INIT_METHOD and not (address and 0 < int(address[1]) < 2**16):
        raise UserError(f"INIT_METHOD is '{cfg.INIT_METHOD}', but must be tcp://HOST:PORT")
    if cfg.SHARD_ID >= cfg.NUM_SHARDS:
        raise UserError(
            f"SHARD_ID is {cfg.SHARD_ID}, but must be below NUM_SHARDS {cfg.NUM_SHARDS}"
        )


def _geometry(cfg: CfgNode) -> None:
    low, high = cfg.DATA.TRAIN_JITTER_SCALES
    crop_fits = cfg.DATA.TRAIN_CROP_SIZE <= low or cfg.DATA.TRAIN_JITTER_SCALES_RELATIVE
    if not (crop_fits and low <= high):
        raise UserError(
            f"DATA.TRAIN_JITTER_SCALES [{low}, {high}] must rise and start at or above "
            f"DATA.TRAIN_CROP_SIZE {cfg.DATA.TRAIN_CROP_SIZE}"
        )
    single_crop = cfg.TRAIN.ENABLE or cfg.TEST.NUM_SPATIAL_CROPS == 1
    if single_crop and low < cfg.DATA.TEST_CROP_SIZE:
        raise UserError(
            f"DATA.TEST_CROP_SIZE {cfg.DATA.TEST_CROP_SIZE} must not exceed "
            f"DATA.TRAIN_JITTER_SCALES[0] {low}: validation, and a test with one spatial crop, cut "
            "it at that short side"
        )


def _relative_scales(cfg: CfgNode) -> None:
    areas, aspects = cfg.DATA.TRAIN_JITTER_SCALES_RELATIVE, cfg.DATA.TRAIN_JITTER_ASPECT_RELATIVE
    if not areas and not aspects:
        return
    if [len(areas), len(aspects)] != [2, 2] or areas != sorted(areas) or aspects != sorted(aspects):
        raise UserError(
            f"DATA.TRAIN_JITTER_SCALES_RELATIVE {areas} and DATA.TRAIN_JITTER_ASPECT_RELATIVE "
            f"{aspects} must be two rising numbers each, such as [0.08, 1.0] and [0.75, 1.3333], "
            "or both []"
        )
    if cfg.DATA.INV_UNIFORM_SAMPLE:
        raise UserError(
            "DATA.INV_UNIFORM_SAMPLE is about DATA.TRAIN_JITTER_SCALES, whose place "
            "DATA.TRAIN_JITTER_SCALES_RELATIVE takes; set it False, or the latter []"
        )


def _colours(cfg: CfgNode) -> None:
    if cfg.AUG.AA_TYPE and cfg.AUG.COLOR_JITTER:
        raise UserError(
            f"AUG.AA_TYPE {cfg.AUG.AA_TYPE} changes colours itself, and PySlowFast ignores "
            f"AUG.COLOR_JITTER {cfg.AUG.COLOR_JITTER} beside it; set AUG.COLOR_JITTER 0, or "
            "AUG.AA_TYPE ''"
        )


def _heads(cfg: CfgNode) -> None:
    width, heads = cfg.TIMESFORMER.EMBED_DIM, cfg.TIMESFORMER.NUM_HEADS
    if width and heads and width % heads:
        raise UserError(
            f"TIMESFORMER.EMBED_DIM {width} must be a multiple of TIMESFORMER.NUM_HEADS {heads}"
        )
    if width and not heads:
        raise UserError(
            f"TIMESFORMER.EMBED_DIM is {width}, but TIMESFORMER.NUM_HEADS is not set: set it too "
            f"({max(width // 64, 1)} is usual for this width)"
        )


def _embeddings(cfg: CfgNode) -> None:
    for name in ("POS_EMBED", "TIME_EMBED"):
        if cfg.TIMESFORMER[f"{name}_INIT"] == "sincos" and cfg.TIMESFORMER[f"{name}_STD"] == 0:
            raise UserError(
                f"TIMESFORMER.{name}_INIT sincos needs TIMESFORMER.{name}_STD above 0: sines and "
                "cosines of size 0 are zeros; 0.7 is their natural size"
            )


def _schedule(cfg: CfgNode) -> None:
    if cfg.SOLVER.WARMUP_EPOCHS >= cfg.SOLVER.MAX_EPOCH:
        raise UserError(
            f"SOLVER.WARMUP_EPOCHS {cfg.SOLVER.WARMUP_EPOCHS} must end before SOLVER.MAX_EPOCH "
            f"{cfg.SOLVER.MAX_EPOCH}"
        )
    steps, factors = cfg.SOLVER.STEPS, cfg.SOLVER.LRS
    if cfg.SOLVER.LR_POLICY == "steps_with_relative_lrs" and (
        len(steps) != len(factors) or steps[:1] != [0] or steps != sorted(set(steps))
    ):
        raise UserError(
            f"SOLVER.STEPS {steps} and SOLVER.LRS {factors} must be of one length, and the steps "
            "must rise from 0"
        )


def _optimizer(cfg: CfgNode) -> None:
    plain = cfg.SOLVER.MOMENTUM == 0 or cfg.SOLVER.DAMPENING != 0
    if cfg.SOLVER.OPTIMIZING_METHOD == "sgd" and cfg.SOLVER.NESTEROV and plain:
        raise UserError(
            "SOLVER.NESTEROV True needs SOLVER.MOMENTUM above 0 and SOLVER.DAMPENING 0; set "
            "SOLVER.NESTEROV False"
        )


def _average(cfg: CfgNode) -> None:
    of_file = bool(cfg.TEST.CHECKPOINT_FILE_PATH)
    in_test = cfg.TEST.ENABLE and cfg.TEST.USE_EMA and not of_file
    if cfg.TRAIN.ENABLE and cfg.TRAIN.EMA_DECAY == 0 and (cfg.TRAIN.EMA_EVAL or in_test):
        name = "TRAIN.EMA_EVAL" if cfg.TRAIN.EMA_EVAL else "TEST.USE_EMA"
        raise UserError(
            f"{name} is True, but TRAIN.EMA_DECAY 0 makes no average of the weights: set "
            f"TRAIN.EMA_DECAY (0.9999 is usual), or {name} False"
        )


def _recomputation(cfg: CfgNode) -> None:
    chosen = cfg.TIMESFORMER
    if not chosen.GRAD_CHECKPOINTING:
        for name, default in (("CHECKPOINT_EVERY", 1), ("CHECKPOINT_KEEP", "nothing")):
            if chosen[name] != default:
                raise UserError(
                    f"TIMESFORMER.{name} is {chosen[name]}, but TIMESFORMER.GRAD_CHECKPOINTING "
                    f"False recomputes no block: set that True, or TIMESFORMER.{name} {default}"
                )
    elif cfg.TRAIN.COMPILE == "block" and chosen.CHECKPOINT_KEEP != "nothing":
        raise UserError(
            f"TIMESFORMER.CHECKPOINT_KEEP {chosen.CHECKPOINT_KEEP} is for what a block computes, "
            "which TRAIN.COMPILE block hides: use TRAIN.COMPILE model or none, or "
            "TIMESFORMER.CHECKPOINT_KEEP nothing"
        )


def _shares(cfg: CfgNode) -> None:
    if cfg.TRAIN.PARALLEL != "fsdp":
        return
    if cfg.TRAIN.PRECISION == "fp16":
        raise UserError("TRAIN.PARALLEL fsdp has no loss scaling: use TRAIN.PRECISION bf16, or ddp")
    if cfg.TRAIN.HALVE_BATCH_ON_OOM:
        raise UserError(
            "TRAIN.HALVE_BATCH_ON_OOM tries a pass again, which TRAIN.PARALLEL fsdp cannot: its "
            "processes exchange weights in the middle of it. Set it False, or use ddp"
        )
    if cfg.TRAIN.COMPILE == "model":
        raise UserError(
            "TRAIN.COMPILE model would hold the exchange of weights that TRAIN.PARALLEL fsdp needs "
            "between the blocks: use block, or ddp"
        )


def _pictures(cfg: CfgNode) -> None:
    shown = {
        "HISTOGRAMS": cfg.TENSORBOARD.HISTOGRAMS,
        "NUM_CLIPS": cfg.TENSORBOARD.NUM_CLIPS,
        "CONFUSION_MATRIX.ENABLE": cfg.TENSORBOARD.CONFUSION_MATRIX.ENABLE,
    }
    asked = [f"TENSORBOARD.{name} {value}" for name, value in shown.items() if value]
    if asked and not (cfg.TENSORBOARD.ENABLE or cfg.WANDB.ENABLE or cfg.MLFLOW.ENABLE):
        raise UserError(
            f"{asked[0]} has nothing to be shown in: set TENSORBOARD.ENABLE, WANDB.ENABLE or "
            "MLFLOW.ENABLE True"
        )
    if cfg.TENSORBOARD.HISTOGRAMS and cfg.TRAIN.PARALLEL == "fsdp":
        raise UserError(
            f"{asked[0]} is of whole weights, of which TRAIN.PARALLEL fsdp leaves each process a "
            "share: set it 0, or use ddp"
        )


def _precision(cfg: CfgNode) -> None:
    if cfg.TRAIN.PRECISION in ("tf32", "fp16") and cfg.NUM_GPUS == 0:
        raise UserError(
            f"TRAIN.PRECISION {cfg.TRAIN.PRECISION} needs a GPU, but NUM_GPUS is 0; "
            "use fp32 or bf16"
        )


def _decoder(cfg: CfgNode) -> None:
    if cfg.DATA.DECODER == "torchcodec_cuda" and cfg.NUM_GPUS == 0:
        raise UserError(
            "DATA.DECODER torchcodec_cuda needs a GPU, but NUM_GPUS is 0; use torchcodec or pyav"
        )


def _finetune(cfg: CfgNode) -> None:
    if cfg.TRAIN.ENABLE and cfg.TRAIN.FINETUNE and not cfg.TRAIN.CHECKPOINT_FILE_PATH:
        raise UserError(
            "TRAIN.FINETUNE is True, but TRAIN.CHECKPOINT_FILE_PATH does not name a checkpoint"
        )


def _mixup(cfg: CfgNode) -> None:
    if cfg.MIXUP.ENABLED and cfg.MIXUP.ALPHA == 0 and cfg.MIXUP.CUTMIX_ALPHA == 0:
        raise UserError("MIXUP.ENABLED is True, but MIXUP.ALPHA and MIXUP.CUTMIX_ALPHA are both 0")


RULES: tuple[Callable[[CfgNode], None], ...] = (
    _something_to_do,
    _processes,
    _geometry,
    _relative_scales,
    _colours,
    _heads,
    _embeddings,
    _schedule,
    _optimizer,
    _average,
    _recomputation,
    _shares,
    _pictures,
    _precision,
    _decoder,
    _finetune,
    _mixup,
)
