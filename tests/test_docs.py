"""What the documents point to exists, and the Python in them runs."""

import re
from pathlib import Path

import pytest
import torch

from tests.inference.made import train
from timesformer.config.defaults import KEYS

REPO = Path(__file__).parents[1]
DOCUMENTS = [*REPO.glob("*.md"), *(REPO / "docs").glob("*.md")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_files_exist(document):
    text = document.read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link]
    assert [link for link in links if not (document.parent / link).exists()] == []
    named = re.findall(r"\b(?:configs|tools)/[\w/]+\.(?:yaml|py)\b", text)
    assert [name for name in named if not (REPO / name).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_keys_in_the_documents_are_keys(document):
    sections = {key.split(".")[0] for key in KEYS if "." in key}
    named = set(re.findall(r"`([A-Z_]+(?:\.[A-Z0-9_]+)+)\b", document.read_text()))
    legacy = {"MODEL.DROPOUT_RATE", "MODEL.ARCH"}
    assert {key for key in named if key.split(".")[0] in sections} - set(KEYS) <= legacy


def test_the_python_of_the_readme_runs(tmp_path):
    readme = (REPO / "README.md").read_text()
    prediction, code = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    run = train(tmp_path)
    clip = next((tmp_path / "shapes" / "videos" / "test").iterdir())
    exec(prediction.replace("outputs/a", str(run)).replace("clip.mp4", str(clip)), {})
    names: dict[str, object] = {}
    with torch.device("meta"):  # shapes without arithmetic, and no weights to load
        exec(re.sub(r'"/path/to/.*?"', '""', code), names)
    assert names["logits"].shape == (2, 400)
