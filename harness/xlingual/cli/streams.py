"""Standard output and error that never end a run: a closed pipe, a full disk and a gone terminal are remembered.

    xlingual eval ... 2>&1 | head -3       the run goes on to its end; what nobody reads is dropped
    xlingual compare a b > /dev/full       exit code 5: the table was what was asked for

What a run produces is in its folder. So `eval`, `tune` and their like end as if everything had been read.
"""

import errno
import io
import os
import select
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from typing_extensions import Buffer

from ..descriptors import open_closed_descriptors
from ..errors import EnvironmentFault
from ..redaction import redact_message

WRITE_FOLDERS = ("eval", "tune run", "xllama", "scale sweep", "judge")
"""Commands whose results are in a folder, whatever becomes of what they print."""
_ONLY_PRINT = frozenset({"--dry-run", "--help", "-h"})
"""Options with which they write no folder."""
_GROUPS = ("tune", "scale")
"""Commands that have commands."""


@dataclass(slots=True, eq=False)
class Streams:
    """Both streams of this process."""

    output: "_Steadfast"
    error: "_Steadfast"

    def lost(self) -> OSError | None:
        """Return why standard output took not all; None where it did, or where its reader had read enough."""
        fault = self.output.fault
        return None if fault is None or fault.errno == errno.EPIPE else fault


class _Steadfast(io.RawIOBase):
    """A file descriptor for writing that swallows errors: the first is kept, and nothing more is written."""

    def __init__(self, descriptor: int) -> None:
        """Write to `descriptor`, which stays open."""
        self.descriptor = descriptor
        self.fault: OSError | None = None

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the descriptor: terminals are asked for their size by it."""
        return self.descriptor

    def isatty(self) -> bool:
        """Return whether it is a terminal that is still there."""
        return self.fault is None and os.isatty(self.descriptor)

    def write(self, data: Buffer) -> int:
        """Write all of `data`, or remember why not."""
        left = memoryview(data).cast("B")
        size = len(left)
        while left and self.fault is None:
            try:
                left = left[os.write(self.descriptor, left) :]
            except BlockingIOError:  # a descriptor that another program set so: wait for its reader
                select.select([], [self.descriptor], [])
            except OSError as error:
                self.fault = error
        return size


class _Redacting(io.TextIOWrapper):
    """A text stream without secrets: what libraries, plugins and threads log, warn of and raise comes here, too."""

    def write(self, text: str, /) -> int:
        """Write `text` as `redact_message` has it, and return the length of what was given."""
        super().write(redact_message(text))
        return len(text)


def open_streams() -> Streams:
    """Put streams that never fail in the place of sys.stdout and sys.stderr; closed ones are opened to nowhere."""
    open_closed_descriptors()
    streams = Streams(_Steadfast(1), _Steadfast(2))
    sys.stdout = _text_stream(streams.output, sys.stdout)
    sys.stderr = _text_stream(streams.error, sys.stderr)
    return streams


def _text_stream(raw: _Steadfast, before: object) -> io.TextIOWrapper:
    """Return a text stream on `raw` with the encoding of the stream before it; what it cannot say is escaped."""
    encoding = getattr(before, "encoding", None) or "utf-8"
    errors = getattr(before, "errors", None) or "strict"
    if raw.descriptor == 2:
        errors = "backslashreplace"
    buffered = io.BufferedWriter(raw, buffer_size=8192)
    interactive = raw.descriptor == 2 or raw.isatty()
    kind = _Redacting if raw.descriptor == 2 else io.TextIOWrapper
    return kind(buffered, encoding=encoding, errors=errors, line_buffering=interactive)


def _writes_folder(arguments: Sequence[str]) -> bool:
    """Return whether the results of this command line are in a folder."""
    words = [word for word in arguments if not word.startswith("-")]
    command = " ".join(words[: 2 if words[:1] and words[0] in _GROUPS else 1])
    return command in WRITE_FOLDERS and _ONLY_PRINT.isdisjoint(arguments)


def exit_code_of(code: int, arguments: Sequence[str], streams: Streams) -> int:
    """Return the exit code of a command that has ended with `code`, once its output is written."""
    sys.stdout.flush()
    fault = streams.lost()
    if code != 0 or fault is None or _writes_folder(arguments):
        return code
    lost = EnvironmentFault(f"standard output: {fault.strerror or fault}", hint="make room, or write to another place")
    sys.stderr.write(f"error: {lost}\nhint: {lost.hint}\n")
    return lost.exit_code
