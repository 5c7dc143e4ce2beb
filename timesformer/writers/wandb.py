"""Weights & Biases, by its own package and its own login."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from timesformer.errors import UserError
from timesformer.signals import blocked
from timesformer.writers.identity import identity, keep_identity
from timesformer.writers.interface import Histogram, Picture, Writer

log = logging.getLogger("timesformer")

ID_FILE = "wandb_id.txt"


class WeightsAndBiases(Writer):
    """One run for each folder, which goes on when the folder's run does."""

    title = "Weights & Biases"

    def __init__(
        self, folder: Path, *, project: str, name: str, mode: str, config: Mapping[str, Any]
    ) -> None:
        """
        Args:
            mode: ``online``, or ``offline``: files in `folder` that ``wandb sync`` sends later.

        Raises:
            UserError: there is no login, or nobody answers.
        """
        import wandb

        self._wandb: Any = wandb
        self.failures = (OSError, wandb.Error)
        self._kinds: set[str] = set()
        run_id = identity(folder / ID_FILE) or uuid.uuid4().hex[:8]
        try:
            with blocked():  # its helper outlives a signal that is for the run
                self._run = self._wandb.init(
                    project=project,
                    name=name or folder.resolve().name,
                    id=run_id,
                    resume="allow",
                    mode=mode,
                    dir=str(folder),
                    config=dict(config),
                    settings=wandb.Settings(console="off", silent=True),
                )
        except self.failures as error:
            raise UserError(
                f"WANDB.ENABLE is True, but Weights & Biases cannot be reached ({error}). Log in "
                "(wandb login, or the variable WANDB_API_KEY), or set WANDB.MODE offline."
            ) from error
        keep_identity(folder / ID_FILE, run_id)
        log.info("Weights & Biases: %s", self._run.url or self._run.dir)

    def scalars(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        if kind not in self._kinds:  # each counts something else
            self._kinds.add(kind)
            self._run.define_metric(f"{kind}/*", step_metric=f"{kind}/step")
        numbers = {k: v for k, v in values.items() if isinstance(v, (int, float))} | {"step": step}
        self._run.log({f"{kind}/{name}": value for name, value in numbers.items()})

    def histogram(self, name: str, step: int, histogram: Histogram) -> None:
        parts = (histogram.counts, histogram.edges)
        self._run.log({name: self._wandb.Histogram(np_histogram=parts)})

    def picture(self, name: str, step: int, picture: Picture, caption: str) -> None:
        self._run.log({name: self._media(picture, caption)})

    def _media(self, picture: Picture, caption: str) -> Any:
        encoded = BytesIO(picture.encoded)
        if picture.ending == "gif":
            return self._wandb.Video(encoded, format="gif", caption=caption)
        from PIL import Image

        return self._wandb.Image(Image.open(encoded), caption=caption)

    def results(self, config: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        self._run.summary.update(dict(metrics))

    def close(self, *, failed: bool = False) -> None:
        self._run.finish(exit_code=int(failed))
