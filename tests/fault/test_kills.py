"""SIGKILL at every sample and at every call: nothing stored is lost or asked again, and the results are the same."""

import json
import os
import queue
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from xlingual.lease import LOCK

from ..models.fault_server import Asked, FaultServer, Reply, answer, serve
from ..small_base import make_small_base
from .layer import CHANGING, Fault
from .suite import Suite
from .trials import Place, Warm, snapshot, stored_keys

KILLED = -signal.SIGKILL
WRITES = tuple(sorted(CHANGING))
SAMPLES = 5
TASK = ("-t", "xquad/en", "--data", "sample", "--limit", str(SAMPLES), "-o", "out", "--progress", "none")


def _kill_at_every_call(suite: Suite, name: str, action: str, kinds: tuple[str, ...] = WRITES) -> int:
    """Kill a command at each call of these kinds; return how many there were.

    Not in the moment in which its lock is made: a lock without a name is watched for a minute, in a test of its own.
    """
    calls = suite.calm(name, kinds).calls
    numbers = [number for number, line in enumerate(calls, start=1) if not _makes_lock(line)]
    for number in numbers:
        ended = suite.try_fault(name, Fault(at=number, action=action, kinds=kinds), (KILLED, 0))
        assert (ended.code == KILLED) == (ended.hit is not None), str(ended)  # syncs are fewer on a quiet machine
    return len(numbers)


def _makes_lock(line: str) -> bool:
    kind, _, path = line.partition(" ")
    return path.endswith(f"/{LOCK}") and kind in ("create", "write", "close")


@pytest.mark.slow
def test_kill_9_at_every_call_that_changes_the_disk_in_eval(suite: Suite) -> None:
    assert _kill_at_every_call(suite, "eval", "kill") > 20


def test_kill_9_inside_every_write_of_eval(suite: Suite) -> None:
    """Half of what was to be written is on the disk."""
    assert _kill_at_every_call(suite, "eval", "kill-inside", ("write",)) > 5


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_kill_9_while_the_lock_is_made_costs_a_minute_and_nothing_else(suite: Suite) -> None:
    calls = suite.calm("eval", WRITES).calls
    number = next(
        number for number, line in enumerate(calls, start=1) if _makes_lock(line) and line.startswith("write")
    )
    suite.try_fault("eval", Fault(at=number, action="kill-inside", kinds=WRITES), (KILLED,))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["judge", "score a run", "score predictions", "board", "view", "analyze content"])
def test_kill_9_at_every_call_that_changes_the_disk(suite: Suite, name: str) -> None:
    assert _kill_at_every_call(suite, name, "kill") > 3


@dataclass
class Asking:
    """A server that answers, and kills who asks at one request of an attempt."""

    server: FaultServer
    killer: "Killer"

    @property
    def words(self) -> list[str]:
        return ["eval", "-m", f"openai:some/model@{self.server.url}", *TASK, "--concurrency", "1"]


@dataclass
class Killer:
    """Kills the process of an attempt when its request number `at` comes in."""

    at: int = 0
    seen: int = 0

    def __post_init__(self) -> None:
        self.pids: queue.Queue[int] = queue.Queue()

    def arm(self, at: int) -> None:
        self.at, self.seen = at, 0

    def __call__(self, asked: Asked) -> Reply:
        self.seen += 1
        if self.seen == self.at:
            os.kill(self.pids.get(timeout=60), signal.SIGKILL)
        return answer(f"It is {len(asked.prompt)}.")


@pytest.fixture
def asking(warm: Warm, place: Place) -> Iterator[Asking]:
    pytest.importorskip("openai", reason="needs the extra `openai`")
    killer = Killer()
    with serve(killer) as server:
        asking = Asking(server, killer)
        place.clear()
        ended = warm.learn(asking.words, place)
        assert ended.code == 0, str(ended)
        server.asked.clear()
        yield asking


def _attempt(asking: Asking, warm: Warm, place: Place, at: int) -> tuple[int | None, int]:
    """Kill an attempt at its request number `at`, 0 for never; return its exit code and how often it asked.

    Fails where it asked for an answer that was stored before.
    """
    stored = _stored_prompts(place)
    before = len(asking.server.asked)
    asking.killer.arm(at)
    pid = warm.start(asking.words, place)
    asking.killer.pids.put(pid)
    ended = warm.wait(pid, place)
    asking.killer.pids = queue.Queue()
    asked = asking.server.prompts()[before:]
    assert not stored & set(asked), str(ended)
    assert len(asked) == len(set(asked))
    return ended.code, len(asked)


