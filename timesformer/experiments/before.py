"""What is looked at before the first of many runs starts: later would be hours later."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from timesformer.errors import UserError
from timesformer.experiments.facts import has_other_weights, is_done, read_facts
from timesformer.experiments.plan import Experiment, Run


def check_before(experiment: Experiment, out: Path) -> list[Run]:
    """The runs that are missing, once all that they want is there; makes data that make themselves.

    Args:
        out: the folder of the results.

    Raises:
        UserError: what would stop a run, or keep the result from being written; weights were
            replaced after a run had started from them.
    """
    from timesformer.checkpoints.atomic import check_writable

    check_writable(out / f"{experiment.name}.json")
    check_weights(experiment.runs)
    missing = [run for run in experiment.runs if not is_done(read_facts(run.folder))]
    if missing:
        check_networks(experiment)
    check_runs(missing)
    return missing


def check_weights(runs: Sequence[Run]) -> None:
    for run in runs:
        if has_other_weights(run):
            file = read_facts(run.folder)["weights"]["file"]
            raise UserError(
                f"{run.folder} started from other weights than {file} holds now: remove that "
                "folder, or name another --runs"
            )


def check_networks(experiment: Experiment) -> None:
    from timesformer.experiments.cost import costs
    from timesformer.experiments.result import computed

    for cell in experiment.cells:
        try:
            cost = costs(cell.resolved)
        except UserError as error:
            raise UserError(f"row '{cell.row}', column '{cell.column}': {error}") from error
        if not cell.runs:
            computed(cell, cost)


def check_runs(runs: Sequence[Run]) -> None:
    """What each would look at when it starts, once for all of its seeds."""
    from timesformer.distributed.launch import plan_run
    from timesformer.engine import before  # torch

    for run in {run.folder.parent: run for run in runs}.values():
        cfg = run.resolved.clone()
        cfg.defrost()
        cfg.OUTPUT_DIR = str(run.folder)
        try:
            before.check_before(cfg, plan_run(cfg, os.environ))
        except UserError as error:
            raise UserError(f"the run {run.name}: {error}") from error


def said_of_earlier(runs: Sequence[Run], missing: Sequence[Run]) -> str:
    """Which of the runs were done before, and by what; '' for none."""
    there = {run.folder for run in missing}
    earlier = [read_facts(run.folder) for run in runs if run.folder not in there]
    if not earlier:
        return ""
    commits = dict.fromkeys(facts.get("commit") or "unknown" for facts in earlier)
    return (
        f"{len(earlier)} of {len(runs)} runs were done before, by commit {', '.join(commits)}; "
        "to repeat them name another --runs."
    )
