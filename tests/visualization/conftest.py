"""The trained model is made as for the tests of inference."""

from tests.inference.conftest import clips, predictor, run

__all__ = ["clips", "predictor", "run"]
