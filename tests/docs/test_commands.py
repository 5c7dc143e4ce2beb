"""Every command that the documents print is one that the tools accept."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import DOCUMENTS, ROOT, commands
from timesformer.config import load_config
from timesformer.config.defaults import KEYS
from timesformer.config.legacy import LEGACY

COMMANDS = [(document, words) for document in DOCUMENTS for words in commands(document)]


@functools.cache
def help_of(*tool: str) -> str:
    return subprocess.run(
        [sys.executable, *tool, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize(
    ("document", "words"), COMMANDS, ids=lambda value: getattr(value, "name", None)
)
def test_options_are_of_the_tool(document: Path, words: list[str]) -> None:
    tool, *arguments = words[1:]
    of = [tool, arguments[0]] if tool == "tools/visualize.py" else [tool]
    options = {word.partition("=")[0] for word in arguments if re.match(r"--\w", word)}
    known = set(re.findall(r"--[\w-]+", help_of(*of)))
    assert options <= known


@pytest.mark.parametrize(
    ("document", "words"), COMMANDS, ids=lambda value: getattr(value, "name", None)
)
def test_keys_and_values_are_accepted(
    document: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LISTS", "VIDEOS", "WEIGHTS"):
        monkeypatch.setenv(name, "/somewhere")
    monkeypatch.chdir(ROOT)
    first = next((at for at, word in enumerate(words) if word in {*KEYS, *LEGACY}), len(words))
    pairs = words[first:]
    if "--" in " ".join(pairs) and words[1] == "tools/run_net.py":  # options of several machines
        pairs = pairs[: next(at for at, word in enumerate(pairs) if word.startswith("--"))]
    cfg = words[words.index("--cfg") + 1] if "--cfg" in words else None
    load_config(cfg if cfg and cfg.startswith("configs/") else None, pairs)
