"""What a tracker is to the spool: a writer of runs, a way to make one offline, and a way to send one as it goes."""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from ..errors import EnvironmentFault, UsageError
from ..identity import Json
from ..text import did_you_mean
from . import cometml, mlflow_runs, wandb_runs
from .writing import TrackedRun, Warn, Writer

Fill: TypeAlias = Callable[[Writer], None]
ONLINE = ":online"


class MakeOffline(Protocol):
    """Makes what is kept of a run offline."""

    def __call__(self, folder: Path, run: TrackedRun, fill: Fill) -> Path:
        """Return the file or folder made below `folder` of what `fill` logs; it replaces what was made of the run."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """A tracker: its package, and how runs of it are made."""

    word: str
    """Of `--track`."""
    package: str
    """Its import name."""
    install: str
    """What follows "pip install"."""
    make_offline: MakeOffline
    is_reachable: Callable[[Warn], bool]
    """Whether a run can be sent; passes on why not, and raises AuthError or UsageError where something is not set."""
    start_online: Callable[[TrackedRun], Writer]
    continues: bool
    """Whether a resumed training goes on with its run; else each part of a training is a run of its own."""


BACKENDS: Mapping[str, Backend] = {
    each.word: each
    for each in (
        Backend(
            word="comet-ml",
            package="comet_ml",
            install="comet-ml",
            make_offline=cometml.make_offline,
            is_reachable=cometml.is_reachable,
            start_online=cometml.start_online,
            continues=False,
        ),
        Backend(
            word="wandb",
            package="wandb",
            install="'xlingual[wandb]'",
            make_offline=wandb_runs.make_offline,
            is_reachable=wandb_runs.is_reachable,
            start_online=wandb_runs.start_online,
            continues=True,
        ),
        Backend(
            word="mlflow",
            package="mlflow",
            install="'xlingual[mlflow]'",
            make_offline=mlflow_runs.make_offline,
            is_reachable=mlflow_runs.is_reachable,
            start_online=mlflow_runs.start_online,
            continues=True,
        ),
    )
}
TRACKERS: Sequence[str] = [word + mode for word in BACKENDS for mode in ("", ONLINE)]
"""Words of `--track`: kept offline without a key or network, or sent as it goes."""


def find_backend(word: str) -> Backend:
    """Return the tracker that a word of `--track` names; UsageError for none, EnvironmentFault without its package."""
    if word not in TRACKERS:
        raise UsageError(f"no such tracker: {word!r}", where="--track", hint=did_you_mean(word, TRACKERS))
    backend = BACKENDS[word.removesuffix(ONLINE)]
    if importlib.util.find_spec(backend.package) is None:
        name = backend.package.replace("_", "-")
        raise EnvironmentFault(
            f"the package {name} is not installed", where="--track", hint=f"pip install {backend.install}"
        )
    return backend


def replay(line: Mapping[str, Json], run: Writer, hide: Callable[[str], str]) -> None:
    """Hand one line of a spool to a run."""
    if isinstance(params := line.get("params"), Mapping):
        run.params({key: value for key, value in params.items() if isinstance(value, str | int | float)})
    elif isinstance(metrics := line.get("metrics"), Mapping):
        step = line.get("step")
        numbers = {key: float(value) for key, value in metrics.items() if isinstance(value, int | float)}
        run.metrics(numbers, step if isinstance(step, int) else None)
    elif isinstance(table := line.get("table"), str):
        header, rows = line.get("header"), line.get("rows")
        run.table(table, header if isinstance(header, list) else [], rows if isinstance(rows, list) else [])
    elif isinstance(path := line.get("file"), str):
        run.text(str(line.get("name")), hide(Path(path).read_text(encoding="utf-8")))
