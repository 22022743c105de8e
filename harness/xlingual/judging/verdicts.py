"""From what a judge says to a verdict: strict, so that what was not clearly said is "unreadable" and never a score.

    The year is wrong. VERDICT: INCORRECT      incorrect
    **Verdict:** CORRECT                       correct
    VERDICT: CORRECT, INCORRECT                unreadable: the form was repeated, nothing was chosen
    VERDICT: CORRECT ... VERDICT: INCORRECT    unreadable: two verdicts
    VERDICT: CORRECT?                          unreadable: a question
    判断：不正确                              unreadable: not the form that was asked for; "正确" in it is no sign

Letter case, marks around words and full-width forms do not matter. Thinking is taken out before (see `answers`).
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence

from ..records import Likelihood
from ..text import for_scoring
from .prompts import VALUES, JudgePrompt, VerdictForm
from .records import JudgeVerdict, VerdictState

_SEGMENT = re.compile(r"[\r\n\u2028\u2029]+|(?<=[.!?।؟;])(?:\s+|$)|(?<=。)")
"""Where a line or a sentence ends: a verdict begins one."""
_BEFORE = r"(?:(?:so|thus|therefore|the|my|final|overall) )*"
_ASIDE = re.compile(r"\([^()]*\)\s*[.!。]?\s*$")
_DOUBT = re.compile(r"[?؟][^\w)]*$|\([?؟]+\)|[¬≠]|~~")
"""What turns a verdict into a question, strikes it out or negates it: "VERDICT: CORRECT?" is none."""
_NUMBER = r"(\d{1,3}(?:[.,]\d{1,2})?)"
_LONGEST_SHOWN = 60
_ASKED = re.compile(r"[?؟~¬≠]")
"""Of a question, and of what is struck out or negated: such a line says nothing."""


def read_verdict(prompt: JudgePrompt, text: str) -> JudgeVerdict:
    """Return the verdict in a reply without its thinking; UNREADABLE, with the reason, where there is none."""
    plain = unicodedata.normalize("NFKC", for_scoring(text))
    if not plain.strip():
        return unreadable("an empty reply")
    if prompt.form is VerdictForm.CHOICE:
        return unreadable("a text in the place of likelihoods")
    if _takes_itself_back(prompt, plain):
        return unreadable("verdicts that differ")
    if prompt.form is VerdictForm.LABEL:
        return _read_label(prompt, plain)
    if prompt.form is VerdictForm.SCORE:
        return _read_score(prompt, plain)
    return _read_two_scores(prompt, plain)


def _takes_itself_back(prompt: JudgePrompt, text: str) -> bool:
    """Return whether a reply says two things, be it within a line: "Wait, VERDICT: INCORRECT"; questions aside."""
    if not prompt.cue:
        return False
    lines = [each for each in _SEGMENT.split(text) if not _ASKED.search(each)]
    if prompt.form is VerdictForm.LABEL:
        return len(set(_labels(prompt, lines))) > 1
    cues = [prompt.cue] if prompt.form is VerdictForm.SCORE else [f"{prompt.cue} {name}" for name in "AB"]
    for words in cues:
        cue = r"\W+".join(map(re.escape, words.split()))
        last = re.compile(rf"(?<!\w)(?i:{cue})(?:\W+is)?[^\w\-−]+{_NUMBER}{_of(prompt.scale)}[^\w]*$")
        if len({_number(found[1]) for each in lines if (found := last.search(each))}) > 1:
            return True
    return False


def _labels(prompt: JudgePrompt, lines: Sequence[str]) -> Iterator[str]:
    """Yield the verdicts that stand behind the cue anywhere in a line, or below it on a line of their own."""
    names = {_words(word): name for name, words in prompt.labels.items() for word in words}
    words = "|".join(
        re.escape(each) + ("$" if len(each) == 1 else r"\b") for each in sorted(names, key=len, reverse=True)
    )
    cue = re.compile(rf"\b{re.escape(_words(prompt.cue))}\b")
    behind = re.compile(rf"{cue.pattern}(?: is)?( not)? ({words})")  # "the verdict is a tie" does not say A
    below = False
    for line in map(_words, lines):
        for found in behind.finditer(line):
            yield f"not {found[2]}" if found[1] else names[found[2]]
        below = below or cue.search(line) is not None
        if below and (alone := line.removeprefix("or ")) in names:
            yield names[alone]


def read_choice(prompt: JudgePrompt, likelihoods: Sequence[Likelihood]) -> JudgeVerdict:
    """Return the verdict whose word is the likeliest; UNREADABLE where two are equally likely."""
    best = max(each.logarithm for each in likelihoods)
    names = [name for name, each in zip(prompt.labels, likelihoods, strict=True) if each.logarithm == best]
    return _of_label(prompt, names[0]) if len(names) == 1 else unreadable("two words are equally likely")


def unreadable(why: str) -> JudgeVerdict:
    """Return the verdict that says that there is none."""
    return JudgeVerdict(state=VerdictState.UNREADABLE, word=f"unreadable: {why}", value=None)


def holds_verdict(prompt: JudgePrompt, text: str) -> bool:
    """Return whether an answer holds a line that in a judge's reply would be a verdict."""
    if not prompt.cue:
        return False
    plain = unicodedata.normalize("NFKC", for_scoring(text))
    cue = _words(prompt.cue)
    return any(re.match(rf"{_BEFORE}{re.escape(cue)}\b", _words(each)) is not None for each in _SEGMENT.split(plain))


