"""The tracker that everything of ours writes to: a spool of plain lines beside the run, archived when it is closed.

    {"name":"mine","tracker":"wandb","id":"1f0c..."}
    {"params":{"learning_rate":0.001,"seed":0}}
    {"metrics":{"loss":3.5},"step":1}

A line is durable as soon as it is written, so a kill loses nothing that was tracked: what is left is a spool, which the
resumed training goes on with, or `xlingual track upload` archives. Values pass a redactor before they are written;
numbers that are not finite are left out, since trackers store them as words.
"""

import os
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Protocol, TypeAlias

from ..files import read_json_lines, write_atomically
from ..identity import Json, canonical_json, slug
from ..redaction import MASK, environment_secrets, is_secret, redact_document, redact_name, redact_settings
from .backends import BACKENDS, ONLINE, Backend, find_backend, replay
from .writing import TrackedRun, Writer

SUFFIX = ".spool.jsonl"
KEPT_SUFFIX = ".lines.jsonl"
"""Of the lines of a training that was closed: a resumed one goes on with them."""
TABLE_SUFFIX = ".csv"

Scalar: TypeAlias = str | int | float | bool | None
Warn: TypeAlias = Callable[[str], None]


class Tracker(Protocol):
    """Takes what a run is made of and what came out; none of these raises but for a bug."""

    def continue_run(self, key: str, step: int) -> None:
        """Go on with the run of the training `key` after `step`, or begin it anew at step 0; before anything else.

        `key` is a file name, and the run's own name where the tracker can go on with a run.
        """
        ...

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
    backend = find_backend(word)
    is_online = word.endswith(ONLINE) and backend.is_reachable(warn)
    stem = f"{slug(redact_name(name))}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{os.getpid()}"
    return Spool(path=folder / f"{stem}{SUFFIX}", name=name, warn=warn, backend=backend, is_online=is_online)


@dataclass(slots=True, kw_only=True)
class Spool:
    """The Tracker: appends lines, and hands each on at once where a run is open online."""

    path: Path
    """Of the spool; there is none before the first line."""
    name: str
    warn: Warn
    backend: Backend = BACKENDS["comet-ml"]
    is_online: bool = False
    """Whether a run is to be opened with the first line."""
    run_id: str = field(default_factory=lambda: secrets.token_hex(8))
    live: Writer | None = None
    secrets: tuple[str, ...] = field(default_factory=environment_secrets, repr=False)
    is_kept: bool = False
    """Whether the lines stay when the tracker is closed, for a resumed training."""
    earlier: list[Mapping[str, Json]] = field(default_factory=list)
    """Lines of an earlier part of the training, for a run that is opened online: it may lack some of them."""
    failed: bool = False
    begun: bool = False
    closed: bool = False
    said: set[str] = field(default_factory=set)

    def continue_run(self, key: str, step: int) -> None:
        """Go on with what was tracked of the training up to `step`; its steps after that are tracked again."""
        if self.backend.continues and not self.begun:
            self._try(lambda: self._continue(key, step))

    def _continue(self, key: str, step: int) -> None:
        self.name, stem = key, f"{key}.{self.backend.word}"
        spool, kept = (self.path.with_name(f"{stem}{suffix}") for suffix in (SUFFIX, KEPT_SUFFIX))
        self.path, self.is_kept = spool, True
        found = next((read_json_lines(path) for path in (spool, kept) if path.is_file()), [])
        identifier = next((line["id"] for line in found if "name" in line and "id" in line), None)
        if step > 0 and isinstance(identifier, str):
            self.run_id = identifier
            lines = [line for line in found if not _is_after(line, step)]
            write_atomically(spool, "".join(f"{canonical_json(line)}\n" for line in lines))
            self.begun, self.earlier = True, lines
        else:
            spool.unlink(missing_ok=True)
        kept.unlink(missing_ok=True)

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
            self._try(lambda: put_away(self.path, keep=self.is_kept))
        elif self.begun and not self.failed:
            self._try(lambda: archive_spool(self.path, self.warn, keep=self.is_kept))

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
        if self.is_online and self.live is None:
            self._open()
        if self.live is not None:
            live = self.live
            self._try(lambda: replay(line, live, self.hide_in_file))

    def _open(self) -> None:
        """Open the run online; where that fails, an offline one is made in the end."""
        self.is_online = False
        try:
            stem = self.path.name.removesuffix(SUFFIX)
            run = TrackedRun(name=self.hide(self.name), stem=stem, id=self.run_id)
            self.live = self.backend.start_online(run)
            for line in self.earlier:
                replay(line, self.live, self.hide_in_file)
        except Exception as error:  # noqa: BLE001 - the border to the tracker: a mirror never ends a run
            self.live = None
            self.warn(f"tracking: {type(error).__name__}; an offline archive is made instead")

    def _append(self, line: Mapping[str, Json]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as stream:
            if not self.begun:
                which = {"tracker": self.backend.word, "id": self.run_id} if self.backend.continues else {}
                stream.write(canonical_json({"name": self.hide(self.name), **which}) + "\n")
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


def _is_after(line: Mapping[str, Json], step: int) -> bool:
    """Return whether a line holds numbers of a later step."""
    found = line.get("step")
    return isinstance(found, int) and found > step


def _without_home(text: str) -> str:
    home = os.environ.get("HOME", "")
    return text.replace(home, "~") if len(home) > 1 else text


def archive_spool(path: Path, warn: Warn, *, keep: bool = False) -> Path:
    """Make the archive of a spool, take the spool away, or `keep` its lines, and return the archive."""
    lines = read_json_lines(path, hint="move the file away; the run that it tracked is not affected")
    header = next((line for line in lines if "name" in line and "file" not in line), {})
    name = str(header.get("name", path.name.removesuffix(SUFFIX)))
    backend = BACKENDS.get(str(header.get("tracker")), BACKENDS["comet-ml"])
    hide = Spool(path=path, name=name, warn=warn).hide_in_file

    def fill(run: Writer) -> None:
        for line in lines:
            replay(line, run, hide)

    stem = path.name.removesuffix(SUFFIX)
    run = TrackedRun(name=name, stem=stem, id=str(header.get("id", secrets.token_hex(8))))
    made = backend.make_offline(path.parent, run, fill)
    put_away(path, keep=keep)
    return made


def put_away(path: Path, *, keep: bool) -> None:
    """Take a spool away that is archived or sent, or keep its lines under another name."""
    if keep and path.is_file():
        path.replace(path.with_name(path.name.removesuffix(SUFFIX) + KEPT_SUFFIX))
    else:
        path.unlink(missing_ok=True)
