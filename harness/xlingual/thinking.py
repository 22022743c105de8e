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
    ThinkingMarkers(start="<longcat_think>", end="</longcat_think>"),
    ThinkingMarkers(start="<|think|>", end="<|content|>"),
    ThinkingMarkers(start="[unused16]", end="[unused17]"),
    ThinkingMarkers(start="<thoughts>", end="</thoughts>"),
    ThinkingMarkers(start="<scratchpad>", end="</scratchpad>"),
)
"""Of model families: Qwen and DeepSeek, Magistral, Command A, Seed-OSS, several, gpt-oss, OpenThinker, MedGemma, Kimi,
Apertus, Gemma 4, LongCat, Solar Open, openPangu, Typhoon T1, several."""

ANSWER_FRAMES = (
    ("<answer>", "</answer>"),
    ("<response>", "</response>"),
    ("<output>", "</output>"),
    ("<solution>", "</solution>"),
    ("<final_answer>", "</final_answer>"),
    ("<|begin_of_solution|>", "<|end_of_solution|>"),
    ("<|START_RESPONSE|>", "<|END_RESPONSE|>"),
    ("<|begin_of_box|>", "<|end_of_box|>"),
)
"""What some families put around the answer after their thinking: no part of it."""
_TURN_ENDS = (
    "<|return|>", "<|end|>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "</s>", "[unused10]",
    "[END FINAL RESPONSE]",
)  # fmt: skip
"""Behind an answer with its thinking, where a server or file keeps the tokens of a model's format."""
_HARMONY = {
    "<|channel|>analysis<|message|>": r"(?:(?:<\|start\|>)?assistant\s*)?<\|channel\|>\s*(?:analysis|commentary)[^<]*"
    r"(?:<\|constrain\|>[^<]*)?<\|message\|>",
    "<|channel|>final<|message|>": r"<\|channel\|>\s*final[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>",
}
"""How gpt-oss may write its markers: all channels but the final one are thinking, and a message may name its format."""
_IN_WORDS = tuple(
    (re.compile(start), re.compile(end))
    for start, end in (
        (r"Here(?: is|['’]s) my thought process:", r"Here(?: is|['’]s) my response:"),
        (r"(?:Here are my reasoning steps:)?", r"\[BEGIN FINAL RESPONSE\]"),
        (r"(?:analysis|commentary)", r"assistantfinal"),
        (r"(?=<think\s?/>)", r"<think\s?/>"),
    )
)
"""Starts at the beginning of an answer that count with their end alone, since they may be words of an answer as well:
of Granite 3.2, Apriel, gpt-oss without its special tokens ("analysisThe user asks ...assistantfinalParis"), and an
empty thought."""
_CUT_HARMONY = re.compile(r"analysis[A-Z]")
"""The beginning of an answer of gpt-oss without its special tokens."""
_QUOTES = {"`": "`", '"': '"', "“": "”", "„": "“", "«": "»", "「": "」"}
"""Between two of these a marker is a word of the text."""


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
    marker, as it is everywhere in quotation marks.
    """
    return _take_apart(text, markers, opened=opened)[0]


def split_first_thought(text: str, markers: Sequence[ThinkingMarkers] = KNOWN_MARKERS) -> SplitAnswer:
    """Take an answer apart that may speak of markers: only a closed thought at its beginning is one."""
    start = _first(text, [each.start for each in markers])
    if start is not None and is_blank(text[: start.start()]):
        end = _first(text[start.end() :], [each.end for each in markers if _is_at(start, each.start)])
        rest = "" if end is None else text[start.end() + end.end() :]
        if end is not None and not is_blank(rest):
            return _join([text[start.end() :][: end.start()]], [rest], finished=True)
    return SplitAnswer(thinking=None, text=text, finished=True)


def _take_apart(text: str, markers: Sequence[ThinkingMarkers], *, opened: bool) -> tuple[SplitAnswer, int]:
    """Return the parts of an answer, and where in `text` its last thought ends."""
    if not opened and _CUT_HARMONY.match(text.lstrip()) and _thought_in_words(text) is None:
        return _join([text.lstrip().removeprefix("analysis")], [], finished=False), len(text)
    spoken = None if opened else _thought_in_words(text)
    thoughts: list[str] = [] if spoken is None else [text[spoken[0] : spoken[1]]]
    visible: list[str] = []
    inside, known = list(markers) if opened else None, list(markers)
    place = thought_end = 0 if spoken is None else spoken[2]
    find = _Finder(text)
    while True:
        start = find.first([each.start for each in markers], place)
        end = find.first([each.end for each in inside or known], place)
        if inside is not None or (end is not None and (start is None or end.start() <= start.start())):
            if end is None:
                thoughts.append(text[place:])
                return _join(thoughts, visible, finished=False), thought_end
            thought = text[place : end.start()]
            thoughts.append("".join([*visible, thought]) if inside is None else thought)
            visible = [] if inside is None else visible
            known = [each for each in markers if _is_at(end, each.end)]
            place = thought_end = end.end()
            inside = None
        elif start is not None:
            family = [each for each in markers if _is_at(start, each.start)]
            closed = find.first([each.end for each in family], start.end()) is not None
            before = text[place : start.start()]
            again = bool(thoughts) and any(each in known for each in family)
            if closed or again or is_blank(before) or is_blank(before.rpartition("\n")[2]):
                visible.append("" if is_blank(before) else before)
                inside = family
            else:
                visible.append(text[place : start.end()])
            place = start.end()
        else:
            visible.append(text[place:])
            return _join(thoughts, visible, finished=True), thought_end


class _Finder:
    """Finds words in a text from a place on, and searches no part of it twice for the same: a model may loop."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.found: dict[tuple[str, ...], tuple[int, re.Match[str] | None]] = {}

    def first(self, words: Sequence[str], place: int) -> re.Match[str] | None:
        """Return where the first of `words` is from `place` on, as `_first` does."""
        key = tuple(words)
        since, found = self.found.get(key, (place + 1, None))
        if since > place or (found is not None and found.start() < place):
            found = _first(self.text, words, place)
            self.found[key] = place, found
        return found


