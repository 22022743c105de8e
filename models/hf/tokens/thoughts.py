"""How far an answer is: whether it is still thinking, and where the text after the thinking begins.

    prompt "...<think>\\n", generated "The Vistula"                          still thinking
    prompt "...<|assistant|>", generated "<think>The Vistula</think>Kraków"  the text begins at "Kraków"

Stop strings end the text alone: a thought of several lines goes on after the first.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from xlingual.text import find_stop
from xlingual.thinking import ThinkingMarkers, opens_thinking

from ..loaded_model import LoadedModel
from .detokenization import decode
from .rendering import Rendered, Tokenizer, tokenize

MARKER_TOKENS = 32
"""Tokens at the end of a prompt among which the start of the thinking is looked for."""


@dataclass(frozen=True, slots=True)
class Thoughts:
    """What of a text is thinking."""

    end: int
    """Where the text after the finished thoughts begins; 0 where there is none."""
    is_open: bool
    """Whether the text ends inside a thought."""
    is_undecided: bool
    """Whether the text ends in what may become the start of a thought, as nothing may."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was generated so far, and how it is to be read."""

    ids: list[int]
    text: str
    opening: str
    """The start of the thinking, where it stands at the end of the prompt; else ""."""
    thoughts: Thoughts

    def find_stop(self, stop: Sequence[str]) -> int | None:
        """Return where the text is to be cut: at the first stop string after the thinking, or None."""
        if self.thoughts.is_open or self.thoughts.is_undecided:
            return None
        found = find_stop(self.text[self.thoughts.end :], stop)
        return None if found is None else found + self.thoughts.end


def read_answer(loaded: LoadedModel, prompt: Rendered, new: Sequence[int]) -> Answer:
    """Return the answer that the tokens generated before this prompt, and the `new` ones, make together."""
    ids = [*prompt.answer_ids, *new]
    text, opening = decode(loaded.tokenizer, ids, loaded.markers), opening_of(loaded, prompt)
    return Answer(ids, text, opening, read_thoughts(text, loaded.markers, opened=bool(opening)))


def opening_of(loaded: LoadedModel, prompt: Rendered) -> str:
    """Return the start of the thinking with the white space behind it, where a prompt ends with it; else ""."""
    return _opening(loaded.tokenizer, prompt.question_ids[-MARKER_TOKENS:], loaded.markers)


@lru_cache(maxsize=1024)
def _opening(tokenizer: Tokenizer, last_ids: tuple[int, ...], markers: tuple[ThinkingMarkers, ...]) -> str:
    text = tokenizer.decode(list(last_ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
    found = opens_thinking(text, [each for each in markers if each.start])
    return "" if found is None else text[text.rstrip().rindex(found.start.rstrip()) :]


def used_markers(loaded: LoadedModel, answer: Answer) -> ThinkingMarkers:
    """Return the markers that an answer begins its thinking with, the model's first where it has none."""
    text = (answer.opening + answer.text).lstrip()
    used = (each for each in loaded.markers if each.start and text.startswith(each.start.rstrip()))
    return next(used, loaded.markers[0])


def is_surely_thinking(loaded: LoadedModel, prompt: Rendered, new: Sequence[int]) -> bool:
    """Return whether an answer is inside its first thought, as far as its first tokens and the end marker's tell.

    A thought may have thousands of tokens, which need not be decoded for every line break in it. Where the end marker
    is not one token, this is not known.
    """
    if prompt.answered or len(new) <= MARKER_TOKENS:
        return False
    first = read_answer(loaded, prompt, new[:MARKER_TOKENS])
    if not first.thoughts.is_open or first.thoughts.end:
        return False
    end = _only_token(loaded.tokenizer, used_markers(loaded, first).end)
    return end is not None and end not in new


@lru_cache(maxsize=16)
def _only_token(tokenizer: Tokenizer, text: str) -> int | None:
    [ids] = tokenize(tokenizer, [text], special=False)
    return ids[0] if len(ids) == 1 else None


def read_thoughts(text: str, markers: Sequence[ThinkingMarkers], *, opened: bool) -> Thoughts:
    """Return what of `text` is thinking; `opened`: the prompt has opened it.

    A start counts at the beginning of the text and of what follows a thought; an end counts without a start, too.
    """
    starts = [each.start for each in markers if each.start]
    any_start, any_end = _pattern(starts), _pattern([each.end for each in markers])
    end, place, inside = 0, 0, opened
    while True:
        close = any_end.search(text, place)
        if inside and close is None:
            return Thoughts(end, is_open=True, is_undecided=False)
        begin = None if inside else any_start.search(text, place)
        if close is not None and (begin is None or close.start() < begin.start()):
            end = place = close.end()
            inside = False
            continue
        rest = text[place:].lstrip()
        if begin is None or not rest.startswith(begin.group()):
            undecided = any(each.startswith(rest) for each in starts)
            return Thoughts(end, is_open=False, is_undecided=undecided)
        place, inside = begin.end(), True


def _pattern(words: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, words)) or "(?!)")


def count_thinking_tokens(loaded: LoadedModel, answer: Answer) -> int | None:
    """Return how many tokens of an answer are thinking, its end marker included; None where it did not think."""
    if answer.thoughts.is_open:
        return len(answer.ids)
    if not answer.thoughts.end:
        return None
    return count_tokens_to(loaded, answer, answer.thoughts.end)


def count_tokens_to(loaded: LoadedModel, answer: Answer, end: int) -> int:
    """Return with how many of its tokens an answer has its first `end` characters."""
    text = answer.text[:end]
    counts = range(len(answer.ids) + 1)
    return bisect_left(
        counts, True, key=lambda count: decode(loaded.tokenizer, answer.ids[:count], loaded.markers).startswith(text)
    )
