"""A process that takes real training steps on the CPU and tells what they needed.

    python -m benchmarks.real_step CLIPS KEY VALUE …

Prints JSON: `rss`, how much the process grew, by the system; `tensors`, by the lives of tensors.
"""

from __future__ import annotations

import gc
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from fvcore.common.config import CfgNode
from torch import Tensor

from timesformer.config import load_config
from timesformer.datasets.build import normalizer
from timesformer.engine.prepare import Runtime
from timesformer.models import build_model
from timesformer.optim import LOSS_REGISTRY, build_ema, build_optimizer
from timesformer.profiling.lifetimes import Lifetimes

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[1]
# Every large block is asked of the system and given back at once: what is held is what is used.
EXACT_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "0",
    "MALLOC_ARENA_MAX": "1",
    "OMP_NUM_THREADS": "1",
}
SMALLEST = ["TIMESFORMER.DEPTH", "1", "TIMESFORMER.EMBED_DIM", "64", "TIMESFORMER.NUM_HEADS", "1"]


def measured(options: list[Any], clips: int) -> dict[str, int]:
    """What a step of `clips` needs with the keys of `options`, in a process of its own (Linux)."""
    command = [sys.executable, "-m", "benchmarks.real_step", str(clips), *map(str, options)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | EXACT_MALLOC,
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    return json.loads(done.stdout)


class Steps:
    """Training steps, with what `engine.step` holds while it takes one."""

    def __init__(self, cfg: CfgNode, device: torch.device = CPU) -> None:
        self.cfg = cfg
        self.runtime = Runtime(device, cfg.TRAIN.PRECISION)
        self.model = build_model(cfg, pretrained=False).train().to(device)
        self.ema = build_ema(self.model, cfg)
        self.optimizer = build_optimizer(self.model, cfg)
        self.normalize = normalizer(cfg, device)

    def take(self, clips: int) -> None:
        data, device = self.cfg.DATA, self.runtime.device
        side = data.TRAIN_CROP_SIZE
        shape = (clips, 1, 3, data.NUM_FRAMES, side, side)
        batch = torch.ones(shape, dtype=torch.uint8, device=device)
        inputs = self.normalize(batch)
        labels = torch.zeros(clips, dtype=torch.int64, device=device)
        with self.runtime.autocast():
            logits = self.model(inputs)
        LOSS_REGISTRY.get(self.cfg.MODEL.LOSS_FUNC)(logits, labels, 0.0).mean().backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.ema:
            self.ema.update(1)

    def needed(self, clips: int) -> int:
        """Bytes of tensors at the greatest moment of a step, which is not the first; on the CPU."""
        lasting = self.lasting()
        with Lifetimes(1, besides=lasting) as lives:
            self.take(clips)
        moments = lives.moments().sum(axis=(1, 2))
        return int(moments.max()) + sum(tensor.nbytes for tensor in lasting)

    def lasting(self) -> list[Tensor]:
        models = [self.model, *([self.ema.module] if self.ema else [])]
        moments = [value for own in self.optimizer.state.values() for value in own.values()]
        return [
            *(tensor for model in models for tensor in (*model.parameters(), *model.buffers())),
            *(moment for moment in moments if isinstance(moment, Tensor)),
        ]


def status(name: str) -> int:
    """Bytes, from what the system says of this process."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    assert found
    return 1024 * int(found[1])


def forget_peak() -> None:
    """Lets the greatest size of this process be its present one."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def main() -> None:
    clips, options = int(sys.argv[1]), sys.argv[2:]
    small = Steps(load_config(None, [*options, *SMALLEST]))
    small.take(1)  # libraries are loaded, and threads started
    del small
    gc.collect()
    before = status("VmRSS")
    steps = Steps(load_config(None, options))
    steps.take(clips)  # the optimiser has its state
    gc.collect()
    forget_peak()
    steps.take(clips)
    grown = status("VmHWM") - before
    print(json.dumps({"rss": grown, "tensors": steps.needed(clips)}))


if __name__ == "__main__":
    main()
