"""A checkpoint becomes a model with its config and its names, or a sentence."""

import shutil

import pytest
import torch

from tests.engine.runs import TINY_CONFIG
from tests.shared_data import DATA, needs_shared_data
from timesformer.errors import UserError
from timesformer.inference.load import load_trained
from timesformer.synthetic.direction import CLASSES


@pytest.fixture
def checkpoint(run, tmp_path):
    """A copy of the run's checkpoint, with nothing beside it."""
    source = run / "checkpoints" / "checkpoint_epoch_00001.pyth"
    return shutil.copy(source, tmp_path / "some.pyth")


def test_the_folder_of_a_run_stands_for_its_newest_checkpoint(run):
    trained = load_trained(run)
    assert trained.source == str(run / "checkpoints" / "checkpoint_epoch_00001.pyth")
    assert trained.class_names == CLASSES
    assert trained.device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert not trained.model.training
    assert trained.cfg.is_frozen()
    assert not trained.averaged
    assert load_trained(run / "checkpoints").source == trained.source


def test_a_checkpoint_knows_its_config(checkpoint):
    trained = load_trained(checkpoint, overrides=["TEST.NUM_SPATIAL_CROPS", "1"], device="cpu")
    assert (trained.cfg.TEST.NUM_SPATIAL_CROPS, trained.cfg.NUM_GPUS) == (1, 0)
    assert trained.cfg.TIMESFORMER.EMBED_DIM == 16


def test_a_file_without_config_takes_the_one_beside_it_or_asks(run, checkpoint, tmp_path):
    state = torch.load(checkpoint, weights_only=True)["model_state"]
    torch.save({"model_state": state}, checkpoint)
    with pytest.raises(UserError, match=r"does not say how it was trained.*--cfg"):
        load_trained(checkpoint)
    shutil.copy(run / "config.yaml", tmp_path / "config.yaml")
    trained = load_trained(checkpoint)
    # Nor does it know the names; those of its data are in the folder of the data.
    assert trained.class_names == CLASSES
    lost = load_trained(checkpoint, overrides=["DATA.PATH_TO_DATA_DIR", str(tmp_path)])
    assert lost.class_names == ("0", "1", "2", "3")


def test_what_was_meant_for_the_machine_of_the_training_is_not_asked_of_this_one(checkpoint):
    content = torch.load(checkpoint, weights_only=True)
    content["cfg"] += "\n"
    for there, here in (
        ("NUM_GPUS: 0", "NUM_GPUS: 8"),
        ("PRECISION: fp32", "PRECISION: fp16"),
        ("DECODER: pyav", "DECODER: torchcodec_cuda"),
        ("COMPILE: none", "COMPILE: model"),
    ):
        assert there in content["cfg"]
        content["cfg"] = content["cfg"].replace(there, here)
    torch.save(content, checkpoint)
    cfg = load_trained(checkpoint, device="cpu").cfg
    assert (cfg.NUM_GPUS, cfg.TRAIN.PRECISION, cfg.TRAIN.COMPILE) == (0, "fp32", "none")
    assert cfg.DATA.DECODER == "pyav"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"checkpoint": "nowhere.pyth"}, "There is no weights file 'nowhere.pyth'"),
        ({"cfg_file": "nowhere.yaml"}, "there is no config file nowhere.yaml"),
        ({"overrides": ["TEST.NUM_VIEWS", "1"]}, "TEST.NUM_VIEWS is not a config key"),
        ({"overrides": ["MODEL.NUM_CLASSES", "5"]}, "leaves weights of the model random"),
        ({"averaged": True}, "holds no average of the weights"),
        ({"device": "gpu"}, "The device 'gpu' is not known: use auto, cpu, cuda or cuda:1"),
        ({"device": "cuda:99"}, "The device 'cuda:99' is not there"),
    ],
)
def test_mistakes_are_sentences(checkpoint, changes, words):
    with pytest.raises(UserError, match=words):
        load_trained(**{"checkpoint": checkpoint, **changes})


def test_a_run_without_checkpoints_is_a_sentence(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(UserError, match="holds no checkpoint that is whole"):
        load_trained(tmp_path)


@needs_shared_data
def test_published_weights_need_a_config():
    """Those of an image network have none; nor are they all of a video network."""
    weights = next(iter(sorted((DATA / "weights").rglob("*.safetensors"))), None)
    if weights is None:
        pytest.skip("no published weights there")
    with pytest.raises(UserError, match="does not say how it was trained"):
        load_trained(weights)
    with pytest.raises(UserError):
        load_trained(weights, cfg_file=TINY_CONFIG)
