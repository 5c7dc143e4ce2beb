"""From a config to everything a training or test run holds."""

from __future__ import annotations

import logging
from textwrap import shorten

import torch
from fvcore.common.config import CfgNode
from torch import nn
from torch.utils.data import DataLoader

from timesformer.checkpoints.state import TrainState
from timesformer.datasets.batch import Batch
from timesformer.datasets.build import build_dataset, normalizer, train_input
from timesformer.datasets.loader import build_loader
from timesformer.datasets.sampler import EvalSampler, TrainSampler
from timesformer.datasets.video import EvaluationViews, VideoDataset
from timesformer.distributed.process import Process
from timesformer.engine.cadence import Clock
from timesformer.engine.evaluate import Scorer
from timesformer.engine.guards import FailureCounter, LossGuard
from timesformer.engine.prepare import (
    Runtime,
    TrainBatch,
    prepare_device,
    prepare_model,
    train_batch,
)
from timesformer.engine.test import Testing
from timesformer.engine.train import Training
from timesformer.evaluation.metrics import TrainMeter
from timesformer.logs import Silent
from timesformer.models.build import build_model
from timesformer.optim.losses import LOSS_REGISTRY
from timesformer.optim.optimizers import build_optimizer

log = logging.getLogger("timesformer")


def build_training(cfg: CfgNode, process: Process, reporter: Silent) -> Training:
    """Everything `train` needs, at epoch 0 with fresh weights."""
    runtime = prepare_device(cfg, process)
    batch = train_batch(cfg, process.world_size, process.local_world_size)
    dataset = build_dataset(cfg.TRAIN.DATASET, cfg, "train")
    sampler = train_sampler(cfg, process, batch, dataset)
    # The same initial weights on every process; from here on a step seeds itself.
    torch.manual_seed(cfg.RNG_SEED)
    model = build_model(cfg, pretrained=False)  # `start_from` knows whether they are wanted
    wrapped = prepare_model(model, runtime, process)
    describe(cfg, process, batch, dataset, model)
    return Training(
        cfg=cfg,
        process=process,
        runtime=runtime,
        state=TrainState(
            model,
            build_optimizer(model, cfg),
            runtime.scaler(),
            class_names=dataset.videos.class_names,
        ),
        model=wrapped,
        dataset=dataset,
        sampler=sampler,
        loader=loader(cfg, process, dataset, sampler),
        val_loader=val_loader(cfg, process) if cfg.TRAIN.EVAL_PERIOD else None,
        scorer=scorer(cfg, model, runtime, clips_per_pass=batch.one_pass // process.world_size),
        prepare=train_input(cfg, runtime.device),
        loss=LOSS_REGISTRY.get(cfg.MODEL.LOSS_FUNC),
        reporter=reporter,
        meter=TrainMeter(runtime.device),
        epoch_sums=torch.zeros(4, dtype=torch.float64),
        num_failed=0,
        clock=Clock(cfg.SOLVER.MAX_EPOCH * len(sampler.step_sizes())),
        loss_guard=LossGuard(len(sampler.step_sizes())),
        failures=FailureCounter(num_videos=len(dataset), max_fraction=cfg.DATA.MAX_FAILED_FRACTION),
    )


def build_testing(cfg: CfgNode, process: Process, reporter: Silent) -> Testing:
    """Everything `test` needs, the model with weights still to be loaded."""
    runtime = prepare_device(cfg, process)
    dataset = build_dataset(cfg.TEST.DATASET, cfg, "test")
    assert isinstance(dataset, EvaluationViews)
    model = build_model(cfg, pretrained=False).to(runtime.device)
    views = views_of_process(cfg.TEST.BATCH_SIZE, process)
    # As many videos as their views fit into a pass, at least one.
    videos = max(1, views // dataset.num_views)
    return Testing(
        cfg=cfg,
        process=process,
        dataset=dataset,
        loader=eval_loader(cfg, dataset, process, batch_size=videos),
        scorer=scorer(cfg, model, runtime, clips_per_pass=views),
        reporter=reporter,
    )


def train_sampler(
    cfg: CfgNode, process: Process, batch: TrainBatch, dataset: VideoDataset
) -> TrainSampler:
    return TrainSampler(
        num_samples=len(dataset),
        global_batch=batch.step // cfg.AUG.NUM_SAMPLE,
        per_pass=batch.one_pass // cfg.AUG.NUM_SAMPLE,
        rank=process.rank,
        world_size=process.world_size,
        seed=cfg.RNG_SEED,
        balance=dataset.videos.labels if cfg.DATA.CLASS_BALANCED else None,
    )


def val_loader(cfg: CfgNode, process: Process) -> DataLoader[Batch]:
    dataset = build_dataset(cfg.TRAIN.DATASET, cfg, "val")
    return eval_loader(
        cfg, dataset, process, batch_size=views_of_process(cfg.TRAIN.BATCH_SIZE, process)
    )


def views_of_process(views_of_node: int, process: Process) -> int:
    return max(1, views_of_node // process.local_world_size)


def eval_loader(
    cfg: CfgNode, dataset: VideoDataset, process: Process, *, batch_size: int
) -> DataLoader[Batch]:
    sampler = EvalSampler(
        num_samples=len(dataset),
        batch_size=batch_size,
        rank=process.rank,
        world_size=process.world_size,
    )
    return loader(cfg, process, dataset, sampler)


def loader(
    cfg: CfgNode, process: Process, dataset: VideoDataset, sampler: TrainSampler | EvalSampler
) -> DataLoader[Batch]:
    return build_loader(
        dataset,
        sampler,
        num_workers=cfg.DATA_LOADER.NUM_WORKERS,
        pin_memory=cfg.DATA_LOADER.PIN_MEMORY and cfg.NUM_GPUS > 0,
        decode_gpu=process.local_rank if cfg.DATA.DECODER == "torchcodec_cuda" else None,
    )


def scorer(cfg: CfgNode, model: nn.Module, runtime: Runtime, *, clips_per_pass: int) -> Scorer:
    return Scorer(
        model,
        runtime,
        normalizer(cfg, runtime.device),
        num_classes=cfg.MODEL.NUM_CLASSES,
        ensemble=cfg.DATA.ENSEMBLE_METHOD,
        clips_per_pass=clips_per_pass,
    )


def describe(
    cfg: CfgNode, process: Process, batch: TrainBatch, dataset: VideoDataset, model: nn.Module
) -> None:
    """Say what is about to be trained on what, and the effective batch."""
    log.info(
        "%s (%s): %s parameters; %d training videos of %d classes (%s)",
        cfg.MODEL.MODEL_NAME,
        cfg.TIMESFORMER.ATTENTION_TYPE,
        f"{sum(p.numel() for p in model.parameters()):,}",
        len(dataset),
        cfg.MODEL.NUM_CLASSES,
        shorten(", ".join(dataset.videos.class_names) or "without names", 80, placeholder=" …"),
    )
    log.info(
        "effective batch: %d clips a step = %d processes x %d clips x %d passes%s",
        batch.step,
        process.world_size,
        batch.one_pass // process.world_size,
        batch.num_passes,
        f", {cfg.AUG.NUM_SAMPLE} clips of each video" if cfg.AUG.NUM_SAMPLE > 1 else "",
    )
