"""Where in the passage an answer stands: at its start, in the middle, at its end.

A model that answers with the beginning of a passage whatever is asked shows in a share of starts far above that of the
gold answers. Beside it stands the chance level: where a text as long as the answer would be if it were put anywhere.
"""

from dataclasses import dataclass
from enum import StrEnum

from .copying import fold, longest_common_part
from .samples import AnsweredSample
from .scripts import weigh

LOCATED_PART = 0.5
"""Share of an answer that must stand in the passage in one part, where not all of it does."""
LETTERS = 8
"""Letters of an alphabet of that part."""


class Third(StrEnum):
    """A third of a passage, by the middle of the answer."""

    START = "start"
    MIDDLE = "middle"
    END = "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class PassagePosition:
    """Where the answer and the gold answer stand; None: not in the passage, or in several thirds of it."""

    answer: Third | None
    gold: Third | None
    """Of the first accepted answer."""
    chance: tuple[float, float, float] | None
    """How likely start, middle and end are for a text as long as the answer, put anywhere; None where `answer` is."""


def find_position(sample: AnsweredSample) -> PassagePosition:
    """Return where in its passage an answer stands."""
    passage = fold(sample.given.passage or "")
    answer, gold = fold(sample.answer), fold(sample.targets[0]) if sample.targets else ""
    part = _located_part(answer, passage)
    third = _third(part, passage)
    return PassagePosition(
        answer=third,
        gold=_third(gold, passage) if gold in passage else None,
        chance=None if third is None else chance_of_thirds(len(part), len(passage)),
    )


def chance_of_thirds(size: int, whole: int) -> tuple[float, float, float]:
    """Return how likely the middle of a text of `size` characters is in each third of `whole`, all places alike."""
    if size >= whole:
        return 0.0, 1.0, 0.0
    outer = min(max((whole / 3 - size / 2) / (whole - size), 0.0), 0.5)
    return outer, 1.0 - 2 * outer, outer


def _located_part(answer: str, passage: str) -> str:
    """Return the part of an answer by which it is found in the passage; "" where it is not there."""
    if not answer or not passage:
        return ""
    if answer in passage:
        return answer
    part = longest_common_part(answer, passage).strip()
    return part if len(part) >= LOCATED_PART * len(answer) and weigh(part) >= LETTERS else ""


def _third(part: str, passage: str) -> Third | None:
    """Return the third that `part` stands in; None where it is not there, or stands in more than one."""
    found: set[Third] = set()
    start = passage.find(part) if part else -1
    while start >= 0:
        middle = (start + len(part) / 2) / len(passage)
        found.add(Third.START if middle < 1 / 3 else Third.MIDDLE if middle < 2 / 3 else Third.END)
        start = passage.find(part, start + 1)
    return found.pop() if len(found) == 1 else None
