"""A headless Chromium, spoken to by the DevTools protocol over two pipes: no driver, no package.

`--remote-debugging-pipe` reads commands from file descriptor 3 and answers on 4, JSON texts that end in a zero byte.
"""

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
SWITCHES = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--remote-debugging-pipe"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"),
    "--disable-dev-shm-usage",
)
Object = Mapping[str, object]


def find_chromium() -> str | None:
    """Return the path of a Chromium on this machine, or None."""
    return next((path for name in PROGRAMS if (path := shutil.which(name)) is not None), None)


class BrowserGoneError(RuntimeError):
    """It did not start, or has ended."""


class Page:
    """One tab."""

    def __init__(self, commands: IO[bytes], answers: IO[bytes]) -> None:
        self._commands, self._answers = commands, answers
        self._session: str | None = None
        self._number = 0
        self.events: list[Object] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = str(self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: object) -> Object:
        """Send a command and return its result; what happens meanwhile is kept in `events`."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        try:
            self._commands.write(json.dumps(message).encode() + b"\0")
        except BrokenPipeError as error:
            raise BrowserGoneError("the browser has gone") from error
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return cast(Object, answer["result"])

    def _read(self) -> Object:
        data = bytearray()
        while (byte := self._answers.read(1)) != b"\0":
            if not byte:
                raise BrowserGoneError("the browser has gone")
            data += byte
        message = cast(Object, json.loads(data))
        if "id" not in message:
            self.events.append(message)
        return message

    def evaluate(self, script: str) -> object:
        """Return the value of an expression in the page; promises are awaited."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(str(result["exceptionDetails"]))
        return cast(Object, result["result"]).get("value")

    def wait(self, condition: str, seconds: float = 20) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not self.evaluate(f"Boolean({condition})"):
            if time.monotonic() > end:
                raise RuntimeError(f"never: {condition}")
            time.sleep(0.02)

    def open(self, path: Path, fragment: str = "") -> None:
        """Load a file and wait for all of it."""
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=path.as_uri() + fragment)
        self.wait("document.readyState === 'complete' && location.protocol === 'file:'", 60)

    def size(self, width: int, height: int, *, phone: bool = False) -> None:
        """Set the size of the window in CSS pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)

    def dark(self, on: bool) -> None:
        """Set what the system prefers."""
        value = "dark" if on else "light"
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": value}])

    def press(self, key: str, *, ctrl: bool = False) -> None:
        """Press a key, as a person does."""
        text = {"Enter": "\r", " ": " "}.get(key, key if len(key) == 1 else "")
        codes = {"Enter": 13, "Escape": 27, " ": 32, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowUp": 38,
                 "ArrowRight": 39, "ArrowDown": 40, "Tab": 9}  # fmt: skip
        shared = {"key": key, "code": key, "modifiers": 2 if ctrl else 0, "windowsVirtualKeyCode": codes.get(key, 0)}
        self.call("Input.dispatchKeyEvent", type="keyDown", text="" if ctrl else text, **shared)
        self.call("Input.dispatchKeyEvent", type="keyUp", **shared)

    def picture(self, path: Path) -> None:
        """Write a screenshot as PNG."""
        path.write_bytes(base64.b64decode(str(self.call("Page.captureScreenshot", format="png")["data"])))

    def complaints(self) -> list[str]:
        """Return all that the console was told: errors, warnings, refusals."""
        self.evaluate("0")
        wanted = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
        return [json.dumps(event["params"])[:600] for event in self.events if event["method"] in wanted]

    def requests(self) -> list[str]:
        """Return the address of every request, but for those of the opened files themselves."""
        found = [
            str(cast(Object, cast(Object, event["params"])["request"])["url"])
            for event in self.events
            if event["method"] == "Network.requestWillBeSent"
            and cast(Object, event["params"]).get("type") != "Document"
        ]
        return [address for address in found if not address.startswith("blob:")]


@contextmanager
def browse(program: str, profile: Path) -> Iterator[Page]:
    """Start a browser with a fresh profile and yield its page; the browser ends with the block."""
    command_read, command_write = os.pipe()
    answer_read, answer_write = os.pipe()
    # The shell puts the two ends where Chromium looks for them.
    line = f'exec "$@" 3<&{command_read} 4>&{answer_write}'
    process = subprocess.Popen(
        ["bash", "-c", line, "bash", program, *SWITCHES, f"--user-data-dir={profile}"],
        pass_fds=(command_read, answer_write),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(command_read)
    os.close(answer_write)
    with (
        os.fdopen(command_write, "wb", buffering=0) as commands,
        os.fdopen(answer_read, "rb", buffering=65536) as answers,
    ):
        try:
            yield Page(commands, answers)
        finally:
            process.terminate()
            process.wait(timeout=20)
