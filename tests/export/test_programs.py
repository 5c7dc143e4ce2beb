"""Networks as programs: what another runtime computes from them is what they compute."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.export.test_weight_formats import SCHEMES, random_network, refusal, trained
from tests.models.tiny import clip, randomise, tiny_network
from timesformer.errors import UserError
from timesformer.export import programs
from timesformer.export.convert import convert
from timesformer.export.programs import compared, onnx_session

# Float32, logits of about 1, sums in another order.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
# The graph of a sparse block is eight times that of another: one block of few windows and lattices.
SMALL: dict[str, dict[str, Any]] = {
    "sparse_local_global": {"depth": 1, "img_size": (8, 24), "num_frames": 3}
}


def assert_computes(program: Any, scheme: str, **changes: Any) -> None:
    """At batches that it was neither traced nor compared at."""
    network = random_network(scheme, **changes)
    size = {name: 8 * getattr(network.grid, name) for name in ("height", "width")}
    for batch in (2, 5):
        clips = clip(batch, network.grid.frames, **size)
        with torch.no_grad():
            torch.testing.assert_close(program(clips), network(clips), **CLOSE)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_torch_export(scheme: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    changes = SMALL.get(scheme, {})
    path, out = trained(tmp_path, scheme, **changes), tmp_path / "new" / "out.pt2"
    with caplog.at_level(logging.INFO, "timesformer"):
        convert(path, out, "torch_export")
    assert f"Wrote {out} (torch_export): logits within " in caplog.text
    extra = {"geometry.json": ""}
    program = torch.export.load(out, extra_files=extra)
    assert_computes(program.module(), scheme, **changes)
    assert json.loads(extra["geometry.json"])["num_heads"] == 3
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize(
    "scheme",
    [pytest.param(s, marks=pytest.mark.slow if s in ("axial", *SMALL) else ()) for s in SCHEMES],
)
def test_onnx(scheme: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    changes = {"depth": 1, "head_hidden_dim": 7} | SMALL.get(scheme, {})
    path, out = trained(tmp_path, scheme, **changes), tmp_path / "out.onnx"
    with caplog.at_level(logging.INFO, "timesformer"):
        convert(path, out, "onnx")
    assert f"Wrote {out} (onnx): logits within " in caplog.text
    assert_computes(onnx_session(out), scheme, **changes)
    onnx.checker.check_model(str(out))
    about = {entry.key: entry.value for entry in onnx.load(str(out)).metadata_props}
    assert json.loads(about["geometry"])["attention_type"] == scheme
    assert sorted(tmp_path.iterdir()) == [path, out]


def test_onnx_with_its_weights_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    onnx = pytest.importorskip("onnx")
    monkeypatch.setattr(programs, "LARGEST_ONNX_BYTES", 1000)
    monkeypatch.setattr(programs, "MOST_NODES_TO_OPTIMISE", 1)  # and as a large graph is written
    path, out = trained(tmp_path, "space_only", depth=1), tmp_path / "out.onnx"
    with caplog.at_level(logging.INFO, "timesformer"):
        convert(path, out, "onnx")
    assert "keep 'out.onnx.data' with it" in caplog.text
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "in.pyth",
        "out.onnx",
        "out.onnx.data",
    ]
    assert_computes(onnx_session(out), "space_only", depth=1)
    whole = {tensor.name: tensor for tensor in onnx.load(str(out)).graph.initializer}
    assert len(whole["head.weight"].raw_data) == 4 * 5 * 24
    assert refusal(path, out, "onnx").startswith(f"'{out}' exists already")


def test_half_precision_of_another_size_without_a_head(tmp_path: Path) -> None:
    path = trained(tmp_path, dtype=torch.float16, depth=1, num_classes=0)
    convert(path, tmp_path / "out.pt2", "torch_export", num_frames=2, img_size=24)
    program = torch.export.load(tmp_path / "out.pt2").module()
    assert program(clip(5, 2, 24, 24)).shape == (5, 24)


def test_weights_that_are_no_numbers_leave_no_file(tmp_path: Path) -> None:
    network = random_network(depth=1)
    state = network.state_dict()
    state["norm.bias"][0] = float("nan")
    path = tmp_path / "in.pth"
    torch.save({"state_dict": state, "geometry": network.geometry}, path)
    sentence = refusal(path, tmp_path / "out.pt2", "torch_export")
    assert "'out.pt2' was removed: its logits differ from the network's by nan of the l" in sentence
    assert list(tmp_path.iterdir()) == [path]


def off_by(part: float) -> Any:
    """The logits of the tiny network, but for `part` of the largest in a single one."""
    network = random_network()

    def program(clips: Tensor) -> Tensor:
        logits = network(clips).clone()
        logits[-1, -1] += part * logits.abs().max()
        return logits

    return program


@pytest.mark.parametrize(("part", "far"), [(0.0, False), (9e-5, False), (1.1e-4, True)])
def test_how_far_logits_may_be(part: float, far: bool) -> None:
    if not far:
        assert f"logits within {part:.1e}"[:-4] in compared(
            random_network(), off_by(part), Path("x.onnx")
        )
        return
    with pytest.raises(UserError, match=r"'x.onnx' was removed: .* by 1.1e-04 of the largest, and"):
        compared(random_network(), off_by(part), Path("x.onnx"))


def test_a_network_of_other_weights_is_no_match() -> None:
    other = tiny_network().eval().requires_grad_(False)
    randomise(other)
    other.head.bias += 0.01
    with pytest.raises(UserError, match="was removed: its logits differ"):
        compared(random_network(), other, Path("x.pt2"))


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_missing_packages_are_named_first(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)  # how Python is told that it is not there
    sentence = refusal(tmp_path / "none.pyth", tmp_path / "out.onnx", "onnx")
    assert f"onnx, onnxscript, onnxruntime, and {missing} is not there: pip install 't" in sentence


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path = trained(tmp_path, depth=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # no file may be larger: EFBIG
    try:
        sentence = refusal(path, tmp_path / "out.pt2", "torch_export")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "'out.pt2' could not be written (" in sentence
    assert list(tmp_path.iterdir()) == [path]
