"""Config: every key documented in `defaults`, merged in `load`, checked in `validate`."""

from timesformer.config.load import dump, get_cfg, load_config

__all__ = ["dump", "get_cfg", "load_config"]
