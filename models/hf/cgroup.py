"""The memory that this process may have: the machine's, or what the cgroups of its container leave of it.

In a container with a limit of 8 GB on a machine with 64 GB, psutil says 60 GB are free; who takes them is killed. The
files of cgroup v2 (`memory.max`) and v1 (`memory.limit_in_bytes`) say what the container may have, each level of nested
groups for itself. What the kernel keeps there of files that nobody has read lately (`inactive_file`) counts as free, as
container runtimes count it: the kernel drops it before it kills anybody.

A machine without such files, as macOS or a plain Linux, has what psutil says.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path("/")
"""Of the file system."""


@dataclass(frozen=True, slots=True)
class _Files:
    """How the files of a version of cgroups are called."""

    folder: str
    """Where the groups are mounted, below the root of the file system."""
    limit: str
    usage: str
    reclaimable: str
    """The line of `memory.stat`; in v1 the one that counts nested groups too, as the usage does."""


V2 = _Files("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file")
V1 = _Files("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def available_bytes(root: Path | None = None) -> int:
    """Return how much memory this process can still take: what the machine has, and what all of its cgroups allow.

    `root` holds the folders `proc` and `sys`; None: those of this machine.
    """
    import psutil  # noqa: PLC0415 - a look at the machine

    allowed = [max(0, limit - used) for limit, used in _limits(root or ROOT)]
    return min([int(psutil.virtual_memory().available), *allowed])


def total_bytes(root: Path | None = None) -> int:
    """Return how much memory this process could have at most."""
    import psutil  # noqa: PLC0415 - a look at the machine

    return min([int(psutil.virtual_memory().total), *(limit for limit, _ in _limits(root or ROOT))])


def _limits(root: Path) -> Iterator[tuple[int, int]]:
    """Yield limit and use, in bytes, of each group with a limit that this process is in, nested ones first."""
    for files, group in _groups(root):
        mount = root / files.folder
        # In a namespace of its own the path is another one than it is here, and what is mounted is the group itself.
        for folder in [mount / group, *(mount / above for above in group.parents)]:
            limit, usage = _number(folder / files.limit), _number(folder / files.usage)
            if limit is not None:
                used = usage or 0  # what is not known is not taken off
                yield limit, used - min(used, _stat(folder / "memory.stat", files.reclaimable))


def _groups(root: Path) -> Iterator[tuple[_Files, PurePosixPath]]:
    """Yield the groups of this process that may limit its memory, as paths below the mount of their version."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        # A line of v2 is "0::/docker/abc", one of v1 "4:memory:/docker/abc".
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        group = PurePosixPath(path.lstrip("/"))
        if ".." in group.parts:  # a group outside of our namespace; what is mounted is all that we can see
            group = PurePosixPath()
        if number == "0" and not controllers:
            yield V2, group
        elif "memory" in controllers.split(","):
            yield V1, group


def _number(path: Path) -> int | None:
    """Return the number in a file; None where there is none: no such file, or "max", which is no limit."""
    try:
        text = path.read_text(encoding="ascii").strip()
        return int(text) if text.isdecimal() else None
    except (OSError, ValueError):  # not readable, not ASCII, or too many digits for a number
        return None


def _stat(path: Path, name: str) -> int:
    """Return a value of `memory.stat`, 0 where it is not known."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
        words = next((line.split() for line in lines if line.split()[:1] == [name]), [])
        return int(words[1]) if len(words) > 1 and words[1].isdecimal() else 0
    except (OSError, ValueError):
        return 0
