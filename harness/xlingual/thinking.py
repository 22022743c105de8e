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
    ThinkingMarkers(start="<|channel>thought\n", end="<channel|>"),
)
"""Of model families: Qwen and DeepSeek, Magistral, Command A, Seed-OSS, several, gpt-oss, OpenThinker, MedGemma,
Gemma 4."""


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


def opens_thinking(prompt: str, markers: Sequence[ThinkingMarkers] = KNOWN_MARKERS) -> ThinkingMarkers | None:
    """Return the markers whose start a rendered prompt ends with, so that the answer begins inside the thinking."""
    return next((each for each in markers if prompt.rstrip().endswith(each.start.rstrip())), None)


def split_thinking(
    text: str, markers: Sequence[ThinkingMarkers] = KNOWN_MARKERS, *, opened: bool = False
) -> SplitAnswer:
    """Take an answer apart; `opened`: the prompt has opened the thinking already.

    An end without a start closes what the prompt has opened. A start that is never closed counts only at the beginning
    of the answer, or of what follows a thought: elsewhere it is a text about such a marker.
    """
    thoughts: list[str] = []
    visible: list[str] = []
    rest, inside = text, opened
    while True:
        start, end = _first(rest, [each.start for each in markers]), _first(rest, [each.end for each in markers])
        if inside or (end is not None and (start is None or end.start() < start.start())):
            if end is None:
                thoughts.append(rest)
                return _join(thoughts, visible, finished=False)
            thoughts.append("".join([*visible, rest[: end.start()]]) if not inside else rest[: end.start()])
            visible = visible if inside else []
            rest, inside = rest[end.end() :], False
        elif start is not None and (end is not None or not rest[: start.start()].strip()):
            visible.append(rest[: start.start()])
            rest, inside = rest[start.end() :], True
        else:
            visible.append(rest)
            return _join(thoughts, visible, finished=True)


def _first(text: str, words: Sequence[str]) -> re.Match[str] | None:
    return re.search("|".join(re.escape(each) for each in words), text)


def _join(thoughts: Sequence[str], visible: Sequence[str], *, finished: bool) -> SplitAnswer:
    text = "".join(visible)
    if not thoughts:
        return SplitAnswer(thinking=None, text=text, finished=True)
    return SplitAnswer(
        thinking="\n".join(each.strip() for each in thoughts),
        text=text.strip(),
        finished=finished or bool(text.strip()),
    )


def answer_start(text: str, markers: Sequence[ThinkingMarkers] = KNOWN_MARKERS) -> int | None:
    """Return where in an answer its text begins, after all thinking; None where it ends inside the thinking.

    Stop strings count from there on: in the thinking they end nothing.
    """
    if not split_thinking(text, markers).finished:
        return None
    return max((place + len(each.end) for each in markers if (place := text.rfind(each.end)) >= 0), default=0)
