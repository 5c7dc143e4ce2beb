"""What older versions of torch cannot do."""

import pytest
from torch.distributed.fsdp import FSDPModule

HAS_FSDP = hasattr(FSDPModule, "set_reshard_after_forward")  # as `distributed.sharding` wants it
needs_fsdp = pytest.mark.skipif(not HAS_FSDP, reason="needs torch 2.8")
