"""Which learning rate (Smith, arXiv 1506.01186): real steps with one that grows and grows."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import islice, repeat
from pathlib import Path

from fvcore.common.config import CfgNode

from timesformer.checkpoints.atomic import writing
from timesformer.engine.step import Training, train_step
from timesformer.errors import UserError
from timesformer.evaluation.metrics import summarize
from timesformer.optim.optimizers import set_lr
from timesformer.profiling.alone import full_steps
from timesformer.progress import progress
from timesformer.rehearsal.curve import Curve, draw
from timesformer.rehearsal.stage import built, first_step_for_ever, stage
from timesformer.visualization.files import named

MEMORY = 0.9  # of the running mean that tells whether the loss has run away
FAR = 4.0  # times the best one, from which it has


def find_lr(
    cfg: CfgNode, *, lowest: float, highest: float, steps: int, fresh_clips: bool, out: Path
) -> str:
    """Take the steps; write `out`.png, and `out`.json with the points. What was found, in words.

    Each step is one of the run that `cfg` describes, from the weights it would start from, with its
    batch, its optimiser and all that the optimiser makes of SOLVER.BASE_LR (layers, head, batch).
    No checkpoint is read from OUTPUT_DIR or written there.

    Args:
        fresh_clips: have other clips in every step, as Smith has. Losses of small batches differ
            so much that the fall can drown in it; so, otherwise, all steps have those of the first.

    Raises:
        UserError: a range that does not grow, a run that cannot start, `out` cannot be written.
    """
    if not (0 < lowest < highest and steps >= 10):
        raise UserError(
            f"--from {lowest:g}, --to {highest:g} and --steps {steps}: the first must be above 0 "
            "and below the second, and there must be at least 10 steps."
        )
    picture, points = named(out, ".png", ".json")
    with stage(cfg) as staged:
        run = built(staged)
        sizes = full_steps(run) if fresh_clips else repeat(first_step_for_ever(run))
        curve = range_test(run, sizes, lowest=lowest, highest=highest, steps=steps)
    with writing(picture) as file:
        draw(curve, cfg.SOLVER.BASE_LR, file)
    with writing(points) as file:
        file.write(json.dumps(curve.as_json(), indent=1).encode())
    return "\n".join([*words(curve, cfg), f"wrote {picture}", f"wrote {points}"])


def range_test(
    run: Training, sizes: Iterator[int], *, lowest: float, highest: float, steps: int
) -> Curve:
    """One step with each rate, until the loss has run away."""
    factor = (highest / lowest) ** (1 / (steps - 1))
    rates: list[float] = []
    losses: list[float] = []
    mean, best, diverged = 0.0, math.inf, False
    with progress(steps, "learning rate", "step") as bar:
        for done, size in enumerate(islice(sizes, steps), start=1):
            rate = lowest * factor ** (done - 1)
            set_lr(run.state.optimizer, rate)
            train_step(run, size)
            loss = summarize(run.meter.reset())["loss"]
            if not math.isfinite(loss):
                diverged = True
                break
            rates.append(rate)
            losses.append(loss)
            mean = MEMORY * mean + (1 - MEMORY) * loss
            unbiased = mean / (1 - MEMORY**done)
            best = min(best, unbiased)
            if diverged := unbiased > FAR * best:
                break
            bar.set_postfix_str(f"lr {rate:.1e}, loss {loss:.3f}", refresh=False)
            bar.update()
    if len(losses) < 2:
        raise UserError(
            f"the loss is not finite at a learning rate of {lowest:g}: look at the data "
            "(tools/preview.py) and at TRAIN.PRECISION before looking for a rate."
        )
    return Curve(rates, losses, diverged)


def words(curve: Curve, cfg: CfgNode) -> list[str]:
    """For a person who is about to set SOLVER.BASE_LR."""
    last, base = curve.rates[-1], cfg.SOLVER.BASE_LR
    end = "where the loss ran away" if curve.diverged else "where --to ends; it has not run away"
    lines = [f"{len(curve.rates)} steps, from {curve.rates[0]:.1e} to {last:.1e}, {end}"]
    if curve.steepest is None or curve.tenth is None:
        return [
            *lines,
            "the loss never fell, so nothing can be suggested: more --steps, or a look at the data "
            "(tools/preview.py) and at run_net.py --overfit-one-batch",
        ]
    return [
        *lines,
        f"steepest descent:         SOLVER.BASE_LR {curve.steepest:.1e}  (the suggestion)",
        f"a tenth of the lowest:    SOLVER.BASE_LR {curve.tenth:.1e}  (another rule of thumb)",
        f"the config:               SOLVER.BASE_LR {base:.1e}, {base / curve.steepest:.2g} times "
        "the suggestion",
        "These are values of the key. Batch, layers and head multiply it as the log above says, "
        "here and in training.",
    ]
