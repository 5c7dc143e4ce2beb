"""TimeSformer video classifiers: train, evaluate. Importing this imports nothing heavy."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from timesformer.inference.predictor import Predictor

__version__ = "0.1.0"
__all__ = ["Predictor"]


def __getattr__(name: str) -> Any:
    if name == "Predictor":  # which imports torch
        from timesformer.inference.predictor import Predictor

        return Predictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
