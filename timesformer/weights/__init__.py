"""Weights files and where they come from: tensors under the names this project uses."""

from torch import Tensor

State = dict[str, Tensor]
"""Names to tensors: the parameters and buffers of one network."""
