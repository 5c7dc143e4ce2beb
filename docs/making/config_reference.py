"""The page on every config key, made from the definitions that the program itself reads."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from timesformer.config.defaults import KEYS
from timesformer.config.legacy import LEGACY, Legacy
from timesformer.config.schema import ANYTHING, Key

SECTIONS = {
    "TRAIN": "Training: data, batches, checkpoints, arithmetic.",
    "TEST": "The test: which weights, how many views of a video.",
    "DATA": "What a clip is: files, frames, size, colours, splits.",
    "AUG": "Augmentation of training clips.",
    "MIXUP": "Mixing of training clips and their labels.",
    "MODEL": "Which network, for how many classes, with which loss.",
    "TIMESFORMER": "The network itself, what it starts from, and what it recomputes.",
    "SOLVER": "The optimiser and the learning rate.",
    "DATA_LOADER": "The processes that read videos.",
    "TENSORBOARD": "What is written for TensorBoard.",
    "WANDB": "Weights & Biases, beside or instead of TensorBoard.",
    "MLFLOW": "MLflow, beside or instead of TensorBoard.",
    "": "Keys of the run as a whole, which stand in no section: devices, processes, seed, folder.",
}

HEAD = """# Config reference

Every key, with its default, the values it may take and its meaning. This page is made from the
definitions that the program reads, when the site is built.

A config is a YAML file of sections; `_BASE_` in it names a file to inherit from. `KEY VALUE` pairs
on the command line win over the file:

```
python tools/run_net.py --cfg configs/MotionShapes/TimeSformer_divST_tiny.yaml SOLVER.MAX_EPOCH 2
```

A key that does not exist, or a value that is not allowed, stops the run with a sentence before
anything is loaded. The config as it was in force is `config.yaml` in `OUTPUT_DIR`. The configs that
come with the project are on [a page of their own](shipped-configs.md).
"""

LEGACY_HEAD = """## Legacy keys

Keys of the released code that can mean nothing here. They are accepted, so that its files run
unchanged, and have no effect; the log says so once. Where values are named, any other value is an
error, because ignoring it would change what was asked for.

| key | why it has no effect | accepted values |
|---|---|---|
"""


def page() -> str:
    """The page as Markdown."""
    sections: dict[str, list[Key]] = {name: [] for name in SECTIONS}
    for key in KEYS.values():
        sections[section_of(key)].append(key)  # a KeyError: SECTIONS has no words for a new section
    parts = [section(name, keys) for name, keys in sections.items()]
    return "\n".join([HEAD, *parts, LEGACY_HEAD + legacy_rows()])


def section_of(key: Key) -> str:
    return key.name.partition(".")[0] if "." in key.name else ""


def section(name: str, keys: Iterable[Key]) -> str:
    title = f"## {name}" if name else "## The run"
    return "\n\n".join([title, SECTIONS[name], *map(entry, keys)]) + "\n"


def entry(key: Key) -> str:
    """Heading, facts, meaning. The anchor is the key's name in lower case."""
    facts = [f"default {code(key.default)}", key.type_words]
    if key.allowed is not ANYTHING:
        facts.append(key.allowed.words)
    if key.path:
        facts.append("`~` and `$NAME` are expanded")
    line = " · ".join(facts)
    heading = f"### `{key.name}` {{ #{anchor(key.name)} .key }}"
    return f"{heading}\n\n{line}\n{{ .facts }}\n\n{as_text(sentence(key))}"


def sentence(key: Key) -> str:
    """The meaning, with a capital and a full stop; a value that it starts with stays as it is."""
    first = key.meaning.split()[0]
    is_value = first.endswith(":") or first.strip(",") in re.findall(r"\w+", key.allowed.words)
    return (key.meaning if is_value else key.meaning[0].upper() + key.meaning[1:]) + "."


def anchor(name: str) -> str:
    return name.lower().replace(".", "-")


def legacy_rows() -> str:
    return "\n".join(legacy_row(name, old) for name, old in sorted(LEGACY.items())) + "\n"


def legacy_row(name: str, old: Legacy) -> str:
    accepted = "any" if old.accepted is None else ", ".join(code(value) for value in old.accepted)
    return f"| `{name}` | {as_text(old.reason)} | {accepted} |"


def code(value: Any) -> str:
    return "`''`" if value == "" else f"`{value}`"


def as_text(words: str) -> str:
    """Words of the program as Markdown that shows them as they are."""
    for character in "\\`*_<[":
        words = words.replace(character, "\\" + character)
    return words
