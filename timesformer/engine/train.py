"""The training loop: epochs of steps, and what happens between them."""

from __future__ import annotations

import logging
from typing import Any

import torch

from timesformer.distributed.process import from_main, is_sharded, share_buffers, total
from timesformer.distributed.watch import doing
from timesformer.engine.cadence import is_due
from timesformer.engine.evaluate import Scores, error_rates, gathered, score_share
from timesformer.engine.guards import check_weights
from timesformer.engine.shown import show_predictions
from timesformer.engine.step import Training, train_step
from timesformer.errors import Interrupted
from timesformer.evaluation.metrics import summarize
from timesformer.logs import host_memory_gb, peak_memory_gb
from timesformer.optim.optimizers import set_lr
from timesformer.optim.schedules import lr_at
from timesformer.signals import signum_of

log = logging.getLogger("timesformer")


def train(run: Training) -> None:
    """From where the state is to SOLVER.MAX_EPOCH: train, validate, save, epoch by epoch.

    Raises:
        Interrupted: a signal asked any of the processes to stop; the state is saved.
    """
    with run.stop.deferred():
        if run.state.awaits_validation:
            after_epoch(run)
        while run.state.epochs_done < run.cfg.SOLVER.MAX_EPOCH:
            signum, save = train_epoch(run)
            finish_epoch(run)
            if signum:
                run.saver.after_epoch(at_once=True)
                leave(run, signum)
            after_epoch(run, save_at_once=save)
        if signum := asked_to_stop(run):
            leave(run, signum)


def train_epoch(run: Training) -> tuple[int, bool]:
    """The rest of an epoch, in steps of `GLOBAL_BATCH_SIZE` clips.

    Returns:
        What was agreed on in the very last step: the signal that asks to stop, or 0, and whether
        to save. What was agreed on before has been done.
    """
    state, epoch = run.state, run.state.epochs_done
    run.feed.start(epoch, state.samples_done)
    run.failures.start_epoch()
    run.model.train()
    sizes = run.sampler.step_sizes(state.samples_done)
    first = run.num_steps - len(sizes)
    signum, save = 0, False
    with run.reporter.progress(run.num_steps, f"epoch {epoch + 1}", done=first) as bar:
        for done, size in enumerate(sizes, start=first + 1):
            run.process.watch.at(run.place)
            question = run.agreement.ask([run.stop.wish, run.saver.is_due()])
            set_lr(state.optimizer, lr_at(epoch + (done - 1) / run.num_steps, run.cfg))
            if done == run.num_steps:
                run.showing.await_last_step(epoch + 1)
            train_step(run, size)
            bar.update()
            if is_due(done, run.cfg.LOG_PERIOD, run.num_steps):
                bar.set_postfix_str(report(run, done))
            with doing("waiting for the others' wishes"):
                wish, due = question.answer()
            signum, save = signum_of(wish), bool(due)
            if done < run.num_steps and (signum or save):
                save_within_epoch(run, signum)
    return signum, save


def save_within_epoch(run: Training, signum: int) -> None:
    """Save after a step; leave if `signum` asks for it."""
    count(run)
    if run.process.is_main or is_sharded(run.cfg, run.process):
        check_weights(run.state.model, f"step {run.state.steps_done}")
    run.saver.within_epoch()
    if signum:
        leave(run, signum)


def leave(run: Training, signum: int) -> None:
    """Wait until the state is on the disk, and go."""
    run.process.watch.at("saving before leaving")
    run.saver.close()
    raise Interrupted(signum, saved=True)


def finish_epoch(run: Training) -> None:
    """Count the epoch as done, file its means, look at its weights."""
    count(run)
    state = run.state
    state.epochs_done += 1
    state.samples_done = 0
    values = {
        "epoch": f"{state.epochs_done}/{run.cfg.SOLVER.MAX_EPOCH}",
        **summarize(state.epoch_sums),
        "num_failed": run.num_failed,
    }
    run.reporter.numbers("train_epoch", state.epochs_done, values)
    run.saver.facts = {"train": values}
    state.epoch_sums = torch.zeros_like(state.epoch_sums)
    for model in (state.model, state.ema.module) if state.ema else (state.model,):
        share_buffers(model)
    # One process speaks, the others end with it; of shares each knows its own alone.
    if run.process.is_main or is_sharded(run.cfg, run.process):
        check_weights(state.model, f"epoch {state.epochs_done}")
    state.awaits_validation = run.val_feed is not None and is_due(
        state.epochs_done, run.cfg.TRAIN.EVAL_PERIOD, run.cfg.SOLVER.MAX_EPOCH
    )


