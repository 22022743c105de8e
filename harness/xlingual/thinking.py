"""Answers of reasoning models: what is thinking and what is the answer.

    <think>The passage says Warsaw.</think>Kraków       thinking "The passage says Warsaw.", text "Kraków"
    The passage says Warsaw.</think>Kraków              the same: the chat template has opened the thinking
    <think>The passage says                             unfinished: no answer at all

Only the text is scored. A model that names every word of a passage while it thinks has not answered with them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from .errors import UsageError
from .text import is_blank


class ThinkingMode(StrEnum):
    """Whether a model is asked to think before it answers."""

    ON = "on"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinkingMarkers:
    """The texts that thinking begins and ends with."""

    start: str
    end: str


KNOWN_MARKERS = (
    ThinkingMarkers(start="<think>", end="</think>"),
    ThinkingMarkers(start="[THINK]", end="[/THINK]"),
    ThinkingMarkers(start="<|START_THINKING|>", end="<|END_THINKING|>"),
    ThinkingMarkers(start="<seed:think>", end="</seed:think>"),
    ThinkingMarkers(start="<thinking>", end="</thinking>"),
    ThinkingMarkers(start="<thought>", end="</thought>"),
    ThinkingMarkers(start="<reasoning>", end="</reasoning>"),
    ThinkingMarkers(start="<|channel|>analysis<|message|>", end="<|channel|>final<|message|>"),
    ThinkingMarkers(start="<|begin_of_thought|>", end="<|end_of_thought|>"),
    ThinkingMarkers(start="<unused94>thought\n", end="<unused95>"),
    ThinkingMarkers(start="◁think▷", end="◁/think▷"),
    ThinkingMarkers(start="<|inner_prefix|>", end="<|inner_suffix|>"),
    ThinkingMarkers(start="<|channel>thought\n", end="<channel|>"),
)
"""Of model families: Qwen and DeepSeek, Magistral, Command A, Seed-OSS, several, gpt-oss, OpenThinker, MedGemma, Kimi,
Apertus, Gemma 4."""

ANSWER_FRAMES = (
    ("<answer>", "</answer>"),
    ("<|begin_of_solution|>", "<|end_of_solution|>"),
    ("<|START_RESPONSE|>", "<|END_RESPONSE|>"),
    ("<|begin_of_box|>", "<|end_of_box|>"),
)
"""What some families put around the answer after their thinking: no part of it."""
_TURN_ENDS = ("<|return|>", "<|end|>")
"""Of gpt-oss, behind its answer, where a server or file keeps the tokens of its format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitAnswer:
    """An answer taken apart."""

    thinking: str | None
    """None where the model did not think; several thoughts are joined by line breaks."""
    text: str
    """All that is outside of the thinking, without the white space around it; as it is where there is no thinking."""
    finished: bool
    """False where the answer ends inside the thinking: then there is no answer, and `text` is what came before."""


def find_markers(chat_template: str) -> ThinkingMarkers | None:
    """Return the known markers that a chat template mentions, None where it mentions none."""
    return next((each for each in KNOWN_MARKERS if each.end in chat_template), None)


def markers_ending(end: str) -> ThinkingMarkers:
    """Return the markers of which a user has said the end: the known ones, or with a start that is called likewise.

    Raises UsageError for a blank end.
    """
    if not end.strip():
        raise UsageError("the text that ends the thinking is blank", where="--think-end", hint="leave it out")
    start = end.replace("</", "<").replace("[/", "[").replace("END", "START")
    return next((each for each in KNOWN_MARKERS if each.end == end), ThinkingMarkers(start=start, end=end))


def opens_thinking(prompt: str, markers: Sequence[ThinkingMarkers] = KNOWN_MARKERS) -> ThinkingMarkers | None:
    """Return the markers whose start a rendered prompt ends with, so that the answer begins inside the thinking."""
    return next((each for each in markers if prompt.rstrip().endswith(each.start.rstrip())), None)


