"""Video classifiers: ``build_model(cfg)``, or the classes of `vit` and `baselines` directly."""

import timesformer.models.baselines  # noqa: F401  registers its names
from timesformer.models.build import MODEL_REGISTRY, VideoClassifier, build_model
from timesformer.models.vit import TimeSformer, VisionTransformer

__all__ = ["MODEL_REGISTRY", "TimeSformer", "VideoClassifier", "VisionTransformer", "build_model"]
