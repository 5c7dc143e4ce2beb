"""Whether a training still gives the numbers it gave: short runs, kept to the last bit.

A case is a config: 50 steps of a small network by the ordinary training loop, and a test. What it
came to is kept as a golden file. On a machine of the same arithmetic a run equals it bit for bit;
elsewhere it may be off by rounding, which training makes larger from step to step.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path

import av
import cv2
import numpy as np
import simplejson
import torch
import torch.nn.functional as F
from fvcore.common.config import CfgNode
from torch import Tensor, nn

from timesformer.config.load import load_config
from timesformer.datasets.decode import VideoReader
from timesformer.models.build import build_model
from timesformer.synthetic.clip_file import FPS
from timesformer.synthetic.shapes import draw
from timesformer.synthetic.tasks import TASKS

NUM_CLIPS = {"train": 77, "test": 6}  # the last step of an epoch has 5 clips instead of 8

# What rounding may change in the loss, for each step so far. Without vector instructions, or with
# PyTorch 2.6 in place of 2.15, it was a third of that at most. In augmented clips rounding tips
# pixels to the next grey level; and scores move further than losses.
DRIFT = 1e-6
DRIFT_OF_AUGMENTED = 1e-5
SCORES_OVER_LOSSES = 5


@dataclass(frozen=True)
class Numbers:
    """What a case came to, and where.

    Attributes:
        machine: see `machine`.
        random: what PyTorch draws from a seed, if the case starts from one; else "".
        clips: SHA-256 of the frames as they are decoded.
        losses: of each step, the mean over its clips.
        scores: of the videos of the test, one for each class.
        weights: SHA-256 of the final weights.
    """

    machine: Mapping[str, str]
    random: str
    clips: str
    losses: list[float]
    scores: list[list[float]]
    weights: str


@dataclass(frozen=True)
class Difference:
    """Between two runs of a case.

    Attributes:
        first: step whose losses differ first, from 1; None if none do.
        largest: between losses of the same step.
        step: the one where it is largest.
        scores: the largest between scores of the test.
        weights: whether the final weights differ.
        excess: the largest of all these over what rounding can do.
    """

    first: int | None
    largest: float
    step: int
    scores: float
    weights: bool
    excess: float

    @property
    def is_none(self) -> bool:
        return self.first is None and not self.scores and not self.weights

    @property
    def is_rounding(self) -> bool:
        return self.excess <= 1

    def __str__(self) -> str:
        if self.is_none:
            return "equal to the bit"
        losses = "equal losses"
        if self.first is not None:
            losses = (
                f"losses differ from step {self.first} on, by up to {self.largest:.1e} "
                f"in step {self.step}"
            )
        verdict = "within rounding" if self.is_rounding else "more than rounding"
        return (
            f"{losses}, scores by up to {self.scores:.1e}: {verdict} "
            f"({self.excess:.2g} of what that can do)"
        )


def difference(first: Numbers, second: Numbers) -> Difference:
    losses = distances(first.losses, second.losses)
    scores = max(distances(flat(first.scores), flat(second.scores)))
    drift = DRIFT_OF_AUGMENTED if first.random else DRIFT
    excesses = [loss / (drift * step) for step, loss in enumerate(losses, start=1)]
    return Difference(
        first=next((step for step, loss in enumerate(losses, start=1) if loss), None),
        largest=max(losses),
        step=1 + losses.index(max(losses)),
        scores=scores,
        weights=first.weights != second.weights,
        excess=max(*excesses, scores / (SCORES_OVER_LOSSES * drift * len(losses))),
    )


def distances(first: Sequence[float], second: Sequence[float]) -> list[float]:
    """Infinite for what is missing, or no number, on one side alone."""
    pairs = zip_longest(first, second, fillvalue=math.nan)
    return [
        0.0 if a == b or (math.isnan(a) and math.isnan(b)) else nan_to_inf(abs(a - b))
        for a, b in pairs
    ]


def nan_to_inf(value: float) -> float:
    return math.inf if math.isnan(value) else value


def flat(rows: list[list[float]]) -> list[float]:
    return [value for row in rows for value in row]


def machine() -> dict[str, str]:
    """What decides how numbers are rounded: on equal machines one thread gives equal bits."""
    return {
        "torch": torch.__version__,
        "kernels": torch.backends.cpu.get_cpu_capability(),
        "processor": processor(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
    }


def processor() -> str:
    """The processor's model, by which libraries choose kernels; on Linux as numbers."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = {name.strip(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    names = ("vendor_id", "cpu family", "model")
    return " ".join(facts.get(name, "") for name in names).strip() or platform.machine()


