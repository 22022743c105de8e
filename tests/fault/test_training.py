"""`tune run` that is killed at every step, or that the disk fails: it goes on, and ends with the weights to the bit."""

import hashlib
import json
import re
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..small_base import make_small_base
from ..training.conftest import RECIPE
from .layer import CHANGING, Fault
from .suite import leftovers
from .trials import Ended, Place, Warm, expect_order, warm_process

KILLED = -signal.SIGKILL
STEPS = 4
TRIALS = 6
"""Calls that fail or are the last, spread evenly over all that a training makes, from its first."""
WRITES = tuple(sorted(CHANGING))
FINISHED = re.compile(rb"(?m)^\| finished \| .*$")
"""The line of a model card that tells when: it is another in every run."""
WORDS = (
    "tune", "run", "mine.toml", "--data", ".", "--out", "tuned", "--offline", "--log-every", "1", "--device", "cpu",
    "--checkpoint-every", "1", "--progress", "none", "--contamination", "report",
)  # fmt: skip


@dataclass(frozen=True)
class Training:
    """A recipe and its data, and what it ends with undisturbed."""

    warm: Warm
    stock: Path
    calm: dict[str, str]
    calls: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        return next(Path(line).parent.name for line in self.calls if line.endswith("steps.jsonl"))

    def begin(self, place: Place) -> None:
        place.fill(self.stock, [path.name for path in self.stock.iterdir()])

    def run(self, place: Place, fault: Fault | None = None, watched: Sequence[Path] = ()) -> Ended:
        how = {} if fault is None else {"fault": fault, "watched": list(watched) or [place.work / "tuned"]}
        return self.warm.run(WORDS, place, **how)

    def finish(self, place: Place, before: Ended | None = None) -> None:
        """Run the same command again, and expect what an undisturbed training ends with."""
        ended = self.run(place)
        assert ended.code == 0, f"{before}\n--- again:\n{ended}"
        assert outcome(place) == self.calm, f"{before}\n--- again:\n{ended}"
        assert leftovers(place.work / "tuned") == [], f"{before}\n--- again:\n{ended}"


def outcome(place: Place) -> dict[str, str]:
    """Return hashes of the model that was written, card and all, and the loss of each step, which is there once."""
    found = {}
    for path in sorted((place.work / "tuned").glob("*/mine/*")):
        if path.name != "provenance.json":
            content = FINISHED.sub(b"", path.read_bytes()) if path.name == "README.md" else path.read_bytes()
            found[path.name] = hashlib.sha256(content).hexdigest()
    [log] = (place.work / "tuned").glob("*/steps.jsonl")
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    found["losses"] = json.dumps([[each["step"], each["loss"]] for each in lines])
    return found


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Training]:
    folder = tmp_path_factory.mktemp("training")
    stock, place = folder / "stock", Place(folder / "trial")
    stock.mkdir()
    for code, count in (("en", 8), ("zh", 8)):
        rows = [{"instruction": f"{code} {number}", "input": "", "output": f"{number} yes"} for number in range(count)]
        (stock / f"rows.{code}.json").write_text(json.dumps(rows), encoding="utf-8")
    text = RECIPE.format(base=make_small_base(folder / "base"), method='kind = "full"', epochs=2)
    (stock / "mine.toml").write_text(text, encoding="utf-8")
    with warm_process() as warm:
        empty = Training(warm, stock, {}, ())
        empty.begin(place)
        ended = warm.learn(WORDS, place)
        assert ended.code == 0, str(ended)
        empty.begin(place)
        ended = empty.run(place, Fault(kinds=WRITES))
        assert ended.code == 0, str(ended)
        yield Training(warm, stock, outcome(place), ended.calls)


@pytest.mark.slow
def test_kill_9_at_every_step_of_a_training(training: Training, place: Place) -> None:
    """Each time one step further: the line of the step is torn."""
    training.begin(place)
    for number in range(1, STEPS + 1):
        fault = Fault(at=1 if number == 1 else 2, action="kill-inside", kinds=("write",))
        ended = training.run(place, fault, [place.work / "tuned" / training.name / "steps.jsonl"])
        assert ended.code == KILLED, str(ended)
    training.finish(place)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kill_9_at_calls_all_over_a_training(training: Training, place: Place) -> None:
    for number in range(1, len(training.calls) + 1, max(1, len(training.calls) // TRIALS)):
        training.begin(place)
        ended = training.run(place, Fault(at=number, action="kill", kinds=WRITES))
        assert ended.code == (KILLED if ended.hit else 0), str(ended)  # a busy machine syncs more often
        training.finish(place, ended)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("lasts", [False, True])
def test_calls_that_fail_all_over_a_training(training: Training, place: Place, lasts: bool) -> None:
    for number in range(1, len(training.calls) + 1, max(1, len(training.calls) // TRIALS)):
        training.begin(place)
        action = "ENOSPC" if lasts else "error"
        ended = training.run(place, Fault(at=number, action=action, kinds=WRITES, lasts=lasts))
        expect_order(ended, (0, 5))
        training.finish(place, ended)
