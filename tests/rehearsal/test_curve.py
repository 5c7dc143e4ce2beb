"""What a curve of losses says about learning rates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from timesformer.rehearsal.curve import Curve, draw

RATES = np.geomspace(1e-6, 1, 61).tolist()  # ten to a power of ten


def curve(losses: np.ndarray, diverged: bool = True) -> Curve:
    return Curve(RATES[: len(losses)], losses.tolist(), diverged)


def falling(middle: float, lowest: float) -> np.ndarray:
    """From 2 to 1, steepest at the rate `middle`; above `lowest` it runs away."""
    powers = np.log10(RATES)
    fall = 2 - 1 / (1 + np.exp(-4 * (powers - np.log10(middle))))
    return fall + 3 * np.maximum(powers - np.log10(lowest), 0) ** 2


def test_the_steepest_descent_and_a_tenth_of_the_lowest() -> None:
    found = curve(falling(middle=1e-3, lowest=1e-2))
    assert found.falls
    assert found.steepest == pytest.approx(1e-3, rel=0.3)
    assert found.tenth == pytest.approx(1e-3, rel=0.5)


def test_noise_moves_it_little() -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, len(RATES))
    found = curve(falling(middle=1e-3, lowest=1e-2) + noise)
    assert found.steepest == pytest.approx(1e-3, rel=1)


def test_smoothing_shifts_nothing_and_keeps_what_is_even() -> None:
    assert curve(np.full(20, 3.0)).smoothed == pytest.approx(np.full(20, 3.0))
    peak = np.zeros(61)
    peak[30] = 1
    smoothed = curve(peak).smoothed
    assert smoothed.argmax() == 30
    assert smoothed == pytest.approx(smoothed[::-1])
    assert len(curve(np.ones(2)).smoothed) == 2


NOISE = np.random.default_rng(1).normal(1.5, 0.2, 61)


@pytest.mark.parametrize("losses", [np.full(61, 1.5), np.linspace(1.0, 3.0, 61), NOISE])
def test_nothing_is_suggested_where_the_loss_does_not_fall(losses: np.ndarray) -> None:
    found = curve(losses)
    assert not found.falls
    assert found.steepest is None
    assert found.tenth is None
    assert found.as_json()["steepest"] is None


@pytest.mark.parametrize("losses", [falling(1e-3, 1e-2), np.full(12, 1.5)])
def test_it_is_drawn(losses: np.ndarray, tmp_path: Path) -> None:
    with (tmp_path / "curve.png").open("wb") as file:
        draw(curve(losses), 5e-4, file)
    with Image.open(tmp_path / "curve.png") as image:
        assert image.size == (960, 600)
