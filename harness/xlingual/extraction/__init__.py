r"""What of an answer is scored: the word of `TaskSpec.extract` and `--extract`, and what it finds.

    last_number           "... so it is 1,234."              "1234"
    first_number          "72, since 60 + 12 = 72"           "72"
    choice_letter         "The answer is **B**."             "B"; choice_letter:甲乙丙丁 names other labels
    first_line            "Paris\n\nQuestion: ..."           "Paris"
    boxed                 "so \boxed{\frac{1}{2}}"           "\frac{1}{2}"; the last one
    after:TEXT            "Answer: Paris" by after:Answer:   "Paris"; the rest of the line after the last TEXT
    regex:PATTERN         the first match: its group 1, or all of it; last_regex:PATTERN the last match
    FIRST > SECOND        one after the other: "after:Answer: > last_number"

Where there is nothing to find the answer is None, which is wrong and counted, never a text to be scored.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

from ..errors import DataError, UsageError
from ..text import did_you_mean, for_scoring
from .letters import DEFAULT_LABELS, find_choice_letter
from .numbers import canonical_number, describe_numbers, find_numbers, is_canonical

__all__ = [
    "EXTRACT_WORDS",
    "JOINT",
    "canonical_number",
    "extract_answer",
    "extracts_number",
    "find_choice_letter",
    "find_numbers",
    "is_canonical",
    "is_word",
    "require_word",
    "signature",
]

REGEX_SECONDS = 10.0
"""A pattern that takes longer on one answer would take longer on others: it is refused, and no score depends on it."""
JOINT = " > "
"""Between words of which each looks in what the one before has found."""
VERSIONS = {"choice_letter": "3", "after": "2"}
"""Of the rules of words that have changed; "1" of all others."""
_EDGES = "*" + "".join(each for each in map(chr, range(0x3001)) if each.isspace())
"""White space of any kind, carriage returns among it, and the asterisks of bold type."""


@dataclass(frozen=True, slots=True)
class _Step:
    """One word of an extraction."""

    name: str
    argument: str
    """What stands after the colon; "" where there is none."""


def _first_number(text: str, language: str, _step: _Step) -> str | None:
    return next(iter(find_numbers(text, language)), None)


def _last_number(text: str, language: str, _step: _Step) -> str | None:
    return next(reversed(find_numbers(text, language)), None)


def _choice_letter(text: str, language: str, step: _Step) -> str | None:
    return find_choice_letter(text, language, tuple(step.argument) or DEFAULT_LABELS)


def _first_line(text: str, _language: str, _step: _Step) -> str | None:
    return next((line.strip() for line in text.split("\n") if for_scoring(line).strip()), None)


def _boxed(text: str, _language: str, _step: _Step) -> str | None:
    for begin in reversed(list(re.finditer(r"\\(?:boxed|fbox)\s*\{", text))):
        depth, place = 1, begin.end()
        while place < len(text):
            if text[place] == "\\":
                place += 1
            elif text[place] == "{":
                depth += 1
            elif text[place] == "}":
                depth -= 1
                if depth == 0:
                    return text[begin.end() : place].strip() or None
            place += 1
    return None


def _after(text: str, _language: str, step: _Step) -> str | None:
    _, found, rest = for_scoring(text).rpartition(for_scoring(step.argument))
    lines = (line.strip(_EDGES) for line in rest.split("\n")) if found else iter(())
    return next(filter(None, lines), None)


def _regex(text: str, _language: str, step: _Step) -> str | None:
    # Not Python's own: it stops a pattern that would go on for hours.
    import regex  # noqa: PLC0415

    pattern = regex.compile(step.argument)
    try:
        if step.name == "regex":
            found = pattern.search(text, timeout=REGEX_SECONDS)
        else:
            found = next(reversed(list(pattern.finditer(text, timeout=REGEX_SECONDS))), None)
    except TimeoutError as error:
        hint = "nested repetitions such as (a+)+ do; write the pattern without them"
        where = f"{step.name}:{step.argument}"
        raise DataError(f"the pattern takes over {REGEX_SECONDS:g} s on one answer", where=where, hint=hint) from error
    if found is None:
        return None
    return (cast("str | None", found[1] if pattern.groups else found[0]) or "").strip() or None


_EXTRACTORS: Mapping[str, Callable[[str, str, _Step], str | None]] = {
    "last_number": _last_number,
    "first_number": _first_number,
    "choice_letter": _choice_letter,
    "first_line": _first_line,
    "boxed": _boxed,
    "after": _after,
    "regex": _regex,
    "last_regex": _regex,
}
_NEED_ARGUMENT = ("after", "regex", "last_regex")
_MAY_HAVE_ARGUMENT = (*_NEED_ARGUMENT, "choice_letter")
EXTRACT_WORDS = tuple(f"{name}:..." if name in _NEED_ARGUMENT else name for name in _EXTRACTORS)
"""For messages and help."""


def require_word(word: str) -> None:
    """Raise UsageError, saying what is near, where `word` is no word of extraction: for tables and the command line."""
    _steps(word)


def is_word(word: str) -> bool:
    """Return whether `word` is one of extraction; else it names a task's own way."""
    try:
        require_word(word)
    except UsageError:
        return False
    return True


