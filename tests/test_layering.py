"""The structure of docs/DESIGN.md: who may import whom, and how large things may get."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = sorted((ROOT / "timesformer").rglob("*.py"))
TOOLS = sorted((ROOT / "tools").glob("*.py"))

# A room imports from the floors below its own, and from itself.
FLOORS = (
    {"errors", "registry", "logs", "writers", "signals", "door", "progress"},
    {"config", "weights", "annotations", "synthetic"},
    {"datasets", "models", "optim", "evaluation"},
    {"checkpoints", "distributed", "report"},
    {"engine", "export", "preparation", "interpretation"},
    {"inference"},
    {"visualization", "submission", "profiling"},
    {"rehearsal", "demo", "experiments"},
    {"tools"},
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# The rooms of the ground floor are small, and those of the fourth may use each other; that neither
# makes a circle is for test_no_module_imports_itself_in_a_circle.
SHARED_FLOORS = {FLOOR_OF["errors"], FLOOR_OF["checkpoints"]}

# What a training run could do without: other programs' formats, reports, pictures.
AROUND_THE_CORE = {
    "annotations",
    "weights",
    "demo",
    "door",
    "experiments",
    "export",
    "inference",
    "interpretation",
    "preparation",
    "profiling",
    "progress",
    "rehearsal",
    "report",
    "submission",
    "synthetic",
    "visualization",
    "writers",
}

MAX_CHAIN_OF_IMPORTS = 7
MAX_LINES_OF_A_FILE = 400
MAX_LINES_OF_A_TOOL = 60
MAX_LINES_OF_A_FUNCTION = 80
USUAL_LINES_OF_A_FUNCTION = 40
MAX_LINES_OF_THE_CORE = 9900  # without the next
# Processes that find each other, and what outlives them.
ROOMS_OF_ENDURANCE = {"checkpoints", "distributed"}
MAX_LINES_OF_ENDURANCE = 3300

Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    """``timesformer/datasets/__init__.py`` -> ``timesformer.datasets``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in PACKAGE}


def room_of(module: str) -> str:
    """``timesformer.datasets.decode`` -> ``datasets``; ``tools.run_net`` -> ``tools``."""
    parts = module.split(".")
    return parts[0] if parts[0] == "tools" else ".".join(parts[1:2])


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported(node: ast.AST) -> Iterator[str]:
    """The modules of ours that one import statement names."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in MODULES)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"line {node.lineno}: imports are absolute"
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            yield from [name for name in (inner, str(node.module)) if name in MODULES][:1]


def imports_anywhere(path: Path) -> set[str]:
    return {name for node in ast.walk(parse(path)) for name in imported(node)}


def imports_when_loaded(path: Path) -> set[str]:
    """Without those inside functions, and those for the type checker alone."""
    names: set[str] = set()
    waiting: list[ast.AST] = [parse(path)]
    while waiting:
        node = waiting.pop()
        names.update(imported(node))
        if not isinstance(node, Function) and not is_for_types(node):
            waiting.extend(ast.iter_child_nodes(node))
    return names


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def functions(path: Path) -> list[Function]:
    return [node for node in ast.walk(parse(path)) if isinstance(node, Function)]


def lines_of(node: Function) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def count_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("path", PACKAGE + TOOLS, ids=name_of)
def test_imports_point_downwards(path: Path) -> None:
    room = room_of(name_of(path))
    for module in sorted(imports_anywhere(path)):
        other = room_of(module)
        if other in ("", room):
            continue
        if not room:  # the package itself: names that it hands on, late
            assert module not in imports_when_loaded(path)
            continue
        below = FLOOR_OF[other] < FLOOR_OF[room]
        beside = FLOOR_OF[other] == FLOOR_OF[room] in SHARED_FLOORS
        assert below or beside, f"{name_of(path)} must not import {module}"


def test_every_room_is_on_the_plan() -> None:
    assert {room_of(module) for module in MODULES} - {""} <= FLOOR_OF.keys()


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {name: imports_when_loaded(path) - {name} for name, path in MODULES.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_chains_of_imports_are_short() -> None:
    graph = {name: imports_when_loaded(path) - {name} for name, path in MODULES.items()}
    length: dict[str, int] = {}
    for name in TopologicalSorter(graph).static_order():
        length[name] = 1 + max((length[other] for other in graph[name]), default=0)
    assert {name: n for name, n in length.items() if n > MAX_CHAIN_OF_IMPORTS} == {}


@pytest.mark.parametrize("path", PACKAGE, ids=name_of)
def test_time_is_told_by_a_clock_that_only_goes_forwards(path: Path) -> None:
    """`time.time` jumps when somebody sets the machine's clock; `time.monotonic` does not."""
    names = {ast.unparse(node.func) for node in ast.walk(parse(path)) if isinstance(node, ast.Call)}
    assert "time.time" not in names
    assert not any(name.endswith("utcnow") for name in names)


@pytest.mark.parametrize("path", PACKAGE, ids=name_of)
def test_files_are_short(path: Path) -> None:
    assert count_lines(path) < MAX_LINES_OF_A_FILE


@pytest.mark.parametrize("path", TOOLS, ids=name_of)
def test_tools_are_thin_doors(path: Path) -> None:
    assert count_lines(path) <= MAX_LINES_OF_A_TOOL


def test_the_core_stays_small() -> None:
    lines: Counter[str] = Counter()
    for name, path in MODULES.items():
        lines[room_of(name)] += count_lines(path)
    endurance = sum(lines[room] for room in ROOMS_OF_ENDURANCE)
    around = sum(lines[room] for room in AROUND_THE_CORE)
    assert endurance < MAX_LINES_OF_ENDURANCE
    assert lines.total() - around - endurance < MAX_LINES_OF_THE_CORE


def test_functions_are_short() -> None:
    sizes = {
        f"{name_of(path)}.{node.name}": lines_of(node)
        for path in PACKAGE + TOOLS
        for node in functions(path)
    }
    too_long = {name: size for name, size in sizes.items() if size > MAX_LINES_OF_A_FUNCTION}
    assert not too_long
    long = {name: size for name, size in sizes.items() if size > USUAL_LINES_OF_A_FUNCTION}
    assert len(long) <= len(sizes) / 10


@pytest.mark.parametrize("path", PACKAGE + TOOLS, ids=name_of)
def test_functions_are_annotated(path: Path) -> None:
    for node in functions(path):
        where = f"{path.name}:{node.lineno} {node.name}"
        assert node.returns is not None, f"{where} does not say what it returns"
        spec = node.args
        arguments = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs, spec.vararg, spec.kwarg]
        for argument in arguments:
            if argument is not None and argument.arg not in ("self", "cls"):
                assert argument.annotation is not None, f"{where}: {argument.arg} has no type"
