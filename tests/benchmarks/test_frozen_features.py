"""The probes of frozen features, on small pictures and random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks import frozen_features
from timesformer.config import load_config
from timesformer.datasets.motion_shapes import ensure_motion_shapes
from timesformer.models import build_model


def test_every_way_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(frozen_features, "SIZES", (28,))
    shapes, weights, out = tmp_path / "shapes", tmp_path / "vit.pth", tmp_path / "out.json"
    ensure_motion_shapes(shapes, task="appearance", num_train=24, num_val=1, num_test=8)
    still = ["TIMESFORMER.ATTENTION_TYPE", "space_only", "DATA.TRAIN_CROP_SIZE", "28"]
    torch.manual_seed(0)
    torch.save(build_model(load_config(frozen_features.CONFIG, still)).state_dict(), weights)
    monkeypatch.setattr(
        "sys.argv",
        ["x", "--lists", str(shapes), "--weights", str(weights), "--output", str(out)],
    )
    frozen_features.main()
    said = capsys.readouterr().out.splitlines()
    middle, mean, *directions, moved = said[-6:]
    assert middle.startswith("28 pixels, the middle frame: ")
    assert mean.startswith("28 pixels, the mean of 8 frames: ")
    assert [words.split(":")[0] for words in directions] == [
        f"forward or backward, after block {block}" for block in (3, 7, 11)
    ]
    assert out.is_file()
    shares = [float(words.split(": ")[1].rstrip(" %")) for words in moved[44:].split(", ")]
    assert shares == sorted(shares), "the larger the embedding, the further features move"
    assert 0 < shares[0] < shares[-1]


def test_what_tells_the_direction_of_time_changes_its_sign_with_it() -> None:
    torch.manual_seed(0)
    forward = torch.randn(3, 5, 4, 6)
    forward[:, 1:, :, 1] += forward[:, :-1, :, 0]  # the second component follows the first
    odd = frozen_features.odd_products(forward)
    torch.testing.assert_close(frozen_features.odd_products(forward.flip(1)), -odd)
    assert (odd.unflatten(1, (6, 6))[:, 0, 1] > 0.2).all()
