"""Networks of fake tensors, which have sizes and no data; on the CPU, wherever they came from."""

from __future__ import annotations

import torch
from torch import nn


def make_fake(model: nn.Module, dtype: torch.dtype = torch.float32) -> None:
    """Replaces parameters, by those of `dtype`, and buffers; inside a `FakeTensorMode`."""
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            # setattr and not register_parameter: recurrent layers notice the former
            fake = torch.empty(parameter.shape, dtype=dtype)
            setattr(module, name, nn.Parameter(fake, parameter.requires_grad))
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, torch.empty(buffer.shape, dtype=buffer.dtype))
