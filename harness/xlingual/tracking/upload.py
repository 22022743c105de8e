"""Offline archives to Comet, whenever there is a network."""

from collections.abc import Callable
from pathlib import Path

from ..errors import DataError, EnvironmentFault, UsageError
from ..store import TRACKING, walk_runs
from .cometml import archive_fault, require_key, send, server_fault
from .spool import SUFFIX, archive_spool

UPLOADED = ".uploaded"
"""Ends the name of an archive that Comet has, so that a folder can be uploaded again and again."""


def upload(path: Path, warn: Callable[[str], None]) -> list[Path]:
    """Upload an archive, or every archive below a folder, and return what Comet took.

    Spools that a killed run left behind are archived first. Raises UsageError where there is nothing to upload,
    AuthError without a key, DataError for a damaged archive and EnvironmentFault where the server cannot be reached.
    """
    archives = find_archives(path, warn)
    key = require_key()
    if fault := server_fault():
        raise EnvironmentFault(fault, where="comet-ml", hint="check the network; the archives stay where they are")
    for each in archives:
        send(each, key)
        each.rename(each.with_name(each.name + UPLOADED))
    return archives


def find_archives(path: Path, warn: Callable[[str], None]) -> list[Path]:
    """Return the archives at or below `path`, all of them whole.

    UsageError where there are none, DataError for a damaged one.
    """
    if not path.exists():
        raise UsageError("no such file or folder", where=str(path), hint="name an archive, or the --out of a run")
    if path.is_dir():
        for spool in sorted(each for each in walk_runs(path) if each.name.endswith(SUFFIX)):
            warn(f"{spool.name}: left by a run that was killed, or is still at work; archived now")
            try:
                made = archive_spool(spool, warn)
                if made.suffix != ".zip":
                    warn(f"{made.name}: not sent from here; see docs/tuning.md, Tracking")
            except (OSError, ValueError) as error:
                raise DataError(f"cannot be archived ({error})", where=str(spool)) from error
        zipped = sorted(each for each in walk_runs(path) if each.suffix == ".zip")
        archives = [each for each in zipped if each.parent.name == TRACKING] or sorted(path.glob("*.zip"))
    else:
        archives = [path]
    if not archives:
        hint = "xlingual eval --track comet-ml makes one; runs of wandb are sent by: wandb sync OUT/tracking/wandb/*"
        raise UsageError("there is no archive", where=str(path), hint=hint)
    for each in archives:
        if fault := archive_fault(each):
            raise DataError(f"not an archive to upload: {fault}", where=str(each))
    return archives
