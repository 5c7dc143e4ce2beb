"""What a trace says, of a GPU that is written down by hand."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from timesformer.profiling.trace import (
    BACKWARD,
    FORWARD,
    OPTIMIZER,
    REST,
    WAITING,
    Copies,
    Row,
    read_trace,
    summarize,
)

MAIN, AUTOGRAD, STREAM = (1, 1), (1, 2), (0, 7)


def event(
    category: str, name: str, start: float, end: float, thread: tuple[int, int] = MAIN, **args: Any
) -> dict[str, Any]:
    pid, tid = thread
    times = {"ts": start, "dur": end - start}
    return {
        "ph": "X",
        "cat": category,
        "name": name,
        "pid": pid,
        "tid": tid,
        "args": args,
        **times,
    }


def launch(name: str, asked: float, start: float, end: float, thread=MAIN) -> list[dict[str, Any]]:
    """A kernel or copy, and the call that asked for it."""
    number = int(10 * asked)
    kind = "gpu_memcpy" if "Memcpy" in name else "kernel"
    return [
        event("cuda_runtime", "cudaLaunchKernel", asked, asked + 1, thread, correlation=number),
        event(kind, name, start, end, STREAM, correlation=number, bytes=500),
    ]


# Two steps of 100 µs, whose work the device finishes at 220.
ON_GPU = [
    event("user_annotation", "ProfilerStep#1", 0, 100),
    event("user_annotation", "ProfilerStep#2", 100, 200),
    event("gpu_user_annotation", "ProfilerStep#2", 100, 220, STREAM),
    event("user_annotation", WAITING, 0, 11),
    event("user_annotation", FORWARD, 20, 40),
    event("user_annotation", BACKWARD, 40, 80),
    event("user_annotation", "Optimizer.step#AdamW.step", 80, 90),
    *launch("Memcpy HtoD (Pinned -> Device)", 5, 6, 8),
    *launch("gemm", 21, 30, 52),
    *launch("gemm", 50, 60, 104, AUTOGRAD),
    *launch("adam", 85, 104, 115),
    *launch("fill", 95, 209, 220),
    *launch("of the step before", -5, 0, 6),
    event("cuda_runtime", "cudaStreamSynchronize", 150, 160),
    event("cuda_runtime", "cudaDeviceSynchronize", 201, 220),  # the profiler's own
]


def written(events: list[dict[str, Any]], path: Path) -> Path:
    others = [{"ph": "M", "name": "process_name"}, {"ph": "i", "name": "Record Window End"}]
    data = json.dumps({"traceEvents": [*others, *events]}).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["trace.json", "trace.json.gz"])
def test_of_a_gpu(name: str, tmp_path: Path) -> None:
    found = summarize(read_trace(written(ON_GPU, tmp_path / name)))
    assert found.steps == 2
    assert found.seconds == pytest.approx(110e-6)
    host = {WAITING: 11, FORWARD: 20, BACKWARD: 40, OPTIMIZER: 10, REST: 139}
    assert found.host == pytest.approx({part: time / 220 for part, time in host.items()})
    device = {WAITING: 2, FORWARD: 22, BACKWARD: 44, OPTIMIZER: 11, REST: 11}
    assert found.device == pytest.approx({part: time / 220 for part, time in device.items()})
    assert found.busy == pytest.approx(90 / 220)
    assert found.unexplained_idle == pytest.approx(1 - 90 / 220 - 11 / 220)
    assert found.top[0] == Row("gemm", pytest.approx(66 / 220), 1)
    assert found.calls == 2
    assert found.microseconds == 22
    assert found.to_device == Copies(0.5, 250)
    assert found.to_host == Copies(0, 0)
    assert found.waits == 0.5


def test_of_a_cpu(tmp_path: Path) -> None:
    events = [
        event("user_annotation", "ProfilerStep#1", 0, 100),
        event("user_annotation", "Optimizer.step#SGD.step", 80, 90),
        event("cpu_op", "aten::linear", 10, 40),
        event("cpu_op", "aten::t", 12, 15),
        event("cpu_op", "aten::addmm", 15, 40),
        event("cpu_op", "aten::addmm", 20, 30, (1, 3)),  # beside it, in another thread
        event("cpu_op", "aten::_local_scalar_dense", 50, 51),
        event("cpu_op", "aten::_local_scalar_dense", 85, 86),
        event("cpu_op", "aten::linear", 120, 140),  # after the last step
    ]
    found = summarize(read_trace(written(events, tmp_path / "trace.json")))
    assert found.device is None
    assert found.busy is None
    assert found.unexplained_idle == 0
    shares = {row.name: row.share for row in found.top}
    assert shares == pytest.approx(
        {
            "aten::addmm": 0.35,
            "aten::t": 0.03,
            "aten::linear": 0.02,
            "aten::_local_scalar_dense": 0.02,
        }
    )
    assert found.calls == 5
    assert found.waits == 1
