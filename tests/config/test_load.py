"""Merging: files, bases, the command line; and what is said of mistakes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from timesformer.config import dump, get_cfg, legacy, load_config
from timesformer.config.defaults import KEYS
from timesformer.errors import UserError


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_defaults_pass_their_own_checks():
    cfg = get_cfg()
    for key in KEYS.values():
        assert key.accept(key.default, "defaults") == key.default
    assert cfg.TRAIN.BATCH_SIZE == 64


def test_command_line_wins_over_file_over_base(tmp_path):
    write(tmp_path / "base.yaml", "SOLVER: {BASE_LR: 0.1, MAX_EPOCH: 7}\nLOG_PERIOD: 3\n")
    child = write(tmp_path / "child.yaml", "_BASE_: base.yaml\nSOLVER: {MAX_EPOCH: 8}\n")
    cfg = load_config(child, ["LOG_PERIOD", "5"])
    assert (cfg.SOLVER.BASE_LR, cfg.SOLVER.MAX_EPOCH, cfg.LOG_PERIOD) == (0.1, 8, 5)


def test_the_config_is_frozen():
    cfg = load_config()
    with pytest.raises(AttributeError, match="immutable"):
        cfg.TRAIN.BATCH_SIZE = 3


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-4", 1e-4), ("0.05", 0.05), ("1", 1.0), (1e-4, 1e-4), ("1E-4", 1e-4)],
)
def test_numbers_however_they_are_spelled(text, value):
    assert load_config(None, ["SOLVER.WEIGHT_DECAY", text]).SOLVER.WEIGHT_DECAY == value


def test_lists_and_booleans_from_the_command_line():
    cfg = load_config(None, ["DATA.TRAIN_JITTER_SCALES", "[256, 300]", "DATA.RANDOM_FLIP", "False"])
    assert cfg.DATA.TRAIN_JITTER_SCALES == [256, 300]
    assert cfg.DATA.RANDOM_FLIP is False


@pytest.mark.parametrize(
    ("opts", "sentence"),
    [
        (
            ["TRAIN.BATCHSIZE", "8"],
            "TRAIN.BATCHSIZE is not a config key. Did you mean 'TRAIN.BATCH",
        ),
        (["QUUX", "8"], "QUUX is not a config key"),
        (["TRAIN.BATCH_SIZE", "many"], "TRAIN.BATCH_SIZE is 'many', but must be int, at least 1"),
        (["TRAIN.BATCH_SIZE", "8.5"], "TRAIN.BATCH_SIZE is 8.5, but must be int"),
        (["TRAIN.BATCH_SIZE", "True"], "TRAIN.BATCH_SIZE is True, but must be int"),
        (["TRAIN.ENABLE", "1"], "TRAIN.ENABLE is 1, but must be bool"),
        (["SOLVER.BASE_LR", "0"], "SOLVER.BASE_LR is 0, but must be float, above 0"),
        (["TRAIN.PRECISION", "fp8"], "one of fp32, tf32, bf16, fp16"),
        (["DATA.MEAN", "[0.5]"], "DATA.MEAN is \\[0.5\\], but must be list of float"),
        (["DATA.INPUT_CHANNEL_NUM", "[1]"], "must be list of int, \\[3\\]"),
        (["TRAIN", "3"], "TRAIN is not a config key. It is a section; its keys are TRAIN.ENABLE"),
        (["TRAIN.BATCH_SIZE.X", "3"], "TRAIN.BATCH_SIZE.X is not a config key. Did you mean"),
        (["SOLVER.BASE_LR", ".inf"], "SOLVER.BASE_LR is inf, but must be float"),
        (["DATA.MEAN", "[.nan, 0, 0]"], "DATA.MEAN is .nan, 0, 0., but must be list of float"),
        (["RNG_SEED", "99999999999999999999"], "RNG_SEED is 9+, but must be int, from 0 to"),
        (["LOG_PERIOD", "null"], "LOG_PERIOD is None, but must be int"),
        (["OUTPUT_DIR", 3], "OUTPUT_DIR is 3, but must be str .folder for"),
        (["LOG_PERIOD"], "KEY VALUE pairs, but 'LOG_PERIOD' has no partner"),
    ],
)
def test_a_mistake_is_answered_with_a_sentence(opts, sentence):
    with pytest.raises(UserError, match=sentence):
        load_config(None, opts)


def test_mistakes_in_files_name_the_file(tmp_path):
    path = write(tmp_path / "x.yaml", "TRAIN:\n  BATCH_SIZ: 8\n")
    with pytest.raises(UserError, match="x.yaml: TRAIN.BATCH_SIZ is not a config key. Did you"):
        load_config(path)
    with pytest.raises(UserError, match="there is no config file .*missing.yaml"):
        load_config(tmp_path / "missing.yaml")
    with pytest.raises(UserError, match="bad.yaml is not valid YAML"):
        load_config(write(tmp_path / "bad.yaml", "TRAIN: [1\n"))
    with pytest.raises(UserError, match="list.yaml"):
        load_config(write(tmp_path / "list.yaml", "- 1\n"))
    with pytest.raises(UserError, match="empty.yaml"):
        load_config(write(tmp_path / "empty.yaml", ""))
    with pytest.raises(UserError, match="base.yaml: _BASE_ is 3, but must name a file"):
        load_config(write(tmp_path / "base.yaml", "_BASE_: 3\n"))
    with pytest.raises(UserError, match="twice.yaml .*the key TRAIN stands there twice"):
        load_config(write(tmp_path / "twice.yaml", "TRAIN: {ENABLE: True}\nTRAIN: {}\n"))


def test_bases_in_a_circle(tmp_path):
    write(tmp_path / "a.yaml", "_BASE_: b.yaml\n")
    write(tmp_path / "b.yaml", "_BASE_: a.yaml\n")
    with pytest.raises(UserError, match="a.yaml inherits from itself through _BASE_"):
        load_config(tmp_path / "a.yaml")


def test_yaml_never_executes(tmp_path):
    mark = tmp_path / "mark"
    evil = f"OUTPUT_DIR: !!python/object/apply:os.system ['touch {mark}']\n"
    with pytest.raises(UserError, match="not valid YAML"):
        load_config(write(tmp_path / "evil.yaml", evil))
    assert not mark.exists()


def test_paths_are_expanded_and_stripped(monkeypatch):
    monkeypatch.setenv("VIDEOS", "/videos")
    monkeypatch.delenv("NOWHERE", raising=False)
    opts = ["DATA.PATH_TO_DATA_DIR", " $VIDEOS/lists", "OUTPUT_DIR", "~/runs"]
    cfg = load_config(None, opts)
    assert cfg.DATA.PATH_TO_DATA_DIR == "/videos/lists"
    assert os.path.expanduser("~/runs") == cfg.OUTPUT_DIR
    with pytest.raises(UserError, match="OUTPUT_DIR is .*NOWHERE is not set"):
        load_config(None, ["OUTPUT_DIR", "$NOWHERE/x"])


def test_legacy_keys_are_warned_about_once(caplog, monkeypatch):
    monkeypatch.setattr(legacy, "_warned", set())
    load_config(None, ["MODEL.DROPOUT_RATE", "0.5"])
    load_config(None, ["MODEL.DROPOUT_RATE", "0.5"])
    assert caplog.text.count("MODEL.DROPOUT_RATE has no effect") == 1
    with pytest.raises(
        UserError, match="TEST.CHECKPOINT_TYPE is 'caffe2', which cannot be honoured"
    ):
        load_config(None, ["TEST.CHECKPOINT_TYPE", "caffe2"])


def test_no_legacy_key_is_also_a_key():
    assert not set(legacy.LEGACY) & set(KEYS)


def test_a_dumped_config_loads_to_the_same(tmp_path):
    cfg = load_config(None, ["SOLVER.BASE_LR", "3e-4", "OUTPUT_DIR", "/tmp/x"])
    dump(cfg, tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml") == cfg


def test_config_mistakes_do_not_wait_for_torch():
    code = "import sys, timesformer.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["out #3", "2024", "010", "1e5", "yes", "a: b"])
def test_strings_are_taken_as_they_stand(name):
    assert load_config(None, ["OUTPUT_DIR", name]).OUTPUT_DIR == name
