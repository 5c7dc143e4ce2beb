"""Weights files and where they come from: tensors under the names this project uses."""
