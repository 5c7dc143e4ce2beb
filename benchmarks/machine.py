"""The facts of a machine without which a measured number says little."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

BF16_FLAGS = ("avx512_bf16", "amx_bf16")
"""Instructions without which a processor cannot be faster in bfloat16 than in float32."""
FLAGS = ("avx2", "avx512f", *BF16_FLAGS)


def facts(device: torch.device, packages: tuple[str, ...] = ()) -> dict[str, Any]:
    """What a report says of the machine, the `device` that was measured on it, and `packages`."""
    on_gpu = device.type == "cuda"
    return {
        "processor": processor(),
        "flags": flags(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(device) if on_gpu else None,
        "gpu_bytes": torch.cuda.get_device_properties(device).total_memory if on_gpu else None,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "cuda": torch.version.cuda if on_gpu else None,
        "packages": {package: release(package) for package in packages},
    }


def words(machine: dict[str, Any]) -> str:
    """`facts` as a line for people."""
    if machine["gpu"]:
        return f"{machine['gpu']}, CUDA {machine['cuda']}, PyTorch {machine['torch']}"
    has = [flag for flag in FLAGS if flag in machine["flags"]]
    lacks = [flag for flag in FLAGS if flag not in machine["flags"]]
    return (
        f"{machine['processor']}, {machine['threads']} threads of {machine['cores']} cores, "
        f"with {', '.join(has) or 'nothing'} and without {', '.join(lacks) or 'nothing'} "
        f"of what was looked for; PyTorch {machine['torch']}"
    )


def processor() -> str:
    return next(iter(_cpuinfo("model name")), platform.processor())


def flags() -> list[str]:
    """Those of `FLAGS` that the processor has."""
    known = next(iter(_cpuinfo("flags")), "").split()
    return [flag for flag in FLAGS if flag in known]


def release(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def chosen_device(name: str | None) -> torch.device:
    """The device of that name; None for the GPU if there is one."""
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


def _cpuinfo(key: str) -> list[str]:
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.exists() else []
    return [line.split(":", 1)[1].strip() for line in lines if line.startswith(f"{key}\t")]
