"""What an exception is that nobody has caught: a plugin's, the machine's, or a bug of ours.

    KeyError in the __hash__ of an id that a plugin made     3, the line of the plugin
    RuntimeError: can't start new thread                     5
    OSError: [Errno 24] Too many open files                  5
    anything else                                            70

Nothing that a user, a file or a plugin can do may be the last of these.
"""

from ..errors import EnvironmentFault, XlingualError
from ..plugin_code import plugin_fault
from ..threads import NO_THREAD, no_thread


def explain_uncaught(error: BaseException) -> XlingualError:
    """Return the error to report for an exception that came up to the command line."""
    return plugin_fault(error) or machine_fault(error) or _bug(error)


def machine_fault(error: BaseException) -> EnvironmentFault | None:
    """Return the error where the machine has refused something: memory, threads, files; None for any other."""
    if isinstance(error, RuntimeError) and NO_THREAD in str(error):
        return no_thread()
    if isinstance(error, MemoryError):
        return EnvironmentFault("the memory is not enough", hint="fewer at once, or a larger machine")
    if isinstance(error, OSError) and error.errno is not None:
        where = str(error.filename) if error.filename is not None else ""
        return EnvironmentFault(error.strerror or str(error), where=where, hint="xlingual doctor looks at the machine")
    return None


def _bug(error: BaseException) -> XlingualError:
    hint = "this is a bug; run again with --debug and report what it prints"
    return XlingualError(f"{type(error).__name__}: {error}", hint=hint)