def split_thinking(
    text: str, markers: Sequence[ThinkingMarkers] = KNOWN_MARKERS, *, opened: bool = False
) -> SplitAnswer:
    """Take an answer apart; `opened`: the prompt has opened the thinking already.

    A thought ends at the end of its own family: a model that thinks about the tags of another goes on thinking. An end
    without a start closes what the prompt has opened. A start that is never closed counts at the beginning of the
    answer or of a line, and wherever the model has thought in this way before: elsewhere it is a text about such a
    marker.
    """
    thoughts: list[str] = []
    visible: list[str] = []
    rest, inside, known = text, list(markers) if opened else None, list(markers)
    while True:
        start, end = (
            _first(rest, [each.start for each in markers]),
            _first(rest, [each.end for each in inside or known]),
        )
        if inside is not None or (end is not None and (start is None or end.start() <= start.start())):
            if end is None:
                thoughts.append(rest)
                return _join(thoughts, visible, finished=False)
            thoughts.append("".join([*visible, rest[: end.start()]]) if inside is None else rest[: end.start()])
            visible = [] if inside is None else visible
            known = [each for each in markers if _is_at(end, each.end)]
            rest, inside = rest[end.end() :], None
        elif start is not None:
            family = [each for each in markers if _is_at(start, each.start)]
            closed = _first(rest[start.end() :], [each.end for each in family]) is not None
            before = rest[: start.start()]
            again = bool(thoughts) and any(each in known for each in family)
            if closed or again or is_blank(before) or is_blank(before.rpartition("\n")[2]):
                visible.append("" if is_blank(before) else before)
                inside = family
            else:
                visible.append(rest[: start.end()])
            rest = rest[start.end() :]
        else:
            visible.append(rest)
            return _join(thoughts, visible, finished=True)


def find_start(text: str, markers: Sequence[ThinkingMarkers] = KNOWN_MARKERS) -> bool:
    """Return whether `text` holds the start of a thought anywhere."""
    return _first(text, [each.start for each in markers]) is not None


def _first(text: str, words: Sequence[str]) -> re.Match[str] | None:
    return _pattern(tuple(words)).search(text) if words else None


def _is_at(found: re.Match[str], word: str) -> bool:
    return _pattern((word,)).fullmatch(found[0]) is not None


@lru_cache(maxsize=256)
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    """Return what finds any of `words`; a tag in whatever case, and with a space before its end: "<THINK >"."""
    return re.compile("|".join(_spelling(each) for each in words))


def _spelling(word: str) -> str:
    if re.fullmatch(r"</?[a-z:]+>", word) is None:
        return re.escape(word)
    return rf"(?i:{re.escape(word[:-1])}\s?>)"


def _join(thoughts: Sequence[str], visible: Sequence[str], *, finished: bool) -> SplitAnswer:
    text = "".join(visible)
    if not thoughts:
        return SplitAnswer(thinking=None, text=text, finished=True)
    text = _unframed(text.strip())
    return SplitAnswer(
        thinking="\n".join(each.strip() for each in thoughts), text=text, finished=finished or bool(text)
    )


def _unframed(text: str) -> str:
    """Return an answer without what its family puts around it; the end may have been cut off."""
    for end in _TURN_ENDS:
        text = text.removesuffix(end).rstrip()
    for begin, end in ANSWER_FRAMES:
        inside = text.removeprefix(begin).removesuffix(end)
        if text.startswith(begin) and end not in inside:
            return inside.strip()
    return text


def answer_start(text: str, markers: Sequence[ThinkingMarkers] = KNOWN_MARKERS) -> int | None:
    """Return where in an answer its text begins, after all thinking; None where it ends inside the thinking.

    Stop strings count from there on: in the thinking they end nothing.
    """
    if not split_thinking(text, markers).finished:
        return None
    start = max((each.end() for each in _pattern(tuple(each.end for each in markers)).finditer(text)), default=0)
    if start:
        rest = text[start:].lstrip()
        start += next(
            (text[start:].index(begin) + len(begin) for begin, _ in ANSWER_FRAMES if rest.startswith(begin)), 0
        )
    return start
