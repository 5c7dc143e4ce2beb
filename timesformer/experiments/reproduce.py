"""One command for a table: run what is missing, say what came of it, and whether it holds."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from timesformer.errors import UserError
from timesformer.experiments.before import check_before, said_of_earlier
from timesformer.experiments.definition import read_experiment
from timesformer.experiments.facts import has_other_weights, is_done, read_facts, surroundings
from timesformer.experiments.plan import Experiment, Run
from timesformer.experiments.queue import carry_out

DEFINITIONS = Path("configs", "experiments")
COMMITTED = Path("docs", "reproduction")


def listing(root: Path) -> str:
    """The experiments that come with the repository `root`, with their titles."""
    lines = ["Experiments (or name a YAML file of your own):"]
    for path in sorted((root / DEFINITIONS).glob("*.yaml")):
        experiment = read_experiment(path, runs=Path())
        count = len(experiment.runs)
        lines.append(f"  {path.stem:<12} {experiment.title}: {count or 'no'} runs")
    return "\n".join(lines)


def definition(name: str, root: Path) -> Path:
    """The file of an experiment that comes with us, or the one that is named.

    Raises:
        UserError: there is neither.
    """
    shipped = root / DEFINITIONS / f"{name}.yaml"
    if shipped.is_file():
        return shipped
    if Path(name).is_file():
        return Path(name)
    known = ", ".join(sorted(path.stem for path in shipped.parent.glob("*.yaml")))
    raise UserError(f"there is no experiment and no file '{name}'. Experiments: {known}.")


def reproduce(
    name: str,
    *,
    root: Path,
    out: Path,
    runs: Path,
    seeds: Sequence[int] = (),
    jobs: int | None = None,
    dry_run: bool = False,
    overrides: Sequence[str] = (),
) -> None:
    """Carry out an experiment; write its table, values and plot to the folder `out`.

    Args:
        name: of a file in configs/experiments, or a path.
        root: the folder of the repository, whose tools/run_net.py trains.
        runs: the folder of all runs, which experiments share.
        seeds: instead of those of the file.
        jobs: runs at a time; as many as there are cores if None, one if a run wants a GPU.
        dry_run: only say which runs there are, and which are done.
        overrides: KEY VALUE pairs that win in every run.

    Raises:
        UserError: a wrong definition; what a run would find missing; runs that failed; a claim
            that does not hold; numbers that are not those committed in docs/reproduction.
        Interrupted: a signal asked to stop.
    """
    if jobs is not None and jobs < 1:
        raise UserError(f"--jobs is {jobs}, but must be 1 or more: so many runs at a time")
    path = definition(name, root)
    experiment = read_experiment(path, runs=runs, seeds=seeds, overrides=overrides)
    if dry_run:
        print(plan(experiment))
        return
    missing = check_before(experiment, out)
    if earlier := said_of_earlier(experiment.runs, missing):
        print(earlier, flush=True)
    failed = carry_out(
        missing,
        jobs=jobs_for(experiment.runs) if jobs is None else jobs,
        program=root / "tools" / "run_net.py",
        surroundings=surroundings(root, threads=threads(experiment.runs)),
    )
    wrong = [f"the run {run}: {reason}" for run, reason in failed.items()]
    wrong += conclude(experiment, out, root / COMMITTED)
    if wrong:
        raise UserError("\n  ".join([f"{experiment.name} is not reproduced:", *wrong]))


def plan(experiment: Experiment) -> str:
    """Each run, and how far it is."""
    lines = [f"{experiment.title}: {len(experiment.runs)} runs"]
    seen = set()
    for cell in experiment.cells:
        for run in cell.runs:
            again = ", as above" if run.folder in seen else ""
            seen.add(run.folder)
            lines.append(
                f"  {state(run):<7} {cell.row}, {cell.column}, seed {run.seed}{again}: {run.folder}"
            )
    return "\n".join(lines)


def state(run: Run) -> str:
    if has_other_weights(run):
        return "stale"
    if is_done(read_facts(run.folder)):
        return "done"
    return "begun" if (run.folder / "checkpoints").is_dir() else "to do"


def on_gpu(runs: Sequence[Run]) -> bool:
    return any(run.resolved.NUM_GPUS for run in runs)


def threads(runs: Sequence[Run]) -> int | None:
    return None if on_gpu(runs) else 1


def jobs_for(runs: Sequence[Run]) -> int:
    from timesformer.engine.prepare import usable_cores

    return 1 if on_gpu(runs) else usable_cores()


def conclude(experiment: Experiment, out: Path, committed: Path) -> list[str]:
    """Write the result and print it. Returns what does not hold."""
    from timesformer.checkpoints.atomic import writing
    from timesformer.experiments.plot import draw
    from timesformer.experiments.result import against, as_json, read_result, result_of
    from timesformer.experiments.table import markdown, sentence

    before = read_result(committed / f"{experiment.name}.json")
    result = result_of(experiment)
    text = markdown(result)
    for ending, content in ((".json", as_json(result)), (".md", text)):
        with writing(out / f"{experiment.name}{ending}") as file:
            file.write(content.encode())
    with writing(out / f"{experiment.name}.png") as file:
        draw(result, experiment.panels, file)
    print(f"{result['title']}\n\n{text}")
    compared = against(result, before) if before else []
    if compared:
        print("Against the committed result:", *map(sentence, compared), sep="\n- ")
    print(
        "wrote", ", ".join(str(out / f"{experiment.name}.{end}") for end in ("md", "json", "png"))
    )
    sys.stdout.flush()
    return [each["says"] for each in (*result["checks"], *compared) if each["holds"] is False]
