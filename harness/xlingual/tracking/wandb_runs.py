"""Weights & Biases: runs in folders, without key or network, that `wandb sync` sends; and runs online.

What the client would gather by itself is switched off: code, git state, host, user, hardware, packages and the terminal
(measured with wandb 0.31.0). It is imported when a run is made or opened, never while a run is at work offline.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import AuthError
from ..identity import Json
from .connection import connection_fault
from .writing import PROJECT, TrackedRun, Warn, csv_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from wandb import Run

    from .writing import Writer

KEY_VARIABLE = "WANDB_API_KEY"
SERVER = "https://api.wandb.ai"
LONGEST_WAIT = 60
"""Seconds for the start of a run, and for what is left to be sent at its end."""


@dataclass(frozen=True, slots=True)
class WandbRun:
    """A run of the client, offline or online."""

    inner: "Run"

    def params(self, values: Mapping[str, str | int | float]) -> None:
        """Log settings; a resumed training may have others."""
        self.inner.config.update(dict(values), allow_val_change=True)

    def metrics(self, values: Mapping[str, float], step: int | None) -> None:
        """Log numbers: of a step as history, of the run as a whole as its summary.

        The steps of a run only rise: it has those before its own, where a resumed training logs them again.
        """
        if step is None:
            self.inner.summary.update(dict(values))
        elif step >= self.inner.step:
            self.inner.log(dict(values), step=step)

    def table(self, name: str, header: Sequence[Json], rows: Sequence[Json]) -> None:
        """Log a table as a CSV file."""
        self.text(name, csv_text(header, rows))

    def text(self, name: str, content: str) -> None:
        """Log a text file of the run."""
        folder = Path(self.inner.dir)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        self.inner.save(str(path), base_path=str(folder), policy="end")

    def finish(self) -> None:
        """Write or send what is left."""
        self.inner.finish()


def make_offline(folder: Path, run: TrackedRun, fill: "Callable[[Writer], None]") -> Path:
    """Make `folder/wandb/offline-run-...-ID` of what `fill` logs, and return it; it takes the place of an earlier one.

    Raises OSError or what the client raises.
    """
    earlier = set(_folders_of(folder, run))
    started = _start(run, folder)
    made = Path(started.inner.dir).parent
    try:
        fill(started)
    finally:
        started.finish()
    for each in earlier - {made}:
        shutil.rmtree(each, ignore_errors=True)
    return made


def _folders_of(folder: Path, run: TrackedRun) -> list[Path]:
    return sorted(folder.glob(f"wandb/offline-run-*-{run.id}"))


def is_reachable(warn: Warn) -> bool:
    """Return whether the server accepts connections, and warn where it does not; AuthError without a key."""
    _prepare_client()
    import wandb  # noqa: PLC0415 - optional, and it takes a second

    key = os.environ.get(KEY_VARIABLE, "").strip() or wandb.api.api_key
    if not key:
        raise AuthError("needs a key", where="wandb", hint=f"set the environment variable {KEY_VARIABLE}")
    if fault := connection_fault(os.environ.get("WANDB_BASE_URL", "").strip() or SERVER):
        warn(f"tracking: {fault}; an offline run is made instead")
        return False
    return True


def start_online(run: TrackedRun) -> WandbRun:
    """Open a run at the server, or go on with the one that has its id."""
    return _start(run, None)


def _prepare_client() -> None:
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    os.environ.setdefault("WANDB_SILENT", "true")


def _start(run: TrackedRun, folder: Path | None) -> WandbRun:
    """Start a run: in a folder below `folder`, or online without one."""
    _prepare_client()
    import wandb  # noqa: PLC0415 - optional, and it takes a second

    settings = wandb.Settings(
        silent=True,
        console="off",
        disable_code=True,
        disable_git=True,
        disable_job_creation=True,
        save_code=False,
        host="",
        username="",
        program="xlingual",
        init_timeout=LONGEST_WAIT,
        finish_timeout=LONGEST_WAIT,
        x_disable_meta=True,
        x_disable_stats=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
    )
    started = wandb.init(
        project=os.environ.get("WANDB_PROJECT", "").strip() or PROJECT,
        name=run.name,
        id=run.id,
        dir=None if folder is None else str(folder),
        mode="online" if folder is None else "offline",
        resume="allow" if folder is None else None,
        reinit="create_new",
        settings=settings,
    )
    return WandbRun(started)