def after_epoch(run: Training, *, save_at_once: bool = False) -> None:
    """Validate and save, where that is due. An interrupted validation is made up for later."""
    is_best = False
    if run.state.awaits_validation:
        share = validation_share(run)
        if signum := asked_to_stop(run):
            run.saver.after_epoch(at_once=True)
            leave(run, signum)
        is_best = from_main(report_validation(run, share))
        run.state.awaits_validation = False
    run.saver.after_epoch(is_best=is_best, at_once=save_at_once)
    run.clock.restart()


def asked_to_stop(run: Training) -> int:
    """The signal that asks any of the processes to stop, 0 for none: all of them ask together."""
    with doing("waiting for the others' wishes"):
        (wish,) = run.agreement.ask([run.stop.wish]).answer()
    return signum_of(wish)


def count(run: Training) -> None:
    """Add what the meter has seen, over all processes, to the sums of the window and the epoch.

    Here alone steps wait for the device.
    """
    run.loss_guard.check(run.dataset.videos.paths)
    sums = total(run.meter.reset()).cpu()
    run.window_sums += sums
    run.state.epoch_sums += sums
    run.num_failed = check_failures(run)


def report(run: Training, done: int) -> str:
    """Log the steps since the last report; the same in short."""
    count(run)
    values: dict[str, Any] = {
        "epoch": f"{run.state.epochs_done + 1}/{run.cfg.SOLVER.MAX_EPOCH}",
        "iter": f"{done}/{run.num_steps}",
        **summarize(run.window_sums),
        "lr": run.state.optimizer.param_groups[0]["lr"],
        "clips_per_second": run.clock.read(),
        "eta": run.clock.left(run.state.steps_done),
        "peak_memory_gb": peak_memory_gb(run.runtime.device),
        "host_memory_gb": host_memory_gb(),
    }
    run.window_sums.zero_()
    run.reporter.numbers("train_iter", run.state.steps_done, values)
    log.info(
        "epoch %(epoch)s  step %(iter)s  loss %(loss).4f  top-1 error %(top1_err).1f %%  "
        "lr %(lr).2e  %(clips_per_second).0f clips/s  left %(eta)s  %(peak_memory_gb).1f GB",
        values,
    )
    return "loss {loss:.4f}, top-1 error {top1_err:.1f} %".format_map(values)


def check_failures(run: Training) -> int:
    """Unreadable videos of the epoch so far, over all processes; UserError for too many."""
    failed = torch.tensor([len(run.failures.paths)], device=run.runtime.device)
    num_failed = int(total(failed))
    if run.process.is_main:
        run.failures.check(num_failed)
    return num_failed


def validation_share(run: Training) -> Scores:
    """Score this process's share of the validation set, or as much as a stop signal leaves time."""
    assert run.val_feed is not None
    run.val_feed.start()
    run.process.watch.at(f"validation after epoch {run.state.epochs_done}")
    with run.reporter.progress(len(run.val_feed), "validation") as bar:
        return score_share(run.scorer, run.val_feed, bar, lambda: bool(run.stop.wish))


def report_validation(run: Training, share: Scores) -> bool:
    """Log the errors on the centre views; whether they are the best so far, on the main process."""
    scores = gathered(share)
    if scores is None:
        return False
    values = error_rates(scores)
    is_best = values["top1_err"] < run.state.best_top1_err
    run.state.best_top1_err = min(values["top1_err"], run.state.best_top1_err)
    values |= {
        "epoch": f"{run.state.epochs_done}/{run.cfg.SOLVER.MAX_EPOCH}",
        "min_top1_err": run.state.best_top1_err,
    }
    run.reporter.numbers("val_epoch", run.state.epochs_done, values)
    run.saver.facts["val"] = values
    assert run.val_dataset is not None
    show_predictions(run.showing, "val", run.state.epochs_done, scores, run.val_dataset, run.scorer)
    log.info(
        "epoch %(epoch)s  validation: top-1 error %(top1_err).2f %%  "
        "top-5 error %(top5_err).2f %%  best %(min_top1_err).2f %%",
        values,
    )
    return is_best
