"""The tracker that everything of ours writes to: a spool of plain lines beside the run, archived when it is closed.

A line is durable as soon as it is written, so a kill loses nothing that was tracked: what is left is a spool, which
`xlingual track upload` archives. Values pass a redactor before they are written; numbers that are not finite are left
out, since trackers store them as words.
"""

import importlib.util
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Protocol, TypeAlias

from ..errors import EnvironmentFault, UsageError
from ..files import read_json_lines
from ..identity import Json, canonical_json, slug
from ..redaction import MASK, environment_secrets, is_secret, redact_document, redact_settings
from ..text import did_you_mean
from .cometml import ExperimentWriter, archive, open_online

TRACKERS = ("comet-ml", "comet-ml:online")
"""Words of `--track`: an offline archive without a key or network, or an experiment that is sent as it goes."""
SUFFIX = ".spool.jsonl"
TABLE_SUFFIX = ".csv"

Scalar: TypeAlias = str | int | float | bool | None
Warn: TypeAlias = Callable[[str], None]


class Tracker(Protocol):
    """Takes what a run is made of and what came out; none of these raises but for a bug."""

    def params(self, values: Mapping[str, Scalar]) -> None:
        """Record settings; None is left out."""
        ...

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Record numbers, at a step of training or of the run as a whole; what is not finite is left out."""
        ...

    def table(self, name: str, header: Sequence[str], rows: Iterable[Sequence[Scalar]]) -> None:
        """Record a table."""
        ...

    def file(self, path: Path, name: str) -> None:
        """Record a text file, read when the tracker is closed, under a name of its own."""
        ...

    def close(self) -> None:
        """Make the archive, or finish sending; safe to call twice."""
        ...


def open_tracker(word: str, folder: Path, name: str, warn: Warn) -> Tracker:
    """Open the tracker that `word` names for a run called `name`; its archive goes into `folder`.

    Raises UsageError for an unknown word, EnvironmentFault where the package is missing, AuthError where sending was
    asked for and no key is set: before any work is done. Whatever fails later is passed to `warn`.
    """
    if word not in TRACKERS:
        raise UsageError(f"no such tracker: {word!r}", where="--track", hint=did_you_mean(word, TRACKERS))
    if importlib.util.find_spec("comet_ml") is None:
        raise EnvironmentFault("the package comet-ml is not installed", where="--track", hint="pip install comet-ml")
    live = open_online(name, warn) if word == "comet-ml:online" else None
    stem = f"{slug(name)}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{os.getpid()}"
    return Spool(path=folder / f"{stem}{SUFFIX}", name=name, warn=warn, live=live)


@dataclass(slots=True, kw_only=True)
class Spool:
    """The Tracker: appends lines, and hands each on at once where an experiment is open online."""

    path: Path
    """Of the spool; there is none before the first line."""
    name: str
    warn: Warn
    live: ExperimentWriter | None = None
    secrets: tuple[str, ...] = field(default_factory=environment_secrets, repr=False)
    failed: bool = False
    begun: bool = False
    closed: bool = False
    said: set[str] = field(default_factory=set)

    def params(self, values: Mapping[str, Scalar]) -> None:
        """Record settings; None is left out."""
        kept = {
            str(key): MASK if is_secret(key) else self.hide(value) if isinstance(value, str) else value
            for key, value in values.items()
            if value is not None and not (isinstance(value, float) and not isfinite(value))
        }
        self.write({"params": kept})

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Record numbers; what is not finite is left out, and said so once a name."""
        kept = {}
        for key, value in values.items():
            if isfinite(value):
                kept[str(key)] = float(value)
            elif key not in self.said:
                self.said.add(key)
                self.warn(f"tracking: {key} is {value} and was left out")
        if kept:
            self.write({"metrics": kept, "step": step})

    def table(self, name: str, header: Sequence[str], rows: Iterable[Sequence[Scalar]]) -> None:
        """Record a table."""
        cells = [[self.hide(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
        self.write({"table": name.removesuffix(TABLE_SUFFIX) + TABLE_SUFFIX, "header": list(header), "rows": cells})

    def file(self, path: Path, name: str) -> None:
        """Record a text file under a name of its own."""
        self.write({"file": str(path.absolute()), "name": name})

    def close(self) -> None:
        """Make the archive, or finish sending."""
        if self.closed:
            return
        self.closed = True
        if self.live is not None:
            self._try(self.live.finish)
        if self.live is not None:
            self._try(lambda: self.path.unlink(missing_ok=True))
        elif self.begun and not self.failed:
            self._try(lambda: archive_spool(self.path, self.warn))

    def hide(self, text: str) -> str:
        """Return a setting without anything that looks like a secret, and without the name of the user's home."""
        return _without_home(redact_settings(text, self.secrets))

    def hide_in_file(self, text: str) -> str:
        """Return what a file holds in the same manner, but for words that any text may have."""
        return _without_home(redact_document(text, self.secrets))

    def write(self, line: Mapping[str, Json]) -> None:
        """Append a line; the first failure is passed to `warn`, and nothing is tried after it."""
        if not self.failed:
            self._try(lambda: self._append(line))
        if self.live is not None:
            live = self.live
            self._try(lambda: replay(line, live, self.hide_in_file))

    def _append(self, line: Mapping[str, Json]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as stream:
            if not self.begun:
                stream.write(canonical_json({"name": self.hide(self.name)}) + "\n")
            self.begun = True
            stream.write(canonical_json(line) + "\n")

    def _try(self, act: Callable[[], object]) -> None:
        try:
            act()
        except Exception as error:  # noqa: BLE001 - the border to the tracker: a mirror never ends a run
            if self.live is None:
                self.failed = True
            self.live = None
            self.warn(f"tracking: {type(error).__name__}: {self.hide(str(error))[:300]}; the run is not affected")


def _without_home(text: str) -> str:
    home = os.environ.get("HOME", "")
    return text.replace(home, "~") if len(home) > 1 else text


def archive_spool(path: Path, warn: Warn) -> Path:
    """Make the archive of a spool, take the spool away, and return the archive."""
    lines = read_json_lines(path, hint="move the file away; the run that it tracked is not affected")
    name = next((line["name"] for line in lines if set(line) == {"name"}), path.name.removesuffix(SUFFIX))
    hide = Spool(path=path, name=str(name), warn=warn).hide_in_file

    def fill(experiment: ExperimentWriter) -> None:
        for line in lines:
            replay(line, experiment, hide)

    made = archive(path.parent, path.name.removesuffix(SUFFIX), str(name), fill)
    path.unlink()
    return made


def replay(line: Mapping[str, Json], experiment: ExperimentWriter, hide: Callable[[str], str]) -> None:
    """Hand one line of a spool to an experiment."""
    if isinstance(params := line.get("params"), Mapping):
        experiment.params({key: value for key, value in params.items() if isinstance(value, str | int | float)})
    elif isinstance(metrics := line.get("metrics"), Mapping):
        step = line.get("step")
        numbers = {key: float(value) for key, value in metrics.items() if isinstance(value, int | float)}
        experiment.metrics(numbers, step if isinstance(step, int) else None)
    elif isinstance(table := line.get("table"), str):
        header, rows = line.get("header"), line.get("rows")
        experiment.table(table, header if isinstance(header, list) else [], rows if isinstance(rows, list) else [])
    elif isinstance(path := line.get("file"), str):
        experiment.text(str(line.get("name")), hide(Path(path).read_text(encoding="utf-8")))
