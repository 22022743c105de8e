"""What an exception is that nobody has caught: a plugin's, the machine's, or a bug of ours.

    KeyError in the __hash__ of an id that a plugin made     3, the line of the plugin
    RuntimeError: can't start new thread                     5
    OSError: [Errno 24] Too many open files                  5
    RuntimeError: Symlink loop from 'runs'                   2
    anything else                                            70

Nothing that a user, a file or a plugin can do may be the last of these.
"""

import os

from ..errors import EnvironmentFault, UsageError, XlingualError
from ..plugin_code import plugin_fault
from ..threads import NO_THREAD, no_thread

_LOOP = "Symlink loop from"


def explain_uncaught(error: BaseException) -> XlingualError:
    """Return the error to report for an exception that came up to the command line."""
    return plugin_fault(error) or machine_fault(error) or _path_fault(error) or _bug(error)


def _path_fault(error: BaseException) -> UsageError | None:
    """Return the error where pathlib cannot follow a path that a user has given; None for any other."""
    words = str(error)
    if isinstance(error, RuntimeError) and words.startswith(_LOOP):
        return UsageError("a link to itself", where=words.removeprefix(_LOOP).strip(" '"))
    if isinstance(error, RuntimeError) and "home dir" in words:
        return UsageError("'~' names no home folder that is known", hint="write the path in full")
    if isinstance(error, ValueError) and "embedded null" in words:
        return UsageError("a path holds a NUL character", hint="look at the paths in files and options")
    return None


def machine_fault(error: BaseException) -> EnvironmentFault | None:
    """Return the error where the machine has refused something: memory, threads, files; None for any other."""
    if isinstance(error, RuntimeError):
        return no_thread() if NO_THREAD in str(error) else None
    if isinstance(error, MemoryError):
        return EnvironmentFault("the memory is not enough", hint="fewer at once, or a larger machine")
    if isinstance(error, OSError):
        names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
        what = error.strerror or f"{type(error).__name__}: {error}"
        hint = "the same command again, once that is mended; xlingual doctor looks at the machine"
        return EnvironmentFault(what, where=" -> ".join(names), hint=hint)
    return None


def _bug(error: BaseException) -> XlingualError:
    hint = "this is a bug; run again with --debug and report what it prints"
    return XlingualError(f"{type(error).__name__}: {error}", hint=hint)
