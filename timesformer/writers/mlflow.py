"""MLflow: a server, or a folder."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from timesformer.errors import UserError
from timesformer.writers.identity import identity, keep_identity
from timesformer.writers.interface import Picture, Writer

ID_FILE = "mlflow_id.txt"
MOST_AT_ONCE = 100  # parameters that a server takes

PATIENCE = {
    # Its own waits for minutes, at the start of a run and whenever a picture is sent.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    # Else a folder, which somebody has asked for by its name, is refused in favour of a database.
    "MLFLOW_ALLOW_FILE_STORE": "true",
}


class MLflow(Writer):
    """One run for each folder, which goes on when the folder's run does."""

    title = "MLflow"
    failures = (Exception,)  # by that name it says, for one, that a folder is gone

    def __init__(
        self, folder: Path, *, uri: str, experiment: str, config: Mapping[str, Any]
    ) -> None:
        """
        Raises:
            UserError: nobody answers at `uri`, or it cannot be used.
        """
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._pending: deque[Future[object]] = deque()
        for name, value in PATIENCE.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient

        try:
            self._client: Any = MlflowClient(tracking_uri=uri)
            self._run_id = self._open(folder, experiment)
            self._tell_config(config)
        except self.failures as error:
            raise UserError(
                f"MLFLOW.TRACKING_URI {uri} cannot be used: {' '.join(str(error).split())}"
            ) from error

    def _open(self, folder: Path, experiment: str) -> str:
        """The folder's run, made if need be."""
        if run_id := identity(folder / ID_FILE):
            self._client.update_run(run_id, status="RUNNING")
            return run_id
        found = self._client.get_experiment_by_name(experiment)
        number = found.experiment_id if found else self._client.create_experiment(experiment)
        run_id = self._client.create_run(number, run_name=folder.resolve().name).info.run_id
        keep_identity(folder / ID_FILE, run_id)
        return str(run_id)

    def _tell_config(self, config: Mapping[str, Any]) -> None:
        """What is not known yet: a parameter never changes, though a run that goes on may."""
        from mlflow.entities import Param

        known = self._client.get_run(self._run_id).data.params
        new = [Param(name, str(value)) for name, value in config.items() if name not in known]
        for first in range(0, len(new), MOST_AT_ONCE):
            self._client.log_batch(self._run_id, params=new[first : first + MOST_AT_ONCE])

    def scalars(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        metrics = [
            Metric(f"{kind}/{name}", float(value), now, step)
            for name, value in values.items()
            if isinstance(value, (int, float))
        ]
        self._later(self._client.log_batch, self._run_id, metrics)

    def picture(self, name: str, step: int, picture: Picture, caption: str) -> None:
        self._later(self._send, f"step_{step:06d}.{picture.ending}", picture.encoded, name)

    def _send(self, file: str, content: bytes, name: str) -> None:
        with TemporaryDirectory() as folder:
            path = Path(folder, file)
            path.write_bytes(content)
            self._client.log_artifact(self._run_id, str(path), name)

    def text(self, name: str, markdown: str) -> None:
        self._later(self._client.log_text, self._run_id, markdown, f"{name}.md")

    def _later(self, function: Callable[..., object], *arguments: object) -> None:
        """Beside the training, which a slow server does not hold up; raises what came of earlier
        ones."""
        self._pending.append(self._thread.submit(function, *arguments))
        while self._pending and self._pending[0].done():
            self._pending.popleft().result()

    def close(self, *, failed: bool = False) -> None:
        status = "FAILED" if failed else "FINISHED"
        self._later(self._client.set_terminated, self._run_id, status)
        try:
            while self._pending:
                self._pending.popleft().result()
        finally:
            self._thread.shutdown(cancel_futures=True)
