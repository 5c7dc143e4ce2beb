"""Every config that ships loads, builds and runs; the released ones load as they were published."""

from pathlib import Path

import pytest
import torch

from tests.datasets.miniatures import MINIATURES, Miniature
from timesformer.config import load_config
from timesformer.models import build_model
from timesformer.rehearsal.dry_run import dry_run

CONFIGS = Path(__file__).parents[2] / "configs"
# What stands in `experiments` are sets of runs; tests/experiments is about them.
SHIPPED = [path for path in sorted(CONFIGS.glob("*/*.yaml")) if path.parent.name != "experiments"]
BASES = [path for path in SHIPPED if path.name == "base.yaml" or path.parent.name == "recipes"]
each_shipped = pytest.mark.parametrize(
    "path", SHIPPED, ids=lambda path: f"{path.parent.name}/{path.stem}"
)
each_run = pytest.mark.parametrize(
    "path",
    [path for path in SHIPPED if path not in BASES],
    ids=lambda path: f"{path.parent.name}/{path.stem}",
)

# The keys of a released Kinetics file with its values; the other six have the same (one, for tests,
# TEST.CHECKPOINT_FILE_PATH as well) with other values.
RELEASED = """
TRAIN: {ENABLE: True, DATASET: kinetics, BATCH_SIZE: 8, EVAL_PERIOD: 5, CHECKPOINT_PERIOD: 5,
  AUTO_RESUME: True}
DATA: {PATH_TO_DATA_DIR: /path/to/kinetics, NUM_FRAMES: 8, SAMPLING_RATE: 32,
  TRAIN_JITTER_SCALES: [256, 320], TRAIN_CROP_SIZE: 224, TEST_CROP_SIZE: 224,
  INPUT_CHANNEL_NUM: [3]}
TIMESFORMER: {ATTENTION_TYPE: 'divided_space_time'}
SOLVER: {BASE_LR: 0.005, LR_POLICY: steps_with_relative_lrs, STEPS: [0, 11, 14],
  LRS: [1, 0.1, 0.01], MAX_EPOCH: 15, MOMENTUM: 0.9, WEIGHT_DECAY: 1e-4, OPTIMIZING_METHOD: sgd}
MODEL: {MODEL_NAME: vit_base_patch16_224, NUM_CLASSES: 400, ARCH: vit, LOSS_FUNC: cross_entropy,
  DROPOUT_RATE: 0.5}
TEST: {ENABLE: True, DATASET: kinetics, BATCH_SIZE: 8, NUM_ENSEMBLE_VIEWS: 1,
  NUM_SPATIAL_CROPS: 3}
DATA_LOADER: {NUM_WORKERS: 8, PIN_MEMORY: True}
NUM_GPUS: 8
NUM_SHARDS: 1
RNG_SEED: 0
OUTPUT_DIR: .
"""
RELEASED_SSV2 = {
    "TRAIN.DATASET": "ssv2",
    "DATA.PATH_TO_DATA_DIR": " /path/to/ssv2/annotations/",
    "DATA.PATH_PREFIX": "/path/to/ssv2/frames/",
    "DATA.INV_UNIFORM_SAMPLE": True,
    "DATA.RANDOM_FLIP": False,
    "DATA.REVERSE_INPUT_CHANNEL": True,
    "MODEL.NUM_CLASSES": 174,
}


@each_shipped
def test_a_shipped_config_builds_its_model(path):
    cfg = load_config(path)
    with torch.device("meta"):
        model = build_model(cfg, pretrained=False)
    assert sum(p.numel() for p in model.parameters()) > 0


@each_shipped
def test_a_shipped_config_says_what_it_is_for(path):
    head = "".join(line for line in path.read_text().splitlines() if line.startswith("#"))
    assert path in BASES or f"--cfg configs/{path.parent.name}/{path.name}" in head
    said = (
        "Reproduces",
        "Expect",
        "to see that the",
        "Nothing is published",
        "What the MotionShapes",
    )
    assert any(words in head for words in said)


# Of miniatures that there are in several forms.
FORM = {"kinetics": "kinetics/ids", "ssv2": "ssv2/folders"}


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    """A data set in miniature by its registered name, made once."""
    kept: dict[str, Miniature] = {}

    def make(name):
        if name not in kept:
            make_it = MINIATURES[FORM.get(name, name)]
            kept[name] = make_it(tmp_path_factory.mktemp(name))
        return kept[name]

    return make


def in_small(cfg, data):
    """What is changed of a config to run it here: its network, its pictures, its machine.

    Clips keep their frames, videos their views.
    """
    size = 2 * cfg.TIMESFORMER.PATCH_SIZE
    small = {
        **data,
        "DATA.TRAIN_JITTER_SCALES": [size, size + 8],
        "DATA.TRAIN_CROP_SIZE": size,
        "DATA.TEST_CROP_SIZE": size,
        "NUM_GPUS": 0,
        "DATA_LOADER.NUM_WORKERS": 0,
        "TRAIN.COMPILE": "none",  # takes a minute each, and has tests of its own
        "TIMESFORMER.PRETRAINED_MODEL": "",
    }
    if cfg.MODEL.MODEL_NAME.startswith("resnet"):
        return small
    network = {"EMBED_DIM": 16, "DEPTH": 2, "NUM_HEADS": 2}
    return {
        **small,
        "MODEL.MODEL_NAME": "TimeSformer",
        "SOLVER.FROZEN_LAYERS": min(cfg.SOLVER.FROZEN_LAYERS, 1 + network["DEPTH"]),
        **{f"TIMESFORMER.{key}": value for key, value in network.items()},
    }


@pytest.mark.slow
@each_run
def test_a_shipped_config_runs(path, miniature, tmp_path):
    """Lists, decoder, augmentation, two steps, a validation, the test: as ``--dry-run`` does it."""
    cfg = load_config(path)
    changes = in_small(cfg, miniature(cfg.TRAIN.DATASET).settings)
    changes["OUTPUT_DIR"] = str(tmp_path / "run")
    said = dry_run(load_config(path, [item for pair in changes.items() for item in pair]))
    assert ("training:" in said) == cfg.TRAIN.ENABLE
    assert ("test:" in said) == cfg.TEST.ENABLE


def test_a_released_file_loads_unchanged(tmp_path):
    path = tmp_path / "TimeSformer_divST_8x32_224.yaml"
    path.write_text(RELEASED)
    cfg = load_config(path)
    assert cfg.SOLVER.WEIGHT_DECAY == 1e-4
    assert cfg.GLOBAL_BATCH_SIZE == 64
    with torch.device("meta"):
        model = build_model(cfg)
    assert sum(p.numel() for p in model.parameters()) == 121_566_352


def test_a_released_something_something_file_loads_unchanged(tmp_path):
    path = tmp_path / "TimeSformer_divST_8_224.yaml"
    path.write_text(RELEASED)
    cfg = load_config(path, [item for pair in RELEASED_SSV2.items() for item in pair])
    assert cfg.DATA.PATH_TO_DATA_DIR == "/path/to/ssv2/annotations/"
    assert cfg.DATA.REVERSE_INPUT_CHANNEL