def _stored_prompts(place: Place) -> set[str]:
    """Return the questions that have a stored answer: keys are looked up in the samples of the undisturbed run."""
    known = json.loads((place.root.parent / "prompts.json").read_text(encoding="utf-8"))
    return {known[key] for key in stored_keys(place.work)}


def _note_calm(place: Place) -> dict[str, str]:
    """Return what the undisturbed run left, and note which question has which key."""
    [samples] = place.work.rglob("samples*.jsonl")
    lines = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
    known = {line["key"]: line["messages"][-1]["text"] for line in lines}
    (place.root.parent / "prompts.json").write_text(json.dumps(known), encoding="utf-8")
    return snapshot(place.work / "out")


@pytest.mark.slow
def test_kill_9_at_every_request_to_a_server_and_on_to_the_end(asking: Asking, warm: Warm, place: Place) -> None:
    """For each request one run that is killed there and resumed: at most two requests are sent twice."""
    calm = _note_calm(place)
    for at in range(1, SAMPLES + 1):
        place.clear()
        code, first = _attempt(asking, warm, place, at)
        assert (code, first) == (KILLED, at)
        stored = len(stored_keys(place.work))
        assert stored >= at - 2
        code, second = _attempt(asking, warm, place, 0)
        assert (code, second) == (0, SAMPLES - stored)
        assert snapshot(place.work / "out") == calm


def test_kill_9_at_every_sample_of_one_run_against_a_server(asking: Asking, warm: Warm, place: Place) -> None:
    """One run that is killed again and again, each time when a sample further."""
    calm = _note_calm(place)
    place.clear()
    kills = requests = 0
    while True:
        code, asked = _attempt(asking, warm, place, 3)
        requests += asked
        if code == 0:
            break
        kills += 1
        assert code == KILLED
        assert kills <= SAMPLES
    assert kills >= 2
    assert requests <= SAMPLES + 2 * kills
    assert snapshot(place.work / "out") == calm


@pytest.fixture(scope="module")
def small_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_small_base(tmp_path_factory.mktemp("bases") / "small")


@pytest.fixture(scope="module")
def local(small_base: Path, warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> "Local":
    """A local model, and what it leaves undisturbed."""
    words = ["eval", "-m", f"hf:{small_base}", *TASK, "--max-new-tokens", "8"]
    place = Place(tmp_path_factory.mktemp("local") / "trial")
    place.clear()
    ended = warm.learn(words, place)
    assert ended.code == 0, str(ended)
    [journal] = place.work.rglob("journal.jsonl")
    return Local(words, warm, snapshot(place.work / "out"), journal.relative_to(place.work))


@dataclass(frozen=True)
class Local:
    """A command with a local model."""

    words: list[str]
    warm: Warm
    calm: dict[str, str]
    journal: Path

    def kill(self, place: Place, at: int) -> None:
        """Kill it within the write of answer number `at` of this attempt."""
        fault = Fault(at=at, action="kill-inside", kinds=("write",))
        ended = self.warm.run(self.words, place, fault=fault, watched=[place.work / self.journal])
        assert ended.code == KILLED, str(ended)

    def finish(self, place: Place) -> None:
        """Run it to the end: results as ever, and each line of the journal written once."""
        ended = self.warm.run(self.words, place)
        assert ended.code == 0, str(ended)
        assert snapshot(place.work / "out") == self.calm
        lines = (place.work / self.journal).read_bytes().splitlines()
        keys = [json.loads(line)["response"]["key"] for line in lines]
        assert len(keys) == len(set(keys)) == SAMPLES


@pytest.mark.slow
def test_kill_9_at_every_sample_of_one_run_of_the_hf_engine(local: Local, place: Place) -> None:
    """Killed again and again, each time one answer further, while the answer is stored."""
    place.clear()
    for number in range(1, SAMPLES + 1):
        local.kill(place, 1 if number == 1 else 2)
    local.finish(place)


@pytest.mark.slow
@pytest.mark.parametrize("at", range(1, SAMPLES + 1))
def test_kill_9_at_any_sample_of_the_hf_engine_and_on_to_the_end(local: Local, place: Place, at: int) -> None:
    place.clear()
    local.kill(place, at)
    assert len(stored_keys(place.work)) == at - 1
    local.finish(place)
