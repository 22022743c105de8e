"""MLflow: runs in a folder, without a server; or on the server that $MLFLOW_TRACKING_URI names.

Only its client is used, which gathers nothing by itself (measured with mlflow-skinny 3.17.2); its telemetry is switched
off. It is imported when a run is made or opened, never while a run is at work offline.
"""

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..errors import UsageError
from ..identity import Json
from .connection import connection_fault
from .writing import PROJECT, TrackedRun, Warn, csv_text

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    from .writing import Writer

URI_VARIABLE = "MLFLOW_TRACKING_URI"
STORE = "mlruns"
"""Folder of the runs that are kept offline."""
ID_TAG = "xlingual.run"
_UNNAMEABLE = re.compile(r"[^\w. -]+")
LONGEST_NAME = 250
"""Characters: MLflow's own limit."""
_TOGETHER = 500
"""Numbers that are logged in one call; MLflow takes 1,000 at most."""
_SECONDS_TOGETHER = 5.0
"""What waits longer is logged."""


@dataclass(frozen=True, slots=True)
class MlflowRun:
    """A run of the client."""

    client: "MlflowClient"
    id: str
    last_steps: dict[str, int] = field(default_factory=dict)
    """Of each metric, the last step that the run had when it was opened: up to there it has what is logged again."""
    waiting: "list[Metric]" = field(default_factory=list)
    """Numbers that are logged together: a call for each would stop the training for as long as the server is away."""
    sent_at: list[float] = field(default_factory=lambda: [time.monotonic()])
    """When numbers were logged last, in seconds."""

    def params(self, values: Mapping[str, str | int | float]) -> None:
        """Log settings; where a resumed training has another value, as a tag, for MLflow keeps the first."""
        known = self.client.get_run(self.id).data.params
        for key, value in values.items():
            name = _name(key)
            if name not in known:
                self.client.log_param(self.id, name, value)
            elif known[name] != str(value):
                self.client.set_tag(self.id, name, str(value))

    def metrics(self, values: Mapping[str, float], step: int | None) -> None:
        """Log numbers; those of the run as a whole are at step 0."""
        from mlflow.entities import Metric  # noqa: PLC0415 - optional

        now, place = int(1000 * time.time()), step or 0
        for name, value in {_name(key): value for key, value in values.items()}.items():
            if step is None or place > self._last_step(name):
                self.waiting.append(Metric(name, value, now, place))
        if len(self.waiting) >= _TOGETHER or time.monotonic() > self.sent_at[0] + _SECONDS_TOGETHER:
            self._send()

    def _send(self) -> None:
        for start in range(0, len(self.waiting), _TOGETHER):
            self.client.log_batch(self.id, metrics=self.waiting[start : start + _TOGETHER])
        self.waiting.clear()
        self.sent_at[0] = time.monotonic()

    def _last_step(self, name: str) -> int:
        if name not in self.last_steps:
            self.last_steps[name] = max(
                (each.step for each in self.client.get_metric_history(self.id, name)), default=-1
            )
        return self.last_steps[name]

    def table(self, name: str, header: Sequence[Json], rows: Sequence[Json]) -> None:
        """Log a table as a CSV file."""
        self.text(name, csv_text(header, rows))

    def text(self, name: str, content: str) -> None:
        """Log a text file of the run."""
        self.client.log_text(self.id, content, name)

    def finish(self) -> None:
        """Log what is left, and mark the run as finished."""
        self._send()
        self.client.set_terminated(self.id, "FINISHED")


def _name(key: str) -> str:
    """Return the name of a metric or setting in MLflow: in a folder of runs, "loss" and "loss/en" cannot both be."""
    return _UNNAMEABLE.sub("_", key.replace("/", "."))[:LONGEST_NAME].strip(". ") or "_"


def make_offline(folder: Path, run: TrackedRun, fill: "Callable[[Writer], None]") -> Path:
    """Log what `fill` logs to a run in `folder/mlruns`, the one that has its id where there is one; return its folder.

    Raises OSError or what the client raises.
    """
    store = folder / STORE
    started = _start(run, store.absolute().as_uri())
    try:
        fill(started)
    finally:
        started.finish()
    return next(store.glob(f"*/{started.id}"), store)


def is_reachable(warn: Warn) -> bool:
    """Return whether the server accepts connections, and warn where it does not; UsageError where none is named."""
    uri = os.environ.get(URI_VARIABLE, "").strip()
    if not uri:
        hint = f"set the environment variable {URI_VARIABLE}, or use --track mlflow"
        raise UsageError("which server?", where="--track mlflow:online", hint=hint)
    if urlsplit(uri).scheme not in ("http", "https"):
        return True
    if fault := connection_fault(uri):
        warn(f"tracking: {fault}; a run in a folder is made instead")
        return False
    return True


def start_online(run: TrackedRun) -> MlflowRun:
    """Open a run at the server, or go on with the one that has its id."""
    return _start(run, os.environ[URI_VARIABLE].strip())


def _start(run: TrackedRun, uri: str) -> MlflowRun:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    if uri.startswith("file:"):
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # MLflow 3.17 refuses folders of runs otherwise
    from mlflow import MlflowClient  # noqa: PLC0415 - optional, and it takes seconds

    client = MlflowClient(tracking_uri=uri)
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "").strip() or PROJECT
    found = client.get_experiment_by_name(name)
    experiment = client.create_experiment(name) if found is None else found.experiment_id
    known = client.search_runs([experiment], filter_string=f"tags.`{ID_TAG}` = '{run.id}'", max_results=1)
    if known:
        client.update_run(known[0].info.run_id, status="RUNNING")
        return MlflowRun(client, known[0].info.run_id)
    tags = {"mlflow.runName": run.name, ID_TAG: run.id}
    return MlflowRun(client, client.create_run(experiment, tags=tags, run_name=run.name).info.run_id)
