"""Comet ML (the package comet-ml, not the metric COMET): archives without key or network, and experiments online.

What the client would gather by itself is switched off: source code, git state, command line, standard output, packages,
host, hardware and environment (measured with comet-ml 3.58.8: its defaults store `--api-key ...` from the command
line). It is imported when an archive is made or an experiment is opened, never while a run is at work offline.
"""

import io
import logging
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import AuthError, EnvironmentFault
from ..identity import Json
from .connection import connection_fault
from .writing import PROJECT, TrackedRun, Warn, Writer, csv_text

if TYPE_CHECKING:
    from comet_ml import CometExperiment

KEY_VARIABLE = "COMET_API_KEY"
SERVER = "https://www.comet.com"
SHORTEST_ARCHIVE = 23
"""Bytes: an empty zip, which a kill leaves behind, has 22."""


@dataclass(frozen=True, slots=True)
class ExperimentWriter:
    """An experiment of the client, offline or online."""

    inner: "CometExperiment"

    def params(self, values: Mapping[str, str | int | float]) -> None:
        """Log settings."""
        self.inner.log_parameters(dict(values))

    def metrics(self, values: Mapping[str, float], step: int | None) -> None:
        """Log numbers."""
        self.inner.log_metrics(dict(values), step=step)

    def table(self, name: str, header: Sequence[Json], rows: Sequence[Json]) -> None:
        """Log a table as a CSV file, which Comet shows as a table."""
        self.text(name, csv_text(header, rows))

    def text(self, name: str, content: str) -> None:
        """Log a text file."""
        self.inner.log_asset(io.StringIO(content), file_name=name)

    def finish(self) -> None:
        """Write or send what is left."""
        self.inner.end()


def make_offline(folder: Path, run: TrackedRun, fill: Callable[[Writer], None]) -> Path:
    """Make the offline archive `folder/STEM.zip` of what `fill` logs, and return it.

    It has its name only when it is whole. Raises OSError or what the client raises.
    """
    making = Path(tempfile.mkdtemp(prefix=".making-", dir=folder))
    try:
        experiment = _start(run.name, making)
        try:
            fill(experiment)
        finally:
            experiment.finish()
        [made] = making.glob("*.zip")
        if fault := archive_fault(made):
            raise OSError(f"the archive is not whole: {fault}")
        target = folder / f"{run.stem}.zip"
        made.replace(target)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return target


def archive_fault(path: Path) -> str | None:
    """Return what is wrong with an offline archive, None where it can be uploaded."""
    try:
        with zipfile.ZipFile(path) as opened:
            missing = {"experiment.json", "messages.json"} - set(opened.namelist())
            damaged = opened.testzip()
    except (OSError, zipfile.BadZipFile) as error:
        return str(error)
    if path.stat().st_size < SHORTEST_ARCHIVE or missing:
        return "it is empty: the process that made it was killed" if len(missing) == 2 else f"it lacks {missing}"
    return f"{damaged} in it is damaged" if damaged else None


def is_reachable(warn: Warn) -> bool:
    """Return whether the server accepts connections, and warn where it does not; AuthError without a key."""
    require_key()
    if fault := server_fault():
        warn(f"tracking: {fault}; an offline archive is made instead")
        return False
    return True


def start_online(run: TrackedRun) -> ExperimentWriter:
    """Open an experiment at Comet."""
    return _start(run.name, None)


def require_key() -> str:
    """Return the key that the client finds in the environment or in its own file; AuthError without one."""
    _prepare_client()
    from comet_ml import get_config  # type: ignore[attr-defined]  # noqa: PLC0415 - public, but not in its __all__

    key = get_config()["comet.api_key"]
    if not isinstance(key, str) or not key.strip():
        raise AuthError("needs a key", where="comet-ml", hint=f"set the environment variable {KEY_VARIABLE}")
    return key


def server_fault() -> str | None:
    """Return why the server cannot be reached, None where it accepts connections; takes a few seconds at most."""
    return connection_fault(os.environ.get("COMET_URL_OVERRIDE", "").strip() or SERVER)


def send(path: Path, key: str) -> None:
    """Upload an archive; EnvironmentFault where the server does not take it."""
    _prepare_client()
    from comet_ml.offline import upload_single_offline_experiment  # noqa: PLC0415 - optional

    try:
        taken = upload_single_offline_experiment(str(path), key, force_upload=False)
    except Exception as error:  # noqa: BLE001 - the client's errors have no common class
        raise EnvironmentFault(f"not uploaded ({type(error).__name__})", where=str(path), hint="try again") from None
    if not taken:
        hint = "was it uploaded before? otherwise check key, workspace and network"
        raise EnvironmentFault("Comet did not take the archive", where=str(path), hint=hint)


def _prepare_client() -> None:
    """Import the client without its automatic logging and without its words on the terminal."""
    os.environ.setdefault("COMET_DISABLE_AUTO_LOGGING", "1")
    import comet_ml  # noqa: PLC0415 - optional, and it takes a second

    logging.getLogger(comet_ml.__name__).setLevel(logging.CRITICAL)


def _start(name: str, folder: Path | None) -> ExperimentWriter:
    """Start an experiment: an archive in `folder`, or online without one."""
    _prepare_client()
    from comet_ml import ExperimentConfig, start  # noqa: PLC0415 - optional

    config = ExperimentConfig(
        disabled=False,
        name=name,
        offline_directory=None if folder is None else str(folder),
        parse_args=False,
        display_summary_level=0,
        auto_output_logging="",
        log_code=False,
        log_graph=False,
        log_git_metadata=False,
        log_git_patch=False,
        log_env_details=False,
        log_env_gpu=False,
        log_env_host=False,
        log_env_cpu=False,
        log_env_network=False,
        log_env_disk=False,
        auto_param_logging=False,
        auto_metric_logging=False,
        auto_log_co2=False,
        auto_histogram_weight_logging=False,
        auto_histogram_gradient_logging=False,
        auto_histogram_activation_logging=False,
        auto_histogram_tensorboard_logging=False,
    )
    project = os.environ.get("COMET_PROJECT_NAME", "").strip() or PROJECT
    return ExperimentWriter(start(online=folder is None, project_name=project, mode="create", experiment_config=config))