def _words(text: str) -> str:
    """Return the words of `text`, in one case, with single spaces and without any mark between them."""
    return " ".join(re.sub(r"[^\w']|_", " ", text.casefold()).split()).replace("’", "'")


def _read_label(prompt: JudgePrompt, text: str) -> JudgeVerdict:
    names = {_words(word): name for name, words in prompt.labels.items() for word in words}
    if (whole := _words(text)) in names and not _DOUBT.search(text):
        return _of_label(prompt, names[whole])
    pattern = re.compile(rf"{_BEFORE}{re.escape(_words(prompt.cue))}(?: is)?(?: (.*))?")
    said: list[str | None] = []
    lines = [each for each in _SEGMENT.split(text) if each.strip()]
    for place, line in enumerate(lines):
        if (found := pattern.fullmatch(_words(line))) is None:
            continue
        # A line that ends with the cue has its word on the next: "**Verdict**", "CORRECT".
        shown = line if found[1] or place + 1 == len(lines) else lines[place + 1]
        if _DOUBT.search(shown):
            continue
        word = found[1] or ("" if shown is line else _words(shown))
        said.append(names.get(word, names.get(_without_aside(line, pattern, names))))
    if not said:
        return unreadable(f"no line {prompt.cue}: {_show(text)}")
    if None in said:
        return unreadable(f"a line {prompt.cue} without one of its words: {_show(text)}")
    if len(set(said)) > 1:
        return unreadable("verdicts that differ")
    return _of_label(prompt, str(said[0]))


def _without_aside(line: str, pattern: re.Pattern[str], names: dict[str, str]) -> str:
    """Return the word of a verdict with a remark in brackets behind it, "" where the remark names a verdict as well."""
    aside = _ASIDE.search(line)
    if aside is None or any(f" {name} " in f" {_words(aside[0])} " for name in names if len(name) > 1):
        return ""
    found = pattern.fullmatch(_words(line[: aside.start()]))
    return "" if found is None else found[1] or ""


def _of_label(prompt: JudgePrompt, name: str) -> JudgeVerdict:
    value = VALUES[prompt.kind][name]
    state = VerdictState.UNCLEAR if value is None else VerdictState.READ
    return JudgeVerdict(state=state, word=VerdictState.UNCLEAR.value if value is None else name, value=value)


def _read_score(prompt: JudgePrompt, text: str) -> JudgeVerdict:
    scores = list(dict.fromkeys(_numbers(text, re.escape(prompt.cue), prompt.scale)))
    if not scores:
        alone = re.fullmatch(rf"[\s*`]*{_NUMBER}{_of(prompt.scale)}[\s*`.]*", text)
        scores = [_number(alone[1])] if alone else []
    if not scores:
        return unreadable(f"no line {prompt.cue}: {_show(text)}")
    if len(scores) > 1:
        return unreadable("scores that differ")
    if not 0 <= scores[0] <= prompt.scale:
        return unreadable(f"a score of {scores[0]:g}, not within 0 and {prompt.scale:g}")
    return JudgeVerdict(state=VerdictState.READ, word=f"{scores[0]:g}", value=scores[0] / prompt.scale)


def _read_two_scores(prompt: JudgePrompt, text: str) -> JudgeVerdict:
    pairs = [list(dict.fromkeys(_numbers(text, rf"{re.escape(prompt.cue)}\W+{name}", prompt.scale))) for name in "AB"]
    if not all(pairs):
        return unreadable(f"not both of {prompt.cue} A and {prompt.cue} B: {_show(text)}")
    if any(len(each) > 1 for each in pairs):
        return unreadable("scores that differ")
    first, second = pairs[0][0], pairs[1][0]
    if not (1 <= first <= prompt.scale and 1 <= second <= prompt.scale):
        return unreadable(f"scores of {first:g} and {second:g}, not within 1 and {prompt.scale:g}")
    value = 1.0 if first > second else 0.0 if first < second else 0.5
    name = next(name for name, worth in VALUES[prompt.kind].items() if worth == value)
    return JudgeVerdict(state=VerdictState.READ, word=f"{name}, {first:g} to {second:g}", value=value)


def _numbers(text: str, cue: str, scale: float) -> Iterator[float]:
    """Yield the number of every line or sentence that is the cue and a number, and nothing else."""
    before = _BEFORE.replace(" ", r"\W+")
    pattern = re.compile(rf"\W*(?i:{before}{cue})(?:\W+is)?[^\w\-−]+{_NUMBER}{_of(scale)}[^\w]*")
    for line in _SEGMENT.split(text):
        if (found := pattern.fullmatch(line)) is not None and not _DOUBT.search(line):
            yield _number(found[1])


def _of(scale: float) -> str:
    """Return what may stand behind a number: "/100", "out of 100"; a percent sign where 100 is the most."""
    percent = r"|\s*%" if scale == 100 else ""
    return rf"(?:\s*(?:/|(?i:out\s+of))\s*{scale:g}{percent})?"


def _number(text: str) -> float:
    """Return a number, its digits of whatever script."""
    return float("".join(str(unicodedata.digit(each)) if each.isdigit() else "." for each in text))


def _show(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= _LONGEST_SHOWN else f"{line[:_LONGEST_SHOWN]}…")
