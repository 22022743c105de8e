"""A server process on this machine: started, waited for until it is healthy, and ended with all that it started."""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xlingual.errors import EnvironmentFault
from xlingual.redaction import environment_secrets, is_secret, redact

START_SECONDS = 1800.0
"""For a server to load its model; $XLINGUAL_SERVER_START_SECONDS says otherwise."""
START_VARIABLE = "XLINGUAL_SERVER_START_SECONDS"
POLL_SECONDS = 0.2
TAIL_LINES = 12
"""Last lines of the log that an error shows."""
MAX_LINE = 300
"""Characters of each of them."""
WATCHDOG = Path(__file__).with_name("watchdog.py")


@dataclass(slots=True, kw_only=True)
class Server:
    """A running server, its watchdog and its log."""

    name: str
    port: int
    log: Path
    watchdog: subprocess.Popen[bytes]
    pipe: int
    """Closing it ends the server."""
    closed: bool = field(default=False, init=False)

    @property
    def url(self) -> str:
        """Where its API is."""
        return f"http://127.0.0.1:{self.port}/v1"

    def is_alive(self) -> bool:
        """Return whether the server still runs."""
        return not self.closed and self.watchdog.poll() is None

    def exits_within(self, seconds: float) -> bool:
        """Return whether the server ends within `seconds`: its connections break before its process has ended."""
        deadline = time.monotonic() + seconds
        while self.is_alive() and time.monotonic() < deadline:
            time.sleep(0.05)
        return not self.is_alive()

    def wait_until_healthy(self, path: str) -> None:
        """Return when `path` answers with 200; EnvironmentFault with the end of the log where that does not happen."""
        seconds = float(os.environ.get(START_VARIABLE, "") or START_SECONDS)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self.is_alive():
                raise self.fault(f"the server ended with code {self.watchdog.returncode} before it was ready")
            if _responds(f"http://127.0.0.1:{self.port}{path}"):
                return
            time.sleep(POLL_SECONDS)
        raise self.fault(f"the server was not ready after {seconds:.0f} seconds")

    def fault(self, what: str) -> EnvironmentFault:
        """Return an error that says `what`, with the end of the log."""
        hint = f"its log is {self.log}" + "".join(f"\n  {line}" for line in self.tail())
        return EnvironmentFault(what, where=self.name, hint=hint)

    def tail(self) -> list[str]:
        """Return the last lines of the log, without secrets."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []
        secrets = environment_secrets()
        return [redact(line, secrets)[:MAX_LINE] for line in lines[-TAIL_LINES:] if line.strip()]

    def stop(self, *, keep_log: bool = False) -> None:
        """End the server and everything that it started; safe to call twice."""
        if self.closed:
            return
        self.closed = True
        os.close(self.pipe)
        self.watchdog.wait()
        if not keep_log:
            self.log.unlink(missing_ok=True)


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_server(name: str, port: int, command: Sequence[str], environment: Mapping[str, str]) -> Server:
    """Start `command`, which is to listen on `port`, and return at once.

    The server does not get the keys in our environment. EnvironmentFault where it cannot be started.
    """
    descriptor, log = tempfile.mkstemp(prefix=f"xlingual-{name}-", suffix=".log")
    os.close(descriptor)
    inner, outer = os.pipe()
    clean = {key: value for key, value in os.environ.items() if not is_secret(key)}
    try:
        watchdog = subprocess.Popen(  # noqa: S603 - this very interpreter and a file of ours
            [sys.executable, str(WATCHDOG), str(inner), log, *command],
            env={**clean, **environment},
            pass_fds=[inner],
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # a signal to our terminal is not for the server
        )
    except OSError as error:
        os.close(outer)
        raise EnvironmentFault(f"cannot be started ({error})", where=name) from error
    finally:
        os.close(inner)
    return Server(name=name, port=port, log=Path(log), watchdog=watchdog, pipe=outer)


def _responds(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2.0) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError, ValueError):
        return False
