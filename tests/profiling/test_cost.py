"""FLOPs counted and by formula, memory on fake and on real tensors, and the paper's own numbers."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.engine.runs import REPO, TINY_CONFIG, run_process
from tests.models import tiny
from timesformer.config import load_config
from timesformer.errors import UserError
from timesformer.models import TimeSformer, VideoClassifier
from timesformer.models.attention import ATTENTION_SCHEMES, TokenGrid
from timesformer.profiling.cost import Cost, cost_of, expected, kept_bytes
from timesformer.profiling.flops import BLOCK_WORK, layers_of, measured_flops, nominal_flops
from timesformer.profiling.report import (
    AGREEMENT,
    PAPER_CLASSES,
    PAPER_MILLION_PARAMETERS,
    PAPER_MODELS,
    config_report,
    config_text,
    doubts,
    figure_3,
    model_report,
    paper_text,
    scheme_report,
)

MODEL_INFO = REPO / "tools" / "model_info.py"
SCHEMES = ATTENTION_SCHEMES.names()
# Odd everywhere, so that windows and lattices are of unlike sizes, and no two sides are the same.
ODD: dict[str, Any] = {"img_size": (40, 56), "num_frames": 3}
ODD_CLIP = (3, 3, 40, 56)
PARAMETERS = {
    "divided_space_time": 121_566_352,
    "joint_space_time": 86_112_400,
    "space_only": 86_106_256,
}


def tiny_model(**changes: Any) -> TimeSformer:
    return TimeSformer(**{**tiny.GEOMETRY, **changes})


def tiny_cost(clip: tuple[int, int, int, int] = ODD_CLIP, **changes: Any) -> Cost:
    return cost_of(lambda: tiny_model(**{**ODD, **changes}), clip)


@pytest.mark.parametrize("grid", [(3, 5, 7), (1, 1, 1), (2, 1, 5), (5, 4, 1)])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_counted_flops_are_those_of_the_formula(scheme: str, grid: tuple[int, int, int]) -> None:
    """To the last multiply-add: on odd sides, and where there is nothing to halve."""
    frames, rows, columns = grid
    clip = (3, frames, 8 * rows, 8 * columns)
    with torch.device("meta"):
        model = tiny_model(img_size=clip[2:], num_frames=frames, attention_type=scheme)
    flops, uncounted = measured_flops(model, clip)
    assert uncounted == ()
    assert flops == expected(model, clip)[1]


def test_a_clip_of_another_size_than_the_network_was_built_for() -> None:
    cost = tiny_cost((3, 6, 24, 48))
    assert cost.tokens == 1 + 6 * 3 * 6
    assert (
        cost.measured_flops
        == cost.formula_flops
        == tiny_cost((3, 6, 24, 48), img_size=(24, 48), num_frames=6).formula_flops
    )


def test_a_head_of_two_layers_counts_both() -> None:
    cost, plain = tiny_cost(head_hidden_dim=7), tiny_cost()
    assert cost.measured_flops == cost.formula_flops
    assert cost.measured_flops - plain.measured_flops == 24 * 7 + 7 * 5 - 24 * 5


def test_tokens() -> None:
    assert tiny_cost().tokens == 1 + 3 * 35
    assert tiny_cost(attention_type="space_only").tokens == 3 * (1 + 35)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_matrix_products_of_attention_by_hand(scheme: str) -> None:
    """On 2 x 2 patches and 2 frames, counted on paper: (sequences, length), tokens of fc, MLP."""
    by_hand = {
        "space_only": ([], [(2, 5)], 0, 10, 2),
        "joint_space_time": ([], [(1, 9)], 0, 9, 1),
        "divided_space_time": ([(5, 2)], [(2, 5)], 10, 10, 2),
        "axial": ([(5, 2), (4, 3)], [(4, 3)], 20, 10, 2),
        "sparse_local_global": ([(1, 3)] * 4, [(1, 2)] * 8, 9, 9, 1),
    }
    assert BLOCK_WORK[scheme](TokenGrid(2, 2, 2)) == by_hand[scheme]


def test_nominal_flops_are_those_of_blocks_in_full_with_one_class_token() -> None:
    """By hand: 24 wide, 3 x 35 patches and the class token, 2 blocks; MLP and head as they are."""
    with torch.device("meta"):
        layers = layers_of(tiny_model(**ODD).model)
    grid, square = TokenGrid(3, 5, 7), 24 * 24
    rest = 105 * layers.patch_embed + layers.head
    for scheme, (linear, pairs) in {
        "space_only": (4 * 3 * 36, 3 * 36**2),
        "joint_space_time": (4 * 106, 106**2),
        # time: qkv, proj and fc of the patches; space: every frame with its class token
        "divided_space_time": (5 * 105 + 4 * 3 * 36, 35 * 3**2 + 3 * 36**2),
        # rows of 7 and their fc, with the class token once; columns of 5
        "axial": (5 * 105 + 4 * 15 * 8 + 106 + 4 * 21 * 6, 35 * 3**2 + 15 * 8**2 + 21 * 6**2),
    }.items():
        tokens = 3 * 36 if scheme == "space_only" else 106
        block = linear * square + 2 * 24 * pairs + tokens * layers.mlp
        assert nominal_flops(scheme, grid, layers) == rest + layers.depth * block


class ConvLSTM(VideoClassifier):
    """No TimeSformer: convolutions, a linear layer between them, both kinds of recurrence."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 8)
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.conv = nn.Conv3d(4, 6, (3, 1, 1), padding=(1, 0, 0), groups=2)
        self.lstm = nn.LSTM(6, 7, num_layers=2, bidirectional=True, batch_first=True)
        self.gru = nn.GRU(14, 5, batch_first=True)

    def forward(self, clip: Tensor) -> Tensor:
        frames = self.fc(clip).transpose(1, 2).flatten(0, 1)
        maps = self.norm(self.stem(frames)).unflatten(0, (len(clip), -1)).transpose(1, 2)
        series = self.conv(maps).mean((3, 4)).transpose(1, 2)
        return self.gru(self.lstm(series)[0])[0][:, -1]

    def set_grad_checkpointing(self, enable: bool) -> None:
        if enable:
            raise UserError("this model cannot")


