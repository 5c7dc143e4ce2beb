"""Whether a network can learn one batch by heart: if not, something is wrong with the set-up."""

from __future__ import annotations

from fvcore.common.config import CfgNode
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from timesformer.engine.step import Training, train_step
from timesformer.errors import UserError
from timesformer.evaluation.metrics import summarize
from timesformer.models.layers import Attention, DropPath
from timesformer.optim.optimizers import set_lr
from timesformer.progress import progress
from timesformer.rehearsal.stage import built, changed, first_step_for_ever, stage

ENOUGH = 0.01  # loss
USUAL_STEPS = 300

# What would make every step another one, or keep the loss from 0. The value is the one without.
OFF = {"MIXUP.ENABLED": False, "MODEL.LABEL_SMOOTHING": 0.0, "AUG.RE_PROB": 0.0}
RANDOM = (_DropoutNd, DropPath, Attention)  # whose randomness ends with their training mode


def overfit_one_batch(cfg: CfgNode, steps: int | None = None) -> str:
    """Train on the clips of the run's first step, again and again; how it went, in words.

    They are sampled and augmented once. Mixing, label smoothing, erasing and dropout are left out;
    the learning rate is SOLVER.BASE_LR throughout.

    Raises:
        UserError: after `steps` the loss is not near 0; or the run cannot start.
    """
    steps = USUAL_STEPS if steps is None else steps
    if steps < 1:
        raise UserError(f"--steps is {steps}: use at least 1.")
    with stage(cfg) as staged:
        run = built(changed(staged, OFF))
        size = first_step_for_ever(run)
        still(run.model)
        done, loss, wrong = learn(run, size, steps)
    clips = size * cfg.AUG.NUM_SAMPLE
    result = f"loss {loss:.4f}, {100 - wrong:.0f} % of {clips} clips right after {done} steps"
    if loss < ENOUGH and wrong == 0:
        return f"{result}: model, loss and optimiser can learn these clips by heart, as they should"
    raise UserError(
        f"one batch is not learnt by heart: {result}, where {ENOUGH} and 100 % are to be expected. "
        "Look at SOLVER.BASE_LR (tools/lr_find.py suggests one), at what the network is given "
        "(tools/preview.py), at MODEL.NUM_CLASSES; or give it more --steps."
    )


def still(model: nn.Module) -> None:
    """Turn off what is drawn anew in each step; batch norms stay as in training."""
    for module in model.modules():
        if isinstance(module, RANDOM):
            module.training = False


def learn(run: Training, size: int, steps: int) -> tuple[int, float, float]:
    """At most `steps`; how many it took, with the loss and the error in % of the last."""
    values = {"loss": float("inf"), "top1_err": 100.0}
    set_lr(run.state.optimizer, run.cfg.SOLVER.BASE_LR)
    done = 0
    with progress(steps, "one batch", "step") as bar:
        while done < steps and (values["loss"] >= ENOUGH or values["top1_err"]):
            train_step(run, size)
            values = summarize(run.meter.reset())
            done += 1
            bar.set_postfix_str("loss {loss:.4f}".format_map(values), refresh=False)
            bar.update()
    return done, values["loss"], values["top1_err"]
