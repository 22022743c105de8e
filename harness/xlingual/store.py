"""Run folders: what is in them, and what `--fresh` moves aside; `journal` and `lease` are the parts with their own.

    OUT/MODEL-xxxxxxxx/TASK-xxxxxxxx/
        run.json                 who and what: model and task in full, before the first answer
        journal.jsonl            one line an answer, as they come; the last line of a key counts
        samples.jsonl            one line an example: prompt, answer, statistics (samples-limit-1-40.jsonl with a limit)
        results.json             the RunRecord (results-limit-1-40.json with a limit)
        journal-damaged.jsonl    lines that were damaged, set aside
        lock                     the lease of the run at work
        before-20250131T120000/  what `--fresh` moved aside: kept, and read by nothing that walks through runs

Summary files are replaced whole.
"""

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from .errors import DataError, EnvironmentFault
from .files import disk_fault, read_json_lines, remove_file
from .files.json_file import CHANGED
from .identity import Json

TRACKING = "tracking"
"""Folder beside the runs for what a tracker keeps offline."""
TRACKED_COPIES = ("wandb", ".wandb", "mlruns")
"""Folders in it that hold copies of results and records."""
_UNFINISHED = "-unfinished"
_EARLIER = re.compile(rf"before-\d{{8}}T\d{{6}}(-\d{{1,7}})?({_UNFINISHED})?")
"""Name of a folder that `--fresh` moved earlier answers and results to, with the time: nothing else is called so.

Not even a model: folders of models and plans end in a hyphen and eight hexadecimal digits.
"""
NEEDED_BYTES = 16 * 2**20


def prepare_folder(folder: Path) -> None:
    """Make `folder`, and find out before any model is loaded whether it can be written and has room.

    EnvironmentFault where it cannot be written or is too full.
    """
    probe = folder / f".probe.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            probe.write_bytes(b"x")
        finally:
            remove_file(probe)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise disk_fault(error, folder) from error
    if free < NEEDED_BYTES:
        raise EnvironmentFault(
            f"only {free} bytes are free", where=str(folder), hint="make room or choose another --out"
        )


def read_samples(folder: Path, name: str = "samples.jsonl", *, expected: int | None = None) -> list[Mapping[str, Json]]:
    """Return the lines of a run's samples file, as many as are `expected`, where that is known.

    Raises DataError naming the first without id, cluster and statistics, and for a file that has been cut.
    """
    path = folder / name
    samples = read_json_lines(path)
    for number, sample in enumerate(samples, start=1):
        match sample:
            case {"id": str(), "cluster": str(), "statistics": dict()}:
                continue
        raise DataError("not a line of samples", where=f"{path}:{number}", hint=CHANGED)
    if expected is not None and len(samples) != expected:
        raise DataError(f"{len(samples)} whole lines, and the run has {expected}", where=str(path), hint=CHANGED)
    return samples


def is_earlier(folder: Path) -> bool:
    """Return whether `folder` holds what `--fresh` moved aside."""
    return _EARLIER.fullmatch(folder.name) is not None


def is_half_moved(folder: Path) -> bool:
    """Return whether a kill has stopped `move_aside` in `folder`: what is left there is to be moved before all else."""
    return _half_moved(folder) is not None


def move_aside(folder: Path, paths: Sequence[Path]) -> None:
    """Move `paths` to a new folder in `folder`, so that nothing is written over; none for no paths.

    Its first name says that it is unfinished. From then on nothing in `folder` is read as a result, so that a kill
    between two moves leaves no half of a run; the next move goes on where it was.
    """
    unfinished = _half_moved(folder)
    if not paths and unfinished is None:
        return
    target = (
        _new_place(folder) if unfinished is None else unfinished.with_name(unfinished.name.removesuffix(_UNFINISHED))
    )
    unfinished = unfinished or target.with_name(target.name + _UNFINISHED)
    try:
        unfinished.mkdir(exist_ok=True)
        for path in paths:
            path.rename(unfinished / path.name)
        unfinished.rename(target)
    except OSError as error:
        raise disk_fault(error, target) from error


def _half_moved(folder: Path) -> Path | None:
    return next((path for path in sorted(folder.glob(f"before-*{_UNFINISHED}")) if is_earlier(path)), None)


def _new_place(folder: Path) -> Path:
    name = f"before-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
    target, number = folder / name, 1
    while target.exists():
        number += 1
        target = folder / f"{name}-{number}"
    return target


def walk_runs(root: Path, on_error: Callable[[OSError], object] | None = None) -> Iterator[Path]:
    """Yield every file below `root`, folder by folder in order of their names, but for what is no result any more.

    Left out is what `--fresh` moved aside, or was about to when it was killed, finished again or not, and what lies
    behind links to folders. A `root` that was moved aside is walked: who names such a folder means it. Folders that
    cannot be read are passed to `on_error`; without it the first is an EnvironmentFault, for runs in there are missing.
    """
    for place, folders, names in os.walk(root, onerror=on_error or _cannot_search):
        if any(name.endswith(_UNFINISHED) and is_earlier(Path(name)) for name in folders):
            folders.clear()
            continue
        # A tracker's copies are no runs: a board would show each of them twice.
        copies = TRACKED_COPIES if Path(place).name == TRACKING else ()
        folders[:] = sorted(name for name in folders if name not in copies and not is_earlier(Path(name)))
        yield from (Path(place, name) for name in sorted(names))


def _cannot_search(error: OSError) -> None:
    """Raise where a folder cannot be read; one that was removed meanwhile has nothing to be read."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        what = f"cannot be searched ({error.strerror or error})"
        raise EnvironmentFault(what, where=str(error.filename)) from error
