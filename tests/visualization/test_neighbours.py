"""Which videos a model takes for the most like another one."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from timesformer import Predictor
from timesformer.errors import UserError
from timesformer.visualization.neighbours import show_neighbours, table


def test_a_copy_is_the_nearest_and_the_query_does_not_count(
    predictor: Predictor, clips: list[Path], tmp_path: Path
) -> None:
    copy = tmp_path / "copy.mp4"
    shutil.copyfile(clips[6], copy)
    found, paths = show_neighbours(str(copy), predictor, tmp_path / "near", k=3)
    assert [path.name for path in paths] == ["near.png", "near.npz"]
    assert (Path(found[0].path).name, found[0].name) == (clips[6].name, "left")
    assert found[0].cosine == pytest.approx(1.0, abs=1e-5)
    assert found[1].cosine >= found[2].cosine
    own, _ = show_neighbours(
        str(clips[6]), predictor, tmp_path / "own", k=3, features_file=str(paths[1])
    )
    assert [near.path for near in own] == [near.path for near in found[1:]] + [own[2].path]
    with Image.open(paths[0]) as picture:
        assert picture.height > 4 * 112
    lines = table(found).splitlines()
    assert lines[0].split()[:3] == ["1", "1.000", "left"]


def test_a_neighbour_that_is_gone_is_grey(
    predictor: Predictor, clips: list[Path], tmp_path: Path
) -> None:
    bank = tmp_path / "bank.npz"
    values = predictor.features([clips[0]])
    gone = np.array([str(tmp_path / "gone.mp4")])
    np.savez(bank, videos=gone, features=values, labels=np.array([2]))
    out = tmp_path / "near"
    found, _ = show_neighbours(str(clips[0]), predictor, out, features_file=str(bank))
    assert [near.path for near in found] == gone.tolist()
    assert (tmp_path / "near.png").is_file()


def test_mistakes(predictor: Predictor, clips: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="-k is 0; it must be at least 1"):
        show_neighbours(str(clips[0]), predictor, tmp_path / "out", k=0)
    with pytest.raises(UserError, match="the video '.*none.mp4' cannot be read"):
        show_neighbours(str(tmp_path / "none.mp4"), predictor, tmp_path / "out")
    np.savez(
        tmp_path / "other.npz",
        videos=np.array(["a.mp4"]),
        features=np.ones((1, 3)),
        labels=np.array([0]),
    )
    with pytest.raises(UserError, match="they are of another model"):
        show_neighbours(
            str(clips[0]), predictor, tmp_path / "out", features_file=str(tmp_path / "other.npz")
        )
