"""The page on one's own videos, followed word by word."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, commands
from tests.small_videos import small_video
from timesformer.config import load_config

PAGE = ROOT / "docs" / "own-videos.md"
CLASSES = ("Archery", "BabyCrawling", "Dunk", "Race", "Piano", "Violin", "Punch", "Push", "Surfing")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder like the repository's, with videos, and with the configs that the page has saved."""
    for name in ("configs", "tools"):
        (tmp_path / name).symlink_to(ROOT / name)
    for label, name in enumerate(CLASSES):
        for group in range(4):
            small_video(
                tmp_path / "videos" / name / f"v_{name}_g0{group}_c01.avi", 10 * label + group
            )
    for name, text in saved_configs().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def saved_configs() -> dict[str, str]:
    """The YAML of the page, by the file that the sentence before it names."""
    text = PAGE.read_text(encoding="utf-8")
    parts = re.findall(r"[Ss]ave this as\s+`(\w+\.yaml)`.*?```yaml\n(.*?)```", text, re.DOTALL)
    assert len(parts) == 2
    return dict(parts)


@pytest.mark.slow
def test_the_page_leads_from_a_folder_to_a_report(place: Path) -> None:
    steps = [words for words in commands(PAGE) if "outputs/mine_pretrained" not in words]
    done = []
    for _, tool, *arguments in steps:
        if "mine_pretrained.yaml" in arguments:  # needs weights that are not here
            continue
        if tool == "tools/run_net.py":
            arguments += ["SOLVER.MAX_EPOCH", "2", "DATA_LOADER.NUM_WORKERS", "0"]
        subprocess.run([sys.executable, tool, *arguments], cwd=place, check=True)
        done.append(tool)
    tools = ("check_dataset", "preview", "run_net", "run_net", "predict")
    assert done == [f"tools/{name}.py" for name in tools]
    for left in (
        "dataset_check/report.txt",
        "outputs/mine/preview_train.png",
        "outputs/mine/report.html",
    ):
        assert (place / left).stat().st_size > 0


def test_the_second_config_of_the_page_is_one(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    (words,) = [words for words in commands(PAGE) if "mine_pretrained.yaml" in words]
    cfg = load_config("mine_pretrained.yaml", words[words.index("mine_pretrained.yaml") + 1 :])
    assert cfg.TRAIN.DATASET == cfg.TEST.DATASET == "folder"
    assert os.path.basename(cfg.TIMESFORMER.PRETRAINED_MODEL) == "vit_small_patch14.safetensors"
