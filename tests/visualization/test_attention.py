"""What a model looks at in real videos; on MotionShapes, where it should."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import avg_pool2d

from tests.engine.runs import train
from timesformer import Predictor
from timesformer.datasets.motion_shapes import ensure_motion_shapes
from timesformer.errors import UserError
from timesformer.interpretation.attention import raw_attention, relevance, rollout
from timesformer.models.attention import ATTENTION_SCHEMES
from timesformer.synthetic.shapes import draw
from timesformer.synthetic.tasks import TASKS
from timesformer.visualization.attention import (
    heading,
    label_of,
    middle_view,
    show_attention,
    show_raw,
    view_of,
)


def test_a_film_and_a_sheet(predictor: Predictor, clips: list[Path], tmp_path: Path) -> None:
    paths = show_attention(clips[0], predictor, tmp_path / "sub" / "look")
    assert paths == [tmp_path / "sub" / "look.mp4", tmp_path / "sub" / "look.png"]
    with av.open(str(paths[0])) as container:
        assert sum(1 for _ in container.decode(video=0)) == 8  # the frames that the model takes
    other = show_attention(clips[0], predictor, tmp_path / "other", "right")
    first, second = (np.asarray(Image.open(files[1])).astype(int) for files in (paths, other))
    assert first.shape == second.shape
    predicted = view_of(clips[0], predictor).predicted
    assert (predicted == 3) == np.array_equal(first, second)


def test_the_view_is_one_of_the_test(predictor: Predictor, clips: list[Path]) -> None:
    view = view_of(clips[3], predictor)
    item = predictor.dataset_of([clips[3]])[0]
    assert view.place == "clip 2 of 2, crop 2 of 3"
    assert np.array_equal(view.frames, item.views[4].permute(1, 2, 3, 0).numpy())
    with torch.no_grad():
        logits = predictor.trained.model(view.clip)[0]
    assert view.probabilities.tolist() == pytest.approx(logits.softmax(0).tolist())
    first_line, _ = heading(clips[3], predictor, view)
    name = predictor.trained.class_names[view.predicted]
    assert first_line.startswith(f"{clips[3].name}, {view.place}; this view alone: '{name}', ")


def test_single_heads(predictor: Predictor, clips: list[Path], tmp_path: Path) -> None:
    heights = {}
    for layer, head in ((None, None), (None, 1), (-1, None), (1, 3)):
        _, png = show_raw(clips[1], predictor, tmp_path / "raw", layer, head)
        with Image.open(png) as picture:
            heights[layer, head] = picture.height
    assert heights[-1, None] > heights[1, 3]  # eight rows of frames, or two
    assert heights[None, None] == heights[None, 1]  # a row for each layer


def test_mistakes(predictor: Predictor, clips: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UserError, match="no class 'lefft'. Did you mean 'left'. .*up, down, left"):
        show_attention(clips[0], predictor, out, "lefft")
    with pytest.raises(UserError, match="There is no head 4: each layer has 4, from 0"):
        show_raw(clips[0], predictor, out, head=4)
    with pytest.raises(UserError, match="There is no layer 2: the network has 2, from 0"):
        show_raw(clips[0], predictor, out, layer=2)
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(UserError, match="the video '.*a.mp4' cannot be read"):
        show_attention(tmp_path / "a.mp4", predictor, out)
    assert list(tmp_path.iterdir()) == [tmp_path / "a.mp4"]


def test_classes_by_name_and_number() -> None:
    names = [f"class {k}" for k in range(30)]
    assert label_of("class 3", names) == 3
    assert label_of("29", names) == 29
    with pytest.raises(UserError, match="no class '30'. .* class 19, …"):
        label_of("30", names)


def patches_covered(predictor: Predictor, task: str, index: int) -> torch.Tensor:
    """(T, h, w): the share of each patch of the view that the shape of a test clip covers."""
    recipe = TASKS[task].make_recipe(0, "test", index)
    black, white = np.zeros_like(recipe.background), np.full_like(recipe.colours, 255)
    mask = draw(replace(recipe, background=black, colours=white))
    pixels, _ = middle_view(predictor.dataset_of_video(mask, fps=30))
    patch = predictor.trained.cfg.TIMESFORMER.PATCH_SIZE
    return avg_pool2d(pixels[:1].float() / 255, patch)[0]


def overlap(heat: torch.Tensor, covered: torch.Tensor) -> float:
    """Mean heat on the shape over mean heat: 1 for heat that knows nothing of the shape."""
    return ((heat * covered).sum() / covered.sum() / heat.mean()).item()


def overlaps(run: Path, clips: list[Path], task: str) -> dict[str, float]:
    """The mean overlap of each method with the shape, and that of rollout with another clip's."""
    predictor = Predictor(run, overrides=["DATA_LOADER.NUM_WORKERS", "0"])
    model = predictor.trained.model
    found: dict[str, list[float]] = {"rollout": [], "relevance": [], "raw": [], "by chance": []}
    for index, clip in enumerate(clips):
        view = view_of(clip, predictor)
        covered, elsewhere = (patches_covered(predictor, task, i) for i in (index, index + 1))
        rolled = rollout(model, view.clip).patches[0]
        found["rollout"].append(overlap(rolled, covered))
        found["by chance"].append(overlap(rolled, elsewhere))
        spoken = relevance(model, view.clip, [view.predicted]).patches[0]
        found["relevance"].append(overlap(spoken, covered))
        in_space = next(a for a in raw_attention(model, view.clip, [0]) if a.is_of_class)
        found["raw"].append(overlap(in_space.heads[0].mean(dim=0), covered))
    return {name: float(np.mean(values)) for name, values in found.items()}


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By task, a data set that is large enough to learn most of it."""
    folder = tmp_path_factory.mktemp("shapes")
    for task, number in (("direction", 1600), ("appearance", 800)):
        ensure_motion_shapes(folder / task, task=task, num_train=number, num_val=2, num_test=21)
    return {task: folder / task for task in ("direction", "appearance")}


def train_on(data: Path, output: Path, scheme: str, epochs: int) -> None:
    """Much of it is learnt, of motion in a minute, of appearance in some seconds."""
    schedule = {"TRAIN__BATCH_SIZE": 16, "GLOBAL_BATCH_SIZE": 16, "TIMESFORMER__EMBED_DIM": 64}
    schedule |= {"SOLVER__MAX_EPOCH": epochs, "SOLVER__BASE_LR": 0.002}
    schedule |= {"SOLVER__WARMUP_EPOCHS": 0.5}
    once = {"TRAIN__EVAL_PERIOD": 0, "TRAIN__CHECKPOINT_PERIOD": epochs, "LOG_PERIOD": 100}
    changes = {"TIMESFORMER__ATTENTION_TYPE": scheme, **schedule, **once}
    train(data, output, **changes)


EPOCHS = {"space_only": 1, "joint_space_time": 1}  # of those that need fewer


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("task", "scheme", "epochs"),
    [
        ("direction", "divided_space_time", 3),
        *(("appearance", scheme, EPOCHS.get(scheme, 2)) for scheme in ATTENTION_SCHEMES.names()),
    ],
)
def test_heat_lies_on_the_shape(
    task: str, scheme: str, epochs: int, shapes: dict[str, Path], tmp_path: Path
) -> None:
    """In the task of motion it moves; only divided attention learns that in so short a time."""
    train_on(shapes[task], tmp_path, scheme, epochs)
    clips = sorted((shapes[task] / "videos" / "test").iterdir())[:20]
    mean = overlaps(tmp_path, clips, task)
    assert mean["by chance"] == pytest.approx(1.0, abs=0.3), mean
    assert min(mean["rollout"], mean["relevance"], mean["raw"]) > 1.7, mean