def random_stream() -> str:
    """A few weights and a mask of dropout from a seed, so coarse that rounding does not show."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        weights = nn.init.trunc_normal_(torch.empty(4)).tolist()
        mask = F.dropout(torch.ones(16)).bool().int().tolist()
    return f"{' '.join(f'{weight:.2f}' for weight in weights)} {''.join(map(str, mask))}"


def make_material(folder: Path, cases: Sequence[Path]) -> None:
    """Write what the runs of `cases` start from into `folder`: clips and initial weights.

    The weights come from NumPy: PyTorch's versions draw different ones from the same seed.
    """
    make_clips(folder)
    for case in cases:
        cfg = load_config(case)
        if cfg.TRAIN.FINETUNE:
            torch.save({"model_state": draw_weights(cfg)}, folder / f"{case.stem}.pyth")


def make_clips(folder: Path) -> None:
    """Clips of MotionShapes, with a list for each split.

    They are lossless: the files may depend on the encoder, what is decoded does not.
    """
    for split, number in NUM_CLIPS.items():
        recipes = [TASKS["direction"].make_recipe(0, split, index) for index in range(number)]
        names = [f"{split}-{index:02d}.mp4" for index in range(number)]
        lines = [f"{name} {each.label}\n" for name, each in zip(names, recipes, strict=True)]
        (folder / f"{split}.csv").write_text("".join(lines))
        for name, recipe in zip(names, recipes, strict=True):
            write_lossless(folder / name, draw(recipe))


def write_lossless(path: Path, frames: np.ndarray) -> None:
    """H.264 that is decoded to exactly these frames: RGB uint8 (T, H, W, 3)."""
    options = {"qp": "0", "preset": "ultrafast"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264rgb", rate=FPS, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "rgb24"
        stream.codec_context.thread_count = 1
        for rgb in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode())


def digest_of_clips(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.mp4")):
        with VideoReader(str(path)) as reader:
            digest.update(reader.read(range(reader.num_frames)).tobytes())
    return digest.hexdigest()


def draw_weights(cfg: CfgNode) -> dict[str, Tensor]:
    """Initial weights for the network of `cfg`; nothing of it is zero, or as good as."""
    random = np.random.default_rng(0)
    state = build_model(cfg, pretrained=False).state_dict()
    return {
        name: torch.from_numpy(draw_tensor(name, tuple(tensor.shape), random)).float()
        for name, tensor in state.items()
    }


def draw_tensor(name: str, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """Tokens are small, so that the epsilon of the norms counts, and attention is not flat."""
    values = random.standard_normal(shape)
    if len(shape) == 2:  # linear layers
        return values / math.sqrt(shape[1])
    if name.endswith("weight") and len(shape) == 1:  # norms
        return 1 + values / 10
    return values / 30


def settings(case: Path, material: Path, output: Path) -> list[str]:
    """What the config `case` does not say itself, as KEY VALUE."""
    pairs = ["DATA.PATH_TO_DATA_DIR", str(material), "OUTPUT_DIR", str(output)]
    if (weights := material / f"{case.stem}.pyth").exists():
        pairs += ["TRAIN.CHECKPOINT_FILE_PATH", str(weights)]
    return pairs


def read_run(case: Path, material: Path, output: Path) -> Numbers:
    """The numbers that a run of `case` left in its OUTPUT_DIR."""
    lines = (output / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    records = [simplejson.loads(line) for line in lines]
    scores = np.load(output / "predictions.npz")["scores"]
    weights = hashlib.sha256()
    for name, tensor in final_weights(output).items():
        weights.update(name.encode() + tensor.numpy().tobytes())
    return Numbers(
        machine=machine(),
        random="" if load_config(case).TRAIN.FINETUNE else random_stream(),
        clips=digest_of_clips(material),
        losses=[record["loss"] for record in records if record["_type"] == "train_iter"],
        scores=scores.astype(np.float64).tolist(),
        weights=weights.hexdigest(),
    )


def final_weights(output: Path) -> dict[str, Tensor]:
    newest = max((output / "checkpoints").glob("checkpoint_epoch_*.pyth"))
    weights: dict[str, Tensor] = torch.load(newest, weights_only=True)["model_state"]
    return weights


def read_golden(path: Path) -> Numbers:
    return Numbers(**json.loads(path.read_text(encoding="utf-8")))


def write_golden(path: Path, numbers: Numbers) -> None:
    """As JSON, whose numbers are the shortest that are read back to the same bits."""
    path.write_text(json.dumps(asdict(numbers), indent=1) + "\n", encoding="utf-8")