CONV_LSTM_FLOPS = (
    3 * 4 * 8 * 8 * 8  # fc: C T H W x 8
    + 4 * (4 * 4) * 4 * 27  # stem: T, 4 x 4 outputs of 4 channels, 3*3*3 weights
    + 4 * (4 * 4) * 6 * (2 * 3)  # conv: half of the 4 channels, 3 frames
    + 4 * 2 * (4 * 7 * (6 + 7))  # first layer of the LSTM, both directions
    + 4 * 2 * (4 * 7 * (14 + 7))  # second
    + 4 * (3 * 5 * (14 + 5))  # GRU
)


def test_a_model_without_a_formula_is_still_measured() -> None:
    cost = cost_of(ConvLSTM, (3, 4, 8, 8))
    assert cost.measured_flops == CONV_LSTM_FLOPS
    assert (cost.tokens, cost.formula_flops, cost.difference) == (None, None, None)
    assert cost.uncounted == ()
    assert cost.kept_bytes > 0
    assert cost.kept_bytes_checkpointed is None


@pytest.mark.parametrize("name", ["vit_base_patch16_224", "resnet18_average", "resnet18_lstm"])
def test_other_names_are_measured(name: str) -> None:
    changes = {} if name.startswith("vit") else tiny.WITHOUT_TIMESFORMER
    report = config_report(tiny.tiny_cfg(MODEL__MODEL_NAME=name, **changes))
    assert report["measured_flops"] > 0
    assert doubts([report]) == []
    assert name in config_text(report)