def extract_answer(word: str, language: str, text: str, table: Sequence[str] | None = None) -> str | None:
    """Return what `word` finds in `text`, an answer in the language whose code is `language`, or None.

    `table` are the labels of choices, for `choice_letter` without any of its own; None: A, B, C, D. A number comes in
    canonical form. Raises UsageError for a word that means nothing, DataError for a pattern that takes too long.
    """
    found: str | None = text
    for step in _steps(word):
        if step.name == "choice_letter" and table is not None and not step.argument:
            found = find_choice_letter(cast(str, found), language, table)
        else:
            found = _EXTRACTORS[step.name](cast(str, found), language, step)
        if found is None:
            return None
    return found


def extracts_number(word: str | None) -> bool:
    """Return whether what `word` finds is a number in canonical form."""
    return word is not None and _steps(word)[-1].name in ("last_number", "first_number")


def signature(word: str, language: str) -> str:
    """Name every choice of an extraction that changes a score: the word, the language's marks, our version of it."""
    marks = f"|marks:{describe_numbers(language)}" if extracts_number(word) else ""
    version = max(VERSIONS.get(step.name, "1") for step in _steps(word))
    return f"extract:{word}{marks}|version:{version}"


@lru_cache(maxsize=256)
def _steps(word: str) -> tuple[_Step, ...]:
    return tuple(_read_step(each.strip(), word) for each in word.split(JOINT))


def _read_step(text: str, word: str) -> _Step:
    name, colon, argument = text.partition(":")
    argument = argument.strip()
    if name not in _EXTRACTORS:
        raise UsageError(f"{word!r} extracts nothing", where="extract", hint=did_you_mean(name, EXTRACT_WORDS))
    if name in _NEED_ARGUMENT and not argument:
        raise UsageError(f"{name!r} needs what follows the colon", where="extract", hint=f"such as {_EXAMPLES[name]}")
    if colon and name not in _MAY_HAVE_ARGUMENT:
        raise UsageError(f"{name!r} takes nothing after a colon", where="extract", hint=f"write {name}")
    if name == "choice_letter" and colon and len(set(argument)) < 2:
        hint = f"such as {_EXAMPLES[name]}"
        raise UsageError(f"{text!r} has less than two different labels", where="extract", hint=hint)
    if "regex" in name:
        _require_pattern(argument, text)
    return _Step(name, argument)


_EXAMPLES = {
    "after": "after:Answer:",
    "regex": r"regex:#### (-?\d+)",
    "last_regex": r"last_regex:#### (-?\d+)",
    "choice_letter": "choice_letter:ABCD",
}


def _require_pattern(pattern: str, text: str) -> None:
    import regex  # noqa: PLC0415  as above

    try:
        regex.compile(pattern)
    except regex.error as error:
        raise UsageError(f"{text!r} is no regular expression ({error})", where="extract") from error
