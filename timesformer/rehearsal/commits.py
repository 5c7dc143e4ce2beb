"""The same trainings by two commits: whether a change of the code changed their numbers.

Every run is a process of its own, one thread of it, with the interpreter of this one.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from timesformer.errors import UserError
from timesformer.rehearsal.numerics import (
    Difference,
    Numbers,
    difference,
    final_weights,
    make_material,
    read_golden,
    read_run,
    settings,
    write_golden,
)

# By which a run would take itself for a part of the job that we are in.
OF_A_JOB = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "SLURM_PROCID")

# The package may be installed from another checkout: what counts is what is imported.
RUN = """
import pathlib, runpy, sys, timesformer
root = pathlib.Path.cwd().resolve()
if root not in pathlib.Path(timesformer.__file__).resolve().parents:
    sys.exit(f"error: {timesformer.__file__} is imported, which is not in {root}")
sys.argv[0] = str(root / "tools" / "run_net.py")
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def compare_commits(
    repository: Path, cases: Sequence[Path], first: str, second: str | None
) -> Iterator[tuple[str, Difference, float]]:
    """Run each case by both commits.

    Args:
        cases: configs; both commits run the same ones.
        second: None for the files of `repository` as they are.

    Yields:
        The case, how the numbers differ, and the largest difference of a final weight.

    Raises:
        UserError: there is no such commit; or it cannot run a case.
    """
    with prepared(cases) as (folder, material):
        one = check_out(repository, first, folder / "first")
        other = repository if second is None else check_out(repository, second, folder / "second")
        for case in cases:
            outputs = folder / f"{case.stem}-1", folder / f"{case.stem}-2"
            run(one, case, material, outputs[0], who=first)
            run(other, case, material, outputs[1], who=second or "the working tree")
            numbers = [read_run(case, material, output) for output in outputs]
            yield case.stem, difference(*numbers), weights_apart(*outputs)


def renew(repository: Path, cases: Sequence[Path], goldens: Path) -> Iterator[tuple[str, str]]:
    """Run each case and keep what it came to, where that is another than what is kept.

    What another machine found stays while ours differs from it by rounding alone.

    Yields:
        The case, and what became of its golden file.
    """
    with prepared(cases) as (folder, material):
        for case in cases:
            output = folder / case.stem
            run(repository, case, material, output, who="the working tree")
            numbers = read_run(case, material, output)
            yield case.stem, keep(goldens / f"{case.stem}.json", numbers)


def keep(path: Path, numbers: Numbers) -> str:
    """Write `numbers` to the golden file at `path` if they are news; says what was done."""
    if not path.exists():
        write_golden(path, numbers)
        return "written"
    former = read_golden(path)
    if former.random != numbers.random:
        return "stays; PyTorch draws other random numbers here than where it was made"
    change = difference(former, numbers)
    is_elsewhere = former.machine != numbers.machine
    if change.is_none or (is_elsewhere and change.is_rounding):
        return f"stays; {change}"
    write_golden(path, numbers)
    return f"written anew; {change}"


@contextmanager
def prepared(cases: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
    """A folder for this comparison alone, and the one in it with what the runs start from."""
    with TemporaryDirectory(prefix="numerics-") as name:
        folder = Path(name)
        material = folder / "material"
        material.mkdir()
        make_material(material, cases)
        yield folder, material


def check_out(repository: Path, commit: str, folder: Path) -> Path:
    """The files of `commit` in a new `folder`.

    Not a work tree of git, which would have to be signed off from the repository however we end.

    Raises:
        UserError: there is no such commit.
    """
    archive = ["git", "-C", str(repository), "archive", "--format=tar", commit]
    try:
        done = subprocess.run(archive, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise UserError("git is not installed, without which no commit can be had.") from error
    if done.returncode:
        raise UserError(
            f"git cannot give '{commit}' of {repository}: {done.stderr.decode().strip()}. "
            "Name a commit, a tag or a branch."
        )
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        tar.extractall(folder, filter="data")
    return folder


def run(code: Path, case: Path, material: Path, output: Path, *, who: str) -> None:
    """A whole run of the config `case` by the files in the folder `code`.

    Raises:
        UserError: it failed.
    """
    words = ["--cfg", str(case.resolve()), *settings(case, material, output)]
    environment = {name: value for name, value in os.environ.items() if name not in OF_A_JOB}
    done = subprocess.run(
        [sys.executable, "-c", RUN, *words],
        cwd=code,
        env=environment | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(code.resolve())},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        reason = done.stderr.strip().removeprefix("error: ")
        raise UserError(f"{case.stem} cannot be run by {who}: {reason}")


def weights_apart(first: Path, second: Path) -> float:
    """The largest difference of a final weight of two runs; infinite for unlike networks."""
    ours, theirs = final_weights(first), final_weights(second)
    shapes = [{name: tensor.shape for name, tensor in each.items()} for each in (ours, theirs)]
    if shapes[0] != shapes[1]:
        return float("inf")
    return max(float((ours[name] - theirs[name]).abs().max()) for name in ours)
