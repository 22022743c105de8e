"""Whether an answer has reached a stop string, looked for in its last tokens only."""

from collections.abc import Sequence

from xlingual.text import find_stop

from ..responses import decode
from .rendering import Tokenizer


def is_stopped(tokenizer: Tokenizer, new: list[int], stop: Sequence[str]) -> bool:
    """Return whether the newest token completes a stop string; as a rule, only the last tokens are decoded.

    As many as the longest stop string has bytes, for every token but a special one is at least a byte of text; more
    where their text is shorter than that.
    """
    if not any(stop):
        return False
    longest = max(len(each.encode()) for each in stop)
    reach = longest + 2
    while reach < len(new):
        newest, text = decode(tokenizer, new[-1:]), decode(tokenizer, new[-reach:])
        if any(each in text for each in stop if each):
            break
        if len(text) > longest + len(newest):
            return False
        reach *= 2
    return find_stop(decode(tokenizer, new), stop) is not None
