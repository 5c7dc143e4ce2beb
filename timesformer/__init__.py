"""TimeSformer video classifiers: train, evaluate. Importing this imports nothing heavy."""

__version__ = "0.1.0"