def test_what_cannot_be_counted_is_said() -> None:
    class Inverse(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return torch.linalg.inv(x)

    with torch.device("meta"):
        model, transposed = Inverse(1, 1), nn.ConvTranspose3d(3, 3, 1)
        by_name = nn.Conv3d(3, 3, 3, padding="same")
    flops, uncounted = measured_flops(model, (3, 4, 8, 8))
    assert (flops, uncounted) == (0, ("aten::linalg_inv",))
    for module in (transposed, by_name):
        with pytest.raises(UserError, match="can(not)? be counted here"):
            measured_flops(module, (3, 1, 8, 8))


def test_numbers_that_disagree_are_called_wrong() -> None:
    row = {"name": "net", "uncounted": ("aten::fft",), "difference": -2 * AGREEMENT}
    first, second = doubts([row])
    assert "aten::fft" in first
    assert "differ by -2.00%" in second
    assert doubts([row | {"uncounted": (), "difference": AGREEMENT / 2}]) == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_memory_is_what_a_real_forward_pass_keeps(scheme: str) -> None:
    changes = {**ODD, "attention_type": scheme, "drop_rate": 0.1, "drop_path_rate": 0.2}
    fake = tiny_cost(**changes)
    model = tiny_model(**changes)
    clip = torch.zeros(1, *ODD_CLIP)
    assert fake.kept_bytes == kept_bytes(model, clip)
    model.set_grad_checkpointing(True)
    assert fake.kept_bytes_checkpointed == kept_bytes(model, clip)
    assert fake.kept_bytes_checkpointed < fake.kept_bytes / 2


def test_kept_bytes_of_two_layers_by_hand() -> None:
    """The inputs of both layers and the mask that ReLU keeps, which is its own output."""
    model = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
    clip = torch.zeros(7, 3)
    assert kept_bytes(model, clip) == 4 * (7 * 3 + 7 * 5)


def test_joint_attention_keeps_no_matrix_of_all_pairs_even_with_dropout() -> None:
    changes: dict[str, Any] = {"attention_type": "joint_space_time", "attn_drop_rate": 0.1}
    short, long = (tiny_cost((3, frames, 16, 16), **changes) for frames in (16, 64))
    assert long.kept_bytes < 4.1 * short.kept_bytes


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_has_the_parameters_of_table_1(scheme: str) -> None:
    with torch.device("meta"):
        model = TimeSformer(attention_type=scheme, num_classes=PAPER_CLASSES)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert round(count / 1e6, 1) == PAPER_MILLION_PARAMETERS[scheme]


@pytest.fixture(scope="module")
def scheme_reports() -> list[dict[str, Any]]:
    return [scheme_report(name) for name in PARAMETERS]


@pytest.fixture(scope="module")
def model_reports() -> list[dict[str, Any]]:
    return [model_report(name) for name in PAPER_MODELS]


def test_the_schemes_stand_beside_table_1(scheme_reports: list[dict[str, Any]]) -> None:
    for row in scheme_reports:
        assert row["parameters"] == PARAMETERS[row["name"]]
        million = round(row["parameters_174_classes"] / 1e6, 1)
        assert million == row["paper_million_parameters"]
        assert row["measured_flops"] == row["formula_flops"]
        assert row["kept_bytes_checkpointed"] < row["kept_bytes"] / 10


def test_the_models_cost_what_the_paper_says(model_reports: list[dict[str, Any]]) -> None:
    for row in model_reports:
        assert row["tflops_3_views"] == pytest.approx(row["paper_tflops"], rel=0.02)
        assert abs(row["difference_to_paper"]) < 0.02
    assert model_reports[0]["nominal_flops"] == pytest.approx(196e9, rel=0.02)
    assert model_reports[0]["measured_flops"] < 0.96 * model_reports[0]["nominal_flops"]


def test_joint_attention_is_cheap_only_where_tokens_are_few() -> None:
    ratios = {
        (row["frames"], row["size"]): row["joint_space_time"] / row["divided_space_time"]
        for row in figure_3()
    }
    assert ratios[8, 224] < 1 < ratios[8, 336] < ratios[8, 448] < ratios[8, 1024]
    assert 1 < ratios[16, 224] < ratios[96, 224]
    assert ratios[96, 224] > 3


def test_the_papers_tables_as_text(
    scheme_reports: list[dict[str, Any]], model_reports: list[dict[str, Any]]
) -> None:
    report = {"schemes": scheme_reports, "models": model_reports, "figure_3": figure_3()}
    text = paper_text(report)
    for words in (*PARAMETERS, *PAPER_MODELS, "121.57", "195.8", "96 x 224"):
        assert words in text
    assert max(map(len, text.splitlines())) < 120
    assert "wrong" not in text
    assert json.loads(json.dumps(report))["models"][0]["frames"] == 8


def test_a_video_costs_its_views_and_training_has_its_own_size() -> None:
    changes = {"TEST.NUM_ENSEMBLE_VIEWS": 2, "TEST.NUM_SPATIAL_CROPS": 3}
    sizes = {"DATA.TRAIN_CROP_SIZE": 24, "DATA.TEST_CROP_SIZE": 32}
    opts = [item for pair in (changes | sizes).items() for item in pair]
    report = config_report(load_config(TINY_CONFIG, opts))
    assert report["view"][2:] == (32, 32)
    assert report["train_clip"][2:] == (24, 24)
    assert report["views_per_video"] == 6
    assert report["measured_flops_per_video"] == 6 * report["measured_flops"]


def model_info(*args: str) -> subprocess.CompletedProcess[str]:
    return run_process([sys.executable, str(MODEL_INFO), *args])


def test_the_door_prints_a_table() -> None:
    opts = ["TIMESFORMER.DEPTH", "1"]
    answer = model_info("--cfg", str(TINY_CONFIG), *opts)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == config_text(config_report(load_config(TINY_CONFIG, opts))) + "\n"


def test_the_door_prints_the_same_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["--cfg", str(TINY_CONFIG), "TIMESFORMER.DEPTH", "1", "--json"]
    monkeypatch.setattr(sys, "argv", [str(MODEL_INFO), *args])
    runpy.run_path(str(MODEL_INFO), run_name="__main__")
    report = json.loads(capsys.readouterr().out)
    assert report["difference"] == 0
    assert config_text(report) == config_text(config_report(load_config(TINY_CONFIG, args[2:4])))


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("--cfg", "missing.yaml"), "there is no config file missing.yaml"),
        (("--cfg", str(TINY_CONFIG), "TIMESFORMER.DEPHT", "2"), "not a config key"),
        (("--all", "TIMESFORMER.DEPTH", "2"), "takes no KEY VALUE"),
    ],
)
def test_a_mistake_is_answered_by_a_sentence(args: tuple[str, ...], sentence: str) -> None:
    answer = model_info(*args)
    assert answer.returncode == 1
    assert answer.stderr.startswith("error: ")
    assert sentence in answer.stderr
    assert answer.stderr.count("\n") == 1
