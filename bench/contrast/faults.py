"""The faults, each done in the same way to every tool; what came out, as plain facts.

Every function returns the facts of one fault; `words` makes the sentences of the page of them, and of nothing else.
"""

import json
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from .chat_model import write_deaf_model
from .places import Command, Ended, Place, Tool, end, run, run_all, start
from .server import Loopback, Reply, serve, slowly, very_slowly, well
from .titles import CUT_AT, DEPTH, EARLY, FULL_FROM

Fact = int | float | str | bool | None | Sequence[object]
Facts = dict[str, Fact]
PLACES = (0.5, 0.75, 1.0)
"""Of a file that is damaged, from its beginning to its end."""
DAMAGE_WORDS = re.compile(
    r"damaged|torn|truncated|corrupt|malformed|checksum|CRC|not JSON|invalid|bad zip|not a zip", re.IGNORECASE
)
MOUNT_BYTES = 96 * 2**20


@dataclass(slots=True)
class Bench:
    """One tool under one fault."""

    tool: Tool
    place: Place
    commands: list[str]
    """As a person types them."""

    def note(self, commands: Sequence[Command], url: str) -> None:
        """Write down what is run; the same command is shown once."""
        shown = (each.shown(self.place, url) for each in commands)
        self.commands += [line for line in shown if line not in self.commands]

    def results(self) -> Facts:
        """Return what the tool shows as results now: how many, and of the newest n, score, whether it is whole."""
        found = self.tool.published(self.place)
        newest = found[-1] if found else None
        return {
            "results": len(found),
            "n": newest.n if newest else None,
            "score": newest.score if newest else None,
            "whole": newest.is_complete if newest else None,
        }


def last_line(ended: Ended) -> str:
    """Return the last line that was printed, shortened, without the paths, ports and times of one machine."""
    lines = [line.strip(" │╭╰─╯╮|") for line in ended.text.splitlines()]
    line = next((each for each in reversed(lines) if each), "")
    for pattern, plain in (
        (r"(/[\w.-]+){2,}/", ""),
        (r"(127\.0\.0\.1|localhost):\d+", r"\1:PORT"),
        (r"\d{4}-\d\d-\d\d[T: ]?[\d:,.+Z-]*", ""),
    ):
        line = re.sub(pattern, plain, line)
    return line.strip()[:160]


def has_traceback(ended: Ended) -> bool:
    """Return whether a traceback was printed, plain or drawn by rich."""
    return "Traceback (most recent call last)" in ended.text


def after(server: Loopback, before: int, done: set[int]) -> Facts:
    """Return what was asked from the `before`-th request on: how much, and how much of `done` again."""
    asked = [each.question for each in server.asked[before:]]
    return {"finished": len(done), "asked": len(asked), "repeated": len(done & set(asked))}


def resume(bench: Bench, server: Loopback) -> Facts:
    """Go on as documented; return what was asked again and what came out."""
    before, done = len(server.asked), server.answered()
    commands = bench.tool.resume(bench.place, server.url)
    bench.note(commands, server.url)
    ended = run_all(bench.place, commands)
    return {"code": ended[-1].code, "last line": last_line(ended[-1]), **after(server, before, done), **bench.results()}


def cut_off(bench: Bench, server: Loopback, number: signal.Signals) -> Ended:
    """Run until the CUT_AT-th question has come in, then send a signal."""
    command = bench.tool.ask(bench.place, server.url)
    bench.note([command], server.url)
    process = start(bench.place, command)
    server.wait_for(CUT_AT, process)
    process.send_signal(number)
    return end(bench.place, process)


