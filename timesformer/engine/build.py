"""From a config to everything a training or test run holds."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from textwrap import shorten
from typing import Any

import torch
from fvcore.common.config import CfgNode
from torch import nn

import timesformer
from timesformer.checkpoints.state import TrainState
from timesformer.datasets.batch import Batch
from timesformer.datasets.build import build_dataset, normalizer, train_input
from timesformer.datasets.loader import build_loader
from timesformer.datasets.sampler import EvalSampler, TrainSampler
from timesformer.datasets.video import EvaluationViews, VideoDataset
from timesformer.distributed.devices import device_of
from timesformer.distributed.process import Process, is_sharded
from timesformer.engine.cadence import Clock
from timesformer.engine.compiled import compile_in_place, describe_compilation
from timesformer.engine.evaluate import Scorer
from timesformer.engine.feed import Feed
from timesformer.engine.guards import FailureCounter, LossGuard
from timesformer.engine.prepare import (
    Runtime,
    TrainBatch,
    prepare_device,
    prepare_model,
    train_batch,
)
from timesformer.engine.saving import Saver
from timesformer.engine.step import Training
from timesformer.engine.test import Testing
from timesformer.evaluation.metrics import TrainMeter
from timesformer.logs import Silent
from timesformer.models.build import build_model
from timesformer.models.fold import folded
from timesformer.optim import batch_scale, build_ema, build_optimizer, describe_optimizer
from timesformer.optim.losses import LOSS_REGISTRY
from timesformer.signals import StopSignals
from timesformer.writers.showing import build_showing

log = logging.getLogger("timesformer")


def build_training(cfg: CfgNode, process: Process, reporter: Silent, stop: StopSignals) -> Training:
    """Everything `train` needs, at epoch 0 with fresh weights."""
    runtime = prepare_device(cfg, process)
    batch = train_batch(cfg, process.world_size, process.local_world_size)
    dataset = build_dataset(cfg.TRAIN.DATASET, cfg, "train")
    validation = build_dataset(cfg.TRAIN.DATASET, cfg, "val") if cfg.TRAIN.EVAL_PERIOD else None
    sampler = train_sampler(cfg, process, batch, dataset)
    prepare = train_input(cfg, runtime.device)
    # The same initial weights on every process; from here on a step seeds itself.
    torch.manual_seed(cfg.RNG_SEED)
    model = build_model(cfg, pretrained=False)  # `start_from` knows whether they are wanted
    ema = build_ema(model.to(runtime.device), cfg)  # before there are shares, which have no copies
    evaluated = ema.module if ema and cfg.TRAIN.EMA_EVAL else model
    for network in {model, evaluated}:
        compile_in_place(network, cfg)
    wrapped = prepare_model(model, cfg, runtime, process)
    state = TrainState(
        model,
        build_optimizer(model, cfg, batch_scale(cfg, batch.step)),
        runtime.scaler(),
        class_names=dataset.videos.class_names,
        ema=ema,
    )
    if is_sharded(cfg, process):
        share_the_rest(state, runtime)
    showing = build_showing(cfg, reporter, is_main=process.is_main)
    showing.follow(model, state.optimizer)
    describe(cfg, process, batch, dataset, state)
    return Training(
        cfg=cfg,
        process=process,
        runtime=runtime,
        state=state,
        model=wrapped,
        dataset=dataset,
        sampler=sampler,
        feed=feed(cfg, process, dataset, sampler, prepare.augment),
        val_dataset=validation,
        val_feed=None if validation is None else val_feed(cfg, process, validation),
        scorer=scorer(
            cfg,
            evaluated,
            runtime,
            num_views=1,
            clips_per_pass=validation_clips(cfg, process),
            within=partial(whole, evaluated) if is_sharded(cfg, process) else nullcontext,
        ),
        prepare=prepare,
        loss=LOSS_REGISTRY.get(cfg.MODEL.LOSS_FUNC),
        reporter=reporter,
        showing=showing,
        meter=TrainMeter(runtime.device),
        clock=Clock(cfg.SOLVER.MAX_EPOCH * sampler.num_steps()),
        loss_guard=LossGuard(),
        failures=FailureCounter(num_videos=len(dataset), max_fraction=cfg.DATA.MAX_FAILED_FRACTION),
        saver=Saver(cfg, process, state, surroundings(process, runtime, dataset)),
        stop=stop,
    )


def whole(model: nn.Module) -> AbstractContextManager[None]:
    from timesformer.distributed import sharding

    return sharding.whole(model)


def share_the_rest(state: TrainState, runtime: Runtime) -> None:
    """Beside the model's own parameters."""
    from timesformer.distributed import sharding  # a second of imports, for who needs it

    sharding.shard_optimizer(state.optimizer)
    if state.ema:
        sharding.shard(state.ema.module, runtime.device, runtime.precision)


