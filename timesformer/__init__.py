"""TimeSformer video classifiers: train, evaluate, look inside. Importing this imports nothing heavy."""

__version__ = "0.1.0"
