"""What was kept is found again, as far as it was written."""

import numpy as np
import pytest

from timesformer.errors import UserError
from timesformer.inference.kept import KeptRows

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)


def filled(out, count=3):
    with KeptRows(out, {"config": "a"}) as kept:
        for number in range(count):
            kept.add(f"{number}.mp4", ROWS[number])
    return kept.folder


def test_rows_come_back_by_video(tmp_path):
    filled(tmp_path / "out.csv")
    with KeptRows(tmp_path / "out.csv", {"config": "a"}) as kept:
        assert list(kept.places) == ["0.mp4", "1.mp4", "2.mp4"]
        kept.add("3.mp4", ROWS[3])
        assert np.array_equal(kept.values(["3.mp4", "0.mp4"]), ROWS[[3, 0]])
        kept.discard()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file", ["rows.f32", "done.jsonl"])
def test_what_was_half_written_is_forgotten(tmp_path, file):
    folder = filled(tmp_path / "out.csv")
    content = (folder / file).read_bytes()
    (folder / file).write_bytes(content[:-5])
    with KeptRows(tmp_path / "out.csv", {"config": "a"}) as kept:
        assert list(kept.places) == ["0.mp4", "1.mp4"]
        kept.add("3.mp4", ROWS[3])
    with KeptRows(tmp_path / "out.csv", {"config": "a"}) as kept:
        assert np.array_equal(kept.values(["0.mp4", "1.mp4", "3.mp4"]), ROWS[[0, 1, 3]])


def test_other_settings_are_refused(tmp_path):
    filled(tmp_path / "out.csv")
    with pytest.raises(UserError, match=r"out.csv.partial .* another config \(a and not b\)"):
        KeptRows(tmp_path / "out.csv", {"config": "b"})


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        KeptRows(tmp_path / "file" / "out.csv", {})
