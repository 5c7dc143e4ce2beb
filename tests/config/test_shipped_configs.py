"""Every YAML that ships, and the released ones as they were published, load and build."""

from pathlib import Path

import pytest
import torch

from timesformer.config import load_config
from timesformer.models import build_model

CONFIGS = Path(__file__).parents[2] / "configs"
SHIPPED = sorted(CONFIGS.rglob("*.yaml"))

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


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_shipped_config_builds_its_model(path):
    cfg = load_config(path)
    with torch.device("meta"):
        model = build_model(cfg)
    assert sum(p.numel() for p in model.parameters()) > 0


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_shipped_config_says_what_it_is_for(path):
    head = "".join(line for line in path.read_text().splitlines() if line.startswith("#"))
    assert path.name == "base.yaml" or f"--cfg configs/{path.parent.name}/{path.name}" in head
    said = (
        "Reproduces",
        "Expect",
        "to see that the",
        "Nothing is published",
        "What the MotionShapes",
    )
    assert any(words in head for words in said)


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