def surroundings(process: Process, runtime: Runtime, dataset: VideoDataset) -> dict[str, Any]:
    """What is not in the config and yet may change the numbers of a run that continues."""
    on_gpu = runtime.device.type == "cuda"
    return {
        "the number of processes": process.world_size,
        "the device": torch.cuda.get_device_name(runtime.device) if on_gpu else "CPU",
        "PyTorch": str(torch.__version__),
        "timesformer": timesformer.__version__,
        "the training list": dataset.videos.fingerprint(),
    }


def build_testing(cfg: CfgNode, process: Process, reporter: Silent) -> Testing:
    """Everything `test` needs, the model with weights still to be loaded."""
    runtime = prepare_device(cfg, process)
    dataset = build_dataset(cfg.TEST.DATASET, cfg, "test")
    assert isinstance(dataset, EvaluationViews)
    model = build_model(cfg, pretrained=False).to(runtime.device)
    views = views_of_process(cfg.TEST.BATCH_SIZE, process)
    # As many videos as their views fit into a pass, at least one: `Scoring` fills passes up.
    videos = max(1, views // dataset.num_views)
    return Testing(
        cfg=cfg,
        process=process,
        dataset=dataset,
        feed=eval_feed(cfg, dataset, process, batch_size=videos),
        scorer=scorer(cfg, model, runtime, num_views=dataset.num_views, clips_per_pass=views),
        final_form=partial(final_form, cfg),
        reporter=reporter,
    )


def final_form(cfg: CfgNode, scorer: Scorer) -> Scorer:
    """For weights that are loaded and stay: folded where that can be, compiled if so asked."""
    mean, std, bgr = cfg.DATA.MEAN, cfg.DATA.STD, cfg.DATA.REVERSE_INPUT_CHANNEL
    network = folded(scorer.model, mean=mean, std=std, bgr=bgr)
    if network is not None:
        scorer = replace(scorer, model=network, normalize=None)
    compile_in_place(scorer.model, cfg)
    return scorer


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


def val_feed(cfg: CfgNode, process: Process, dataset: VideoDataset) -> Feed:
    return eval_feed(cfg, dataset, process, batch_size=validation_clips(cfg, process))


def validation_clips(cfg: CfgNode, process: Process) -> int:
    """Clips of a process in a pass of validation, which keeps nothing for a backward pass."""
    return views_of_process(max(cfg.TRAIN.BATCH_SIZE, cfg.TEST.BATCH_SIZE), process)


def views_of_process(views_of_node: int, process: Process) -> int:
    return max(1, views_of_node // process.local_world_size)


def eval_feed(cfg: CfgNode, dataset: VideoDataset, process: Process, *, batch_size: int) -> Feed:
    sampler = EvalSampler(
        num_samples=len(dataset),
        batch_size=batch_size,
        rank=process.rank,
        world_size=process.world_size,
    )
    return feed(cfg, process, dataset, sampler)


def feed(
    cfg: CfgNode,
    process: Process,
    dataset: VideoDataset,
    sampler: TrainSampler | EvalSampler,
    augment: Callable[[Batch], Batch] | None = None,
) -> Feed:
    device = device_of(cfg, process)
    new_loader = partial(
        build_loader,
        dataset,
        sampler,
        num_workers=cfg.DATA_LOADER.NUM_WORKERS,
        pin_memory=cfg.DATA_LOADER.PIN_MEMORY and cfg.NUM_GPUS > 0,
        decode_gpu=device.index if cfg.DATA.DECODER == "torchcodec_cuda" else None,
    )
    return Feed(new_loader, sampler, device, augment)


def scorer(
    cfg: CfgNode,
    model: nn.Module,
    runtime: Runtime,
    *,
    num_views: int,
    clips_per_pass: int,
    within: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Scorer:
    return Scorer(
        model,
        runtime,
        normalizer(cfg, runtime.device),
        num_classes=cfg.MODEL.NUM_CLASSES,
        ensemble=cfg.DATA.ENSEMBLE_METHOD,
        num_views=num_views,
        clips_per_pass=clips_per_pass,
        within=within,
    )


def describe(
    cfg: CfgNode, process: Process, batch: TrainBatch, dataset: VideoDataset, state: TrainState
) -> None:
    """Say what is about to be trained on what, by which rules, and the effective batch."""
    log.info(
        "%s (%s): %s parameters; %d training videos of %d classes (%s)",
        cfg.MODEL.MODEL_NAME,
        cfg.TIMESFORMER.ATTENTION_TYPE,
        f"{sum(p.numel() for p in state.model.parameters()):,}",
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
    for line in describe_optimizer(state.optimizer, cfg, batch.step):
        log.info("%s", line)
    if line := describe_compilation(cfg):
        log.info("%s", line)