def _thought_in_words(text: str) -> tuple[int, int, int] | None:
    """Return where a thought that words mark begins and ends, and where the text behind it begins; None for no such."""
    first = len(text) - len(text.lstrip())
    for start, end in _IN_WORDS:
        begin = start.match(text, first)
        if begin is not None and (close := end.search(text, begin.end())) is not None:
            return begin.end(), close.start(), close.end()
    return None


def find_start(text: str, markers: Sequence[ThinkingMarkers] = KNOWN_MARKERS) -> bool:
    """Return whether `text` holds the start of a thought anywhere."""
    return _first(text, [each.start for each in markers]) is not None


def find_end(text: str, markers: Sequence[ThinkingMarkers] = KNOWN_MARKERS) -> bool:
    """Return whether `text` holds the end of a thought anywhere."""
    return _first(text, [each.end for each in markers]) is not None


def _first(text: str, words: Sequence[str], place: int = 0) -> re.Match[str] | None:
    """Return where the first of the `words` is from `place` on that is not in quotation marks."""
    if not words:
        return None
    return next((each for each in _pattern(tuple(words)).finditer(text, place) if not _is_quoted(text, each)), None)


def _is_quoted(text: str, found: re.Match[str]) -> bool:
    before, after = text[max(found.start() - 1, 0) : found.start()], text[found.end() : found.end() + 1]
    if not before or _QUOTES.get(before) != after:
        return False
    # Not between the quoted words of a thought and a quoted answer: 'it says "Paris"</think>"Paris"'.
    line = text.rfind("\n", 0, found.start()) + 1
    return before != after or text.count(before, line, found.start()) % 2 == 1


def _is_at(found: re.Match[str], word: str) -> bool:
    return _pattern((word,)).fullmatch(found[0]) is not None


@lru_cache(maxsize=256)
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    """Return what finds any of `words`; a tag in whatever case, and with spaces inside: "<THINK >", "</ think>"."""
    return re.compile("|".join(_spelling(each) for each in words))


def _spelling(word: str) -> str:
    tag = re.fullmatch(r"<(/?)([a-z:_]+)>", word)
    if tag is None:
        return _HARMONY.get(word) or re.escape(word)
    return rf"(?i:<\s?{tag[1]}\s?{re.escape(tag[2])}\s?>)"


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
    for end in _TURN_ENDS * 2:
        text = text.removesuffix(end).rstrip()
    for begin, end in ANSWER_FRAMES:
        opening, endings = _pattern((begin,)).match(text), list(_pattern((end,)).finditer(text))
        closed = bool(endings) and endings[-1].end() == len(text)
        if opening is not None and len(endings) == closed:
            inside = text[opening.end() : endings[-1].start() if closed else len(text)]
            return _unframed(inside.strip())
    return text


def answer_start(text: str, markers: Sequence[ThinkingMarkers] = KNOWN_MARKERS) -> int | None:
    """Return where in an answer its text begins, after all thinking; None where it ends inside the thinking.

    Stop strings count from there on: in the thinking they end nothing.
    """
    parts, start = _take_apart(text, markers, opened=False)
    if not parts.finished:
        return None
    while start:
        rest = text[start:].lstrip()
        frames = (_pattern((begin,)).match(rest) for begin, _ in ANSWER_FRAMES)
        frame = next(filter(None, frames), None)
        if frame is None:
            return start
        start = len(text) - len(rest) + frame.end()
    return start
