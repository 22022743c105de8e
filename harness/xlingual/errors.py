"""The error tree.

    XlingualError             exit code
    ├── UsageError                2   a word of the command line or of the environment is wrong, or names no file
    ├── DataError                 3   a data, model or config file, or a folder of runs, holds something wrong
    │   ├── ModelError            3   a model cannot be loaded or does not fit the run
    │   └── PluginError           3   code of a plugin raises something, or breaks its protocol
    ├── AuthError                 4   a server refused the credentials
    └── EnvironmentFault          5   disk, lock, network or a missing dependency
    Interrupted             130, 143  a signal ended the run; what was finished is stored

Interrupted is no XlingualError and no Exception, as KeyboardInterrupt is none: a library that takes every Exception for
a failure of its own, or code that goes on without what could not be read, must not swallow a signal.

An exit code of 0 means complete, 1 finished with failed samples, 70 a bug.
"""

from typing import ClassVar


class XlingualError(Exception):
    """What went wrong, where, and what to do about it: shown as `error: WHERE: WHAT` and `hint: HINT`."""

    exit_code: ClassVar[int] = 70

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        """`where` names a file, line and field, a task or an option; `hint` is one sentence on the way out."""
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        """WHERE: WHAT."""
        return f"{self.where}: {self.what}" if self.where else self.what


class UsageError(XlingualError):
    """A word of the command line or of the environment is wrong, or names nothing that is there."""

    exit_code = 2


class DataError(XlingualError):
    """A data, model or config file, or a folder of runs, holds something wrong; nothing of it is used."""

    exit_code = 3


class ModelError(DataError):
    """A model cannot be loaded, or cannot do what the run needs."""


class PluginError(DataError):
    """Code of a plugin raises something that is none of these errors, or returns what its protocol does not have."""


class AuthError(XlingualError):
    """A server refused the credentials."""

    exit_code = 4


class EnvironmentFault(XlingualError):
    """The machine lacks something: space, a lock, a network, a package."""

    exit_code = 5


class Interrupted(BaseException):
    """A signal ended the run; every answer that was finished is in the journal."""

    def __init__(self, signal_number: int, *, hint: str = "") -> None:
        """`signal_number` as in the signal module: 2 for SIGINT, 15 for SIGTERM."""
        super().__init__(signal_number)  # what pickle makes it of again
        self.signal_number = signal_number
        self.hint = hint

    def __str__(self) -> str:
        """Say which signal."""
        return f"stopped by signal {self.signal_number}"
