"""Packaging; everything about tools (ruff, mypy, pytest) is in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent

HUB = ["huggingface_hub"]  # hf:// and timm:// sources of weights
EXPORT = ["onnx", "onnxruntime", "onnxscript"]
REMOTE = ["aiohttp"]  # shards at https:// addresses; s3fs, gcsfs, adlfs for other stores
TORCHCODEC = ["torchcodec"]  # DATA.DECODER; wants FFmpeg's shared libraries, too
DEMO = ["gradio"]  # tools/demo.py
UMAP = ["umap-learn"]  # tools/visualize.py embeddings --method umap
WANDB = ["wandb"]
MLFLOW = ["mlflow-skinny"]
DOCS = ["mkdocs-material", "mkdocstrings[python]"]
# What the benchmarks compare with.
BENCHMARK = [*TORCHCODEC, "decord", "timesformer-pytorch", "transformers"]
TEST = [
    "pytest>=8",
    "pytest-timeout",
    "pytest-xdist",
    "playwright",  # drives a Chromium that is there; it downloads none
    *HUB,
    *EXPORT,
    *REMOTE,
    *DEMO,
    *UMAP,
    *WANDB,
    *MLFLOW,
    *DOCS,
    # Other implementations that the tests compare with.
    "timm",
    "transformers",
    "webdataset",
]
DEV = ["ruff", "mypy>=1.11", "pre-commit", "types-PyYAML", "types-simplejson"]


def read_version() -> str:
    """From the text: importing the package would need its dependencies."""
    text = (ROOT / "timesformer" / "__init__.py").read_text(encoding="utf-8")
    match = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    assert match is not None
    return match.group(1)


setup(
    name="timesformer",
    version=read_version(),
    description="Train and evaluate TimeSformer video classifiers",
    license="Apache-2.0",
    packages=find_packages(include=["timesformer", "timesformer.*"]),
    package_data={"timesformer.report": ["templates/*"]},
    python_requires=">=3.10",
    install_requires=[
        "av>=17.1",  # Discard of streams; the wheels bring FFmpeg and x264
        "fsspec",
        "fvcore",
        "jinja2",
        "matplotlib",
        "numpy",
        "pillow>=10.1",  # fonts of any size
        "opencv-python-headless",  # the other one needs a graphics driver's libraries to import
        "plotly",
        "psutil",
        "pyyaml",
        "safetensors",
        "scikit-learn",
        "simplejson",
        "submitit",
        "tensorboard",
        "torch>=2.6",
        "torchvision",
        "tqdm",
        "yacs",
    ],
    extras_require={
        "hub": HUB,
        "export": EXPORT,
        "remote": REMOTE,
        "torchcodec": TORCHCODEC,
        "demo": DEMO,
        "umap": UMAP,
        "wandb": WANDB,
        "mlflow": MLFLOW,
        "docs": DOCS,
        "benchmark": BENCHMARK,
        "test": TEST,
        "dev": TEST + DEV,
    },
)
