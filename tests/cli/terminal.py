"""Commands on a terminal of the tests' own: a pseudo-terminal, what it was sent, and the screen that it shows."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from dataclasses import dataclass
from pathlib import Path

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Shown:
    code: int
    raw: str

    @property
    def text(self) -> str:
        """What was sent, without the escapes that move the cursor or colour."""
        return _ESCAPES.sub("", self.raw)

    @property
    def lines(self) -> list[str]:
        return [line.rstrip("\r").rpartition("\r")[2] for line in self.text.split("\n")]


def on_terminal(width: int, *command: str, cwd: Path | None = None, **environment: str) -> Shown:
    """Run `command` with all three streams on a terminal that is `width` wide."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    outside = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        cwd=cwd,
        env={**outside, "TERM": "xterm", "NO_COLOR": "1", **environment},
    )
    os.close(follower)
    output = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:
            break
        if not piece:
            break
        output += piece
    code = process.wait(timeout=120)
    os.close(leader)
    return Shown(code, output.decode("utf-8"))
