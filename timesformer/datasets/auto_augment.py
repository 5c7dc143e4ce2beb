"""Which pixel operations a clip gets: AutoAugment and RandAugment in timm's notation.

No pixels here: text in, drawn names and amounts out. `augment.py` carries them out.

How a magnitude becomes an amount (timm's figures; m is the magnitude over 10, ± a fair coin):

    Rotate                      ± 30 m degrees
    ShearX, ShearY              ± 0.3 m pixels a row, or a column
    TranslateXRel, …YRel        ± 0.45 m of the side
    Posterize                   4 m bits are kept; …Increasing 4 - 4 m; …Original 4 + 4 m
    Solarize                    values from 256 m on are inverted; …Increasing from 256 - 256 m on
    SolarizeAdd                 110 m, at most 128, is added to values below 128
    Color, Contrast,            factor 0.1 + 1.8 m (1 changes nothing);
    Brightness, Sharpness       …Increasing 1 ± 0.9 m, at least 0.1
    Desaturate                  0.5 + 0.5 m, at most 1, of the colour is taken away
    GaussianBlur                sigma 0.1 + 1.9 m, at most 2, pixels; …Rand anything from 0.1 to 2 m
    AutoContrast, Equalize, Invert have no amount
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from timesformer.errors import UserError


class Drawn(NamedTuple):
    """One operation to carry out: a name of `augment.OPERATIONS`, and how much of it."""

    operation: str
    amount: float


Level = Callable[[float, random.Random], float]


def either_way(full: float) -> Level:
    return lambda m, rng: m * full * rng.choice((-1, 1))


def no_amount(m: float, rng: random.Random) -> float:
    return 0.0


def factor(m: float, rng: random.Random) -> float:
    return 0.1 + 1.8 * m


def factor_increasing(m: float, rng: random.Random) -> float:
    return max(0.1, 1 + either_way(0.9)(m, rng))


# timm's name -> the operation, and its amount as a function of the magnitude over 10.
LEVELS: dict[str, tuple[str, Level]] = {
    "AutoContrast": ("AutoContrast", no_amount),
    "Equalize": ("Equalize", no_amount),
    "Invert": ("Invert", no_amount),
    "Rotate": ("Rotate", either_way(30)),
    "ShearX": ("ShearX", either_way(0.3)),
    "ShearY": ("ShearY", either_way(0.3)),
    "TranslateXRel": ("TranslateX", either_way(0.45)),
    "TranslateYRel": ("TranslateY", either_way(0.45)),
    "Posterize": ("Posterize", lambda m, rng: int(4 * m)),
    "PosterizeIncreasing": ("Posterize", lambda m, rng: max(0, 4 - int(4 * m))),
    "PosterizeOriginal": ("Posterize", lambda m, rng: 4 + int(4 * m)),
    "Solarize": ("Solarize", lambda m, rng: min(256, int(256 * m))),
    "SolarizeIncreasing": ("Solarize", lambda m, rng: 256 - min(256, int(256 * m))),
    "SolarizeAdd": ("SolarizeAdd", lambda m, rng: min(128, int(110 * m))),
    "Color": ("Color", factor),
    "ColorIncreasing": ("Color", factor_increasing),
    "Contrast": ("Contrast", factor),
    "ContrastIncreasing": ("Contrast", factor_increasing),
    "Brightness": ("Brightness", factor),
    "BrightnessIncreasing": ("Brightness", factor_increasing),
    "Sharpness": ("Sharpness", factor),
    "SharpnessIncreasing": ("Sharpness", factor_increasing),
    "Desaturate": ("Color", lambda m, rng: 1 - min(1.0, 0.5 + 0.5 * m)),
    "GaussianBlur": ("GaussianBlur", lambda m, rng: min(2.0, 0.1 + 1.9 * m)),
    "GaussianBlurRand": ("GaussianBlur", lambda m, rng: rng.uniform(0.1, 2 * min(1.0, m))),
}

RAND = (
    *("AutoContrast", "Equalize", "Invert", "Rotate", "Posterize", "Solarize", "SolarizeAdd"),
    *("Color", "Contrast", "Brightness", "Sharpness"),
    *("ShearX", "ShearY", "TranslateXRel", "TranslateYRel"),
)

# The sets that `-t` names; a dictionary gives the weight of each operation.
SETS: dict[str, tuple[str, ...] | dict[str, float]] = {
    "3a": ("SolarizeIncreasing", "Desaturate", "GaussianBlur"),
    "3aw": {
        **dict.fromkeys(("SolarizeIncreasing", "Desaturate", "GaussianBlur"), 6),
        **{"Rotate": 3, "ShearX": 2, "ShearY": 2, "PosterizeIncreasing": 1, "AutoContrast": 1},
        **{"ColorIncreasing": 1, "SharpnessIncreasing": 1, "ContrastIncreasing": 1},
        **{"BrightnessIncreasing": 1, "Equalize": 1, "Invert": 1},
    },
    "weights": {
        **{"Rotate": 3, "ShearX": 2, "ShearY": 2, "TranslateXRel": 1, "TranslateYRel": 1},
        **dict.fromkeys(("ColorIncreasing", "SharpnessIncreasing", "AutoContrast"), 0.25),
        **dict.fromkeys(("SolarizeIncreasing", "SolarizeAdd", "ContrastIncreasing"), 0.05),
        **dict.fromkeys(("BrightnessIncreasing", "Equalize", "PosterizeIncreasing"), 0.05),
        "Invert": 0.05,
    },
}

# Pairs of operation, probability and magnitude, as published: AutoAugment for ImageNet
# (arXiv 1805.09501) and the policy of the EfficientNet TPU code. One pair is drawn for each clip.
ORIGINAL = """
Posterize 0.4 8, Rotate 0.6 9 | Solarize 0.6 5, AutoContrast 0.6 5 | Equalize 0.8 8, Equalize 0.6 3
Posterize 0.6 7, Posterize 0.6 6 | Equalize 0.4 7, Solarize 0.2 4 | Equalize 0.4 4, Rotate 0.8 8
Solarize 0.6 3, Equalize 0.6 7 | Posterize 0.8 5, Equalize 1 2 | Rotate 0.2 3, Solarize 0.6 8
Equalize 0.6 8, Posterize 0.4 6 | Rotate 0.8 8, Color 0.4 0 | Rotate 0.4 9, Equalize 0.6 2
Equalize 0 7, Equalize 0.8 8 | Invert 0.6 4, Equalize 1 8 | Color 0.6 4, Contrast 1 8
Rotate 0.8 8, Color 1 2 | Color 0.8 8, Solarize 0.8 7 | Sharpness 0.4 7, Invert 0.6 8
ShearX 0.6 5, Equalize 1 9 | Color 0.4 0, Equalize 0.6 3 | Equalize 0.4 7, Solarize 0.2 4
Solarize 0.6 5, AutoContrast 0.6 5 | Invert 0.6 4, Equalize 1 8 | Color 0.6 4, Contrast 1 8
Equalize 0.8 8, Equalize 0.6 3
"""
V0 = """
Equalize 0.8 1, ShearY 0.8 4 | Color 0.4 9, Equalize 0.6 3 | Color 0.4 1, Rotate 0.6 8
Solarize 0.8 3, Equalize 0.4 7 | Solarize 0.4 2, Solarize 0.6 2 | Color 0.2 0, Equalize 0.8 8
Equalize 0.4 8, SolarizeAdd 0.8 3 | ShearX 0.2 9, Rotate 0.6 8 | Color 0.6 1, Equalize 1 2
Invert 0.4 9, Rotate 0.6 0 | Equalize 1 9, ShearY 0.6 3 | Color 0.4 7, Equalize 0.6 0
Posterize 0.4 6, AutoContrast 0.4 7 | Solarize 0.6 8, Color 0.6 9 | Solarize 0.2 4, Rotate 0.8 9
Rotate 1 7, TranslateYRel 0.8 9 | ShearX 0 0, Solarize 0.8 4 | ShearY 0.8 0, Color 0.6 4
Color 1 0, Rotate 0.6 2 | Equalize 0.8 4, Equalize 0 8 | Equalize 1 4, AutoContrast 0.6 2
ShearY 0.4 7, SolarizeAdd 0.6 7 | Posterize 0.8 2, Solarize 0.6 10
Solarize 0.6 8, Equalize 0.6 1 | Color 0.8 6, Rotate 0.4 5
"""
# Name -> the table, and which of the three Posterizes stands in it.
PUBLISHED = {
    "original": (ORIGINAL, "PosterizeOriginal"),
    "originalr": (ORIGINAL, "PosterizeIncreasing"),
    "v0": (V0, "Posterize"),
    "v0r": (V0, "PosterizeIncreasing"),
    "3a": ("Solarize 1 5 | Desaturate 1 10 | GaussianBlurRand 1 10", ""),
}

KNOWN = (
    "known are rand, with -m (magnitude), -n (operations for each clip), -p (probability of each), "
    "-mstd (spread of the magnitude; above 100: uniform), -mmax (largest magnitude), -inc1 (all "
    f"grow stronger with the magnitude) and -t with one of {', '.join(SETS)}; and "
    f"{', '.join(PUBLISHED)}, with -mstd. Examples: rand-m9-n2-mstd0.5-inc1, original-mstd0.5"
)
RAND_OPTIONS = {
    "m": r"\d+",
    "n": r"[1-9]\d*",
    "p": r"0(\.\d+)?|1(\.0*)?",
    "mstd": r"\d+(\.\d+)?",
    "mmax": r"[1-9]\d*",
    "inc": r"[01]",
    "t": "|".join(SETS),
}
DEFAULT_MAGNITUDE = 10
UNIFORM_ABOVE = 100


class Step(NamedTuple):
    """An operation that happens with probability `prob`; its name is one of `LEVELS`."""

    name: str
    prob: float
    magnitude: float


@dataclass(frozen=True)
class Policy:
    """`num_choices` sequences of steps are drawn for each clip, and carried out in turn.

    With `weights` each choice is drawn once at most. Magnitudes are spread by `magnitude_std`
    around those of the steps (above 100: uniformly below them), and end at `magnitude_max`.
    """

    choices: tuple[tuple[Step, ...], ...]
    num_choices: int = 1
    weights: tuple[float, ...] | None = None
    magnitude_std: float = 0.0
    magnitude_max: float = DEFAULT_MAGNITUDE

    def draw(self, rng: random.Random) -> list[Drawn]:
        """What one clip gets."""
        steps = [step for choice in self._choose(rng) for step in self.choices[choice]]
        return [self._amount(step, rng) for step in steps if rng.random() < step.prob]

    def _choose(self, rng: random.Random) -> list[int]:
        every = list(range(len(self.choices)))
        if self.weights is None:
            return rng.choices(every, k=self.num_choices)
        chosen: list[int] = []
        while len(chosen) < self.num_choices:
            left = [choice for choice in every if choice not in chosen]
            chosen += rng.choices(left, [self.weights[choice] for choice in left])
        return chosen

    def _amount(self, step: Step, rng: random.Random) -> Drawn:
        magnitude = step.magnitude
        if self.magnitude_std > UNIFORM_ABOVE:
            magnitude = rng.uniform(0, magnitude)
        elif self.magnitude_std:
            magnitude = rng.gauss(magnitude, self.magnitude_std)
        operation, level = LEVELS[step.name]
        magnitude = min(max(magnitude, 0), self.magnitude_max)
        return Drawn(operation, level(magnitude / DEFAULT_MAGNITUDE, rng))


def parse(text: str) -> Policy:
    """The policy that `text` stands for, such as ``rand-m9-mstd0.5-inc1`` or ``original``.

    Raises:
        UserError: a part of it has no meaning.
    """
    name, *parts = text.split("-")
    if name == "rand":
        return _rand_policy(text, _options(text, parts, RAND_OPTIONS))
    if name not in PUBLISHED:
        raise _unknown(text, name)
    options = _options(text, parts, {"mstd": RAND_OPTIONS["mstd"]})
    return Policy(_published(*PUBLISHED[name]), magnitude_std=float(options.get("mstd", 0)))


def _options(text: str, parts: list[str], allowed: dict[str, str]) -> dict[str, str]:
    """``["m9", "mstd0.5"]`` as ``{"m": "9", "mstd": "0.5"}``."""
    options: dict[str, str] = {}
    for part in parts:
        found = [name for name, value in allowed.items() if re.fullmatch(f"{name}({value})", part)]
        if len(found) != 1 or found[0] in options:
            raise _unknown(text, part)
        options[found[0]] = part.removeprefix(found[0])
    return options


def _unknown(text: str, part: str) -> UserError:
    return UserError(f"AUG.AA_TYPE is '{text}', in which '{part}' cannot be honoured; {KNOWN}")


def _rand_policy(text: str, options: dict[str, str]) -> Policy:
    names, weights = _rand_set(options.get("t"), increasing=options.get("inc") == "1")
    num_choices = int(options.get("n", 2))
    if weights and num_choices > len(names):
        raise _unknown(text, f"n{num_choices}")
    prob, magnitude = float(options.get("p", 0.5)), int(options.get("m", DEFAULT_MAGNITUDE))
    return Policy(
        tuple((Step(name, prob, magnitude),) for name in names),
        num_choices,
        weights,
        float(options.get("mstd", 0)),
        int(options.get("mmax", DEFAULT_MAGNITUDE)),
    )


def _rand_set(
    name: str | None, *, increasing: bool
) -> tuple[tuple[str, ...], tuple[float, ...] | None]:
    if name is None:
        grown = [f"{each}Increasing" for each in RAND]
        pairs = zip(RAND, grown, strict=True)
        return tuple(b if increasing and b in LEVELS else a for a, b in pairs), None
    names = SETS[name]
    return tuple(names), tuple(names.values()) if isinstance(names, dict) else None


def _published(table: str, posterize: str) -> tuple[tuple[Step, ...], ...]:
    rows = table.strip().replace("\n", " | ").split(" | ")
    return tuple(tuple(_step(cell, posterize) for cell in row.split(", ")) for row in rows)


def _step(cell: str, posterize: str) -> Step:
    name, prob, magnitude = cell.split()
    return Step(posterize if name == "Posterize" else name, float(prob), float(magnitude))