def kill(bench: Bench) -> Facts:
    """`kill -9` in the middle, then the documented way on."""
    with serve(slowly) as server:
        cut_off(bench, server, signal.SIGKILL)
        return resume(bench, server)


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mount a file system of MOUNT_BYTES at `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={MOUNT_BYTES}", "tmpfs", str(folder)]
    subprocess.run(words, check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Fill a file system to its last byte."""
    path = folder / "ballast"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return path


def full_disk(bench: Bench) -> Facts:
    """The file system of the output folder is full from the fourth question on; then it has room again."""
    with serve(slowly) as server, small_disk(bench.place.out):
        command = bench.tool.ask(bench.place, server.url)
        bench.note([command], server.url)
        process = start(bench.place, command)
        server.wait_for(FULL_FROM, process)
        ballast = fill(bench.place.out)
        ended = end(bench.place, process)
        full = {
            "code when full": ended.code,
            "last line when full": last_line(ended),
            "results when full": bench.results()["results"],
            "said": bool(re.search(r"no space left|disk is full|Errno 28|ENOSPC", ended.text, re.IGNORECASE)),
        }
        ballast.unlink()
        return {**full, **resume(bench, server)}


def damage(bench: Bench) -> Facts:
    """Ctrl-C in the middle; then 24 bytes of the file that holds the answers are overwritten, at one of PLACES; on."""
    found: dict[str, list[Fact]] = {name: [] for name in ("code", "said", "n", "score", "repeated", "finished")}
    with serve(slowly) as server, tempfile.TemporaryDirectory() as folder:
        cut_off(bench, server, signal.SIGINT)
        if (path := bench.tool.store(bench.place)) is None:
            return {"store": None, **resume(bench, server)}
        done = len(server.asked)
        shutil.copytree(bench.place.root, Path(folder) / "kept")
        for share in PLACES:
            shutil.rmtree(bench.place.root)
            shutil.copytree(Path(folder) / "kept", bench.place.root)
            del server.asked[done:]
            content = path.read_bytes()
            first = round((len(content) - 24) * share)
            path.write_bytes(content[:first] + b"\x00\xff" * 12 + content[first + 24 :])
            one = resume(bench, server)
            one["said"] = bool(DAMAGE_WORDS.search(newest_text(bench.place)))
            for name, values in found.items():
                values.append(one[name])
    return {"store": path.suffix, **{name: tuple(values) for name, values in found.items()}}


def newest_text(place: Place) -> str:
    """Return all that the newest command printed."""
    number = len(list(place.root.glob("printed-*.out"))) - 1
    return "".join(
        (place.root / f"printed-{number}.{kind}").read_text(encoding="utf-8", errors="replace")
        for kind in ("out", "err")
    )


def edited(bench: Bench) -> Facts:
    """A finished run's score is set to 99.9; then the documented commands that read results."""
    with serve(well) as server:
        command = bench.tool.ask(bench.place, server.url)
        bench.note([command], server.url)
        run(bench.place, command)
        before = bench.results()
        bench.tool.edit(bench.place)
        commands = bench.tool.show(bench.place)
        bench.note(commands, server.url)
        ended = run_all(bench.place, commands)
        helped = run(bench.place, replace(command, arguments=("--help",))) if not commands else None
    listed = re.findall(r"^    ([a-z][\w-]*) {2,}\w", helped.out, re.MULTILINE) if helped else []
    said = [bool(re.search(r"edited|tamper|mismatch|does not match", each.text, re.IGNORECASE)) for each in ended]
    return {
        "score": before["score"],
        "readers": len(commands),
        "commands of the program": listed,
        "codes": [each.code for each in ended],
        "readers that say so": sum(said),
    }


def deaf_template(bench: Bench) -> Facts:
    """A local chat model whose template is the word "hello"."""
    model = bench.place.root / "deaf"
    write_deaf_model(model)
    command = bench.tool.local(bench.place, model)
    bench.note([command], "URL")
    ended = run(bench.place, command)
    return {"code": ended.code, "last line": last_line(ended), **bench.results()}


def two_at_once(bench: Bench) -> Facts:
    """The same command twice at the same time, one output folder; replies are so slow that both are at work."""
    with serve(very_slowly) as server:
        command = bench.tool.ask(bench.place, server.url)
        bench.note([command], server.url)
        both = [start(bench.place, command) for _ in range(2)]
        ends = [end(bench.place, each, number) for number, each in enumerate(both)]
        asked = [each.question for each in server.asked]
    return {
        "codes": [each.code for each in ends],
        "asked": len(asked),
        "repeated": len(asked) - len(set(asked)),
        "last lines": [last_line(each) for each in ends],
        **bench.results(),
    }


def closed_output(bench: Bench) -> Facts:
    """`2>&1 | head -1`: the reader of both outputs goes away after the first line."""
    with serve(slowly) as server:
        command = bench.tool.ask(bench.place, server.url)
        bench.commands.append(f"{command.shown(bench.place, server.url)} 2>&1 | head -1")
        pipe = ["bash", "-c", '"$@" 2>&1 | head -1; exit ${PIPESTATUS[0]}', "bash", *command.words]
        ended = run(bench.place, command, pipe)
        return {"code": ended.code, "asked": len(server.asked), **bench.results()}


def password(bench: Bench) -> Facts:
    """A password and a key in the address of the server; SIGTERM in the middle, then the documented way on."""
    canary = f"canary{secrets.token_hex(8)}"
    with serve(slowly) as server:
        plain = server.url
        server.url = f"{plain.replace('://', f'://user:{canary}@')}?api-key={canary}"
        cut_off(bench, server, signal.SIGTERM)
        printed = newest_text(bench.place)
        found = resume(bench, server)
        printed += newest_text(bench.place)
    bench.commands = [line.replace(canary, "SECRET") for line in bench.commands]
    files = [path for path in bench.place.out.rglob("*") if path.is_file()]
    holders = sorted({kind_of(path) for path in files if holds(bench.tool, bench.place, path, canary)})
    return {"asked": found["finished"], "on the screen": canary in printed, "in files": holders}


def kind_of(path: Path) -> str:
    """Return the name of a file without what differs from run to run."""
    return re.sub(r"[\dTZ_+:.-]{6,}.*(?=\.\w+$)", "*", path.name)


def holds(tool: Tool, place: Place, path: Path, text: str) -> bool:
    """Return whether a file holds a text; of an archive, whether what the tool reads from it does."""
    content = json.dumps(tool.documents(place)).encode() if zipfile.is_zipfile(path) else path.read_bytes()
    return text.encode() in content


def early_interrupt(bench: Bench) -> Facts:
    """Ctrl-C in the first second."""
    codes: list[int | None] = []
    traces = 0
    with serve(slowly) as server:
        command = bench.tool.ask(bench.place, server.url)
        bench.note([command], server.url)
        for seconds in EARLY:
            process = start(bench.place, command)
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)
            ended = end(bench.place, process)
            codes.append(ended.code)
            traces += has_traceback(ended)
    return {"codes": codes, "tracebacks": traces}


def server_errors(bench: Bench) -> Facts:
    """429 once for question 3, 500 always for question 6; then the server is well again, and the run goes on."""
    broken = True

    def manner(question: int, before: int) -> Reply:
        if question == 3 and not before:
            return Reply(status=429)
        return Reply(status=500 if question == 6 and broken else 200)

    with serve(manner) as server:
        command = bench.tool.ask(bench.place, server.url)
        bench.note([command], server.url)
        ended = run(bench.place, command)
        first = {f"first {name}": value for name, value in bench.results().items()}
        found: Facts = {"first code": ended.code, **first, "first finished": len(server.answered())}
        broken = False
        return {**found, **resume(bench, server)}


def ending(finish: str, *_: int) -> Reply:
    """Answer at once, and say why the answer ended."""
    return Reply(finish=finish)


def cut_answers(bench: Bench) -> Facts:
    """Every answer ends at the token limit (`finish_reason: length`); which fields of the records tell?"""
    records = []
    for number, finish in enumerate(("stop", "length")):
        place = replace(bench.place, root=bench.place.root / f"run-{number}")
        place.prepare()
        bench.tool.prepare(place)

        with serve(partial(ending, finish)) as server:
            command = bench.tool.ask(place, server.url)
            inner = Bench(tool=bench.tool, place=place, commands=bench.commands)
            inner.note([command], server.url)
            ended = run(place, command)
        leaves: dict[str, set[str]] = {}
        for document in bench.tool.documents(place):
            collect(json.loads(json.dumps(document).replace(f"/run-{number}/", "/run/")), "", leaves)
        records.append(leaves)
    whole, cut = records
    telling = sorted(
        name for name in set(whole) | set(cut)
        if whole.get(name) != cut.get(name) and any(re.search(r"length|max_tokens|^100(\.0)?$|^[1-9]\d*(\.0)?$", value)
                                                    for value in cut.get(name, set()) - whole.get(name, set()))
        and not VOLATILE.search(name)
    )  # fmt: skip
    return {"code": ended.code, "fields": telling}


VOLATILE = re.compile(
    r"time|date|hash|uuid|seconds|duration|timestamp|port|url|path|word|address|fingerprint|stats|_id|\bid$"
)
"""Names of fields that differ from run to run."""


def collect(value: object, name: str, leaves: dict[str, set[str]]) -> None:
    """Collect the values of a JSON document below the names of their fields."""
    if isinstance(value, Mapping):
        label = value.get("metric")
        for key, each in value.items():
            inner = f"{name}.{key}" if not isinstance(label, str) else f"{name}[{label}].{key}"
            collect(each, inner.lstrip("."), leaves)
    elif isinstance(value, list):
        for each in value:
            collect(each, name, leaves)
    else:
        leaves.setdefault(name, set()).add(str(value))


def nested(bench: Bench) -> Facts:
    """`[` 100,000 times in a file that the user writes."""
    with serve(well) as server:
        command = bench.tool.nested(bench.place, server.url, "[" * DEPTH)
        bench.note([command], server.url)
        ended = run(bench.place, command)
        return {
            "code": ended.code,
            "traceback": has_traceback(ended),
            "last line": last_line(ended),
            "asked": len(server.asked),
        }


FAULTS: dict[str, Callable[[Bench], Facts]] = {
    "kill": kill,
    "full disk": full_disk,
    "damage": damage,
    "edited": edited,
    "template": deaf_template,
    "two at once": two_at_once,
    "closed output": closed_output,
    "password": password,
    "early Ctrl-C": early_interrupt,
    "server errors": server_errors,
    "cut answers": cut_answers,
    "nesting": nested,
}
"""By the name under which it is recorded: see `titles`."""
