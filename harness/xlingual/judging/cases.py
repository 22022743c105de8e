"""From answers to questions for the judge: what is ruled without it, what it is shown, and in which order.

    an empty answer                     0, or a loss; of two empty ones a tie
    an answer in the wrong language     the same, by the language gate, which can be turned off
    one and the same answer twice       a tie
    markers of a chat in an answer      shown as "<¦im_end¦>", for they would end the judge's own question
    an answer longer than `longest`     its beginning and its end are shown, with the number of characters left out

All of it is counted, and said beside the score.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..identity import content_hash
from ..languages import LANGUAGES
from ..metrics import find_metric
from ..metrics.off_target import judge_language
from ..records import Example
from ..text import is_blank, single_line
from .judged import JudgedAnswer, JudgedRun
from .prompts import JudgePrompt
from .verdicts import holds_verdict

EMPTY = "empty"
WRONG_LANGUAGE = "wrong language"
UNANSWERED = "no answer"
SAME = "same answer"
"""Of a pair whose answers are equal but for white space: a tie, whatever a judge would make of the order."""
LONGEST_ASKED = 12_000
"""Characters of what was asked that a judge is shown."""
MARK_DIGITS = 8
TIE = 0.5
_MARKERS = re.compile(
    r"<[|｜][^<>|｜\n]{1,40}[|｜]>|<\|[A-Za-z_]{1,40}>|<[A-Za-z_]{1,40}\|>|\[\|[^\[\]|\n]{1,40}\|\]"
    r"|</?s>|</?(?:start|end)_of_[a-z]{1,20}>|</?(?:bos|eos|pad|unk|mask|sep|cls|eot|eod|eop|sop)(?:_token)?>"
    r"|<(?:extra_id|reserved|unused|special|unused_token)_?\d{1,5}>|\[UNUSED_TOKEN_\d{1,5}\]"
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]|\[(?:BOS|EOS|CLS|SEP|PAD|UNK|g?MASK)\]|<</?SYS>>",
    re.IGNORECASE,
)
"""What chat templates of model families put between turns. A tokenizer takes them for such wherever they stand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Screening:
    """What is decided before the judge is asked."""

    language_gate: bool = True
    longest: int = 6_000
    """Characters of an answer that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One answer, or one pair, on its way to a score."""

    answer: JudgedAnswer
    other: JudgedAnswer | None
    rule: str | None
    """Why the judge is not asked."""
    score: float | None
    """What the rule gives; None without a rule, and where there is no answer."""
    shown: tuple[Example, ...]
    """What the judge is asked about: nothing, the answer, or the pair in both orders."""
    cut: int
    """Answers of it that are shown only in part."""
    suspect: bool
    """Whether an answer of it holds what a verdict would look like."""


def make_cases(
    run: JudgedRun,
    other: JudgedRun | None,
    prompt: JudgePrompt,
    screening: Screening,
    fields: Mapping[str, Mapping[str, str]],
) -> tuple[Case, ...]:
    """Return a case for every answer of `run`, in its order; `fields` are those of the examples, for translations."""
    language = run.record.language
    gated = language if screening.language_gate and gate_lack(language) is None else None
    partners = {} if other is None else {each.name: each for each in other.answers}
    cases = []
    for answer in run.answers:
        partner = partners.get(answer.name)
        rule, score = _rule(answer, partner, other is not None, gated)
        shown = () if rule is not None else _show(answer, partner, prompt, screening, _texts(run, answer, fields))
        answers = [each.text or "" for each in (answer, partner) if each is not None] if shown else []
        cases.append(
            Case(
                answer=answer,
                other=partner,
                rule=rule,
                score=score,
                shown=shown,
                cut=sum(len(each) > screening.longest for each in answers),
                suspect=any(holds_verdict(prompt, each) or _MARKERS.search(each) is not None for each in answers),
            )
        )
    return tuple(cases)


def gate_lack(language: str) -> str | None:
    """Return why the language gate cannot judge answers in a language on this machine, or None."""
    return find_metric("off_target").missing(language)


def _rule(
    answer: JudgedAnswer, partner: JudgedAnswer | None, is_pair: bool, language: str | None
) -> tuple[str | None, float | None]:
    """Return why the judge is not asked, and the score; `language`: None where there is no gate."""
    faults = [_fault(each, language) for each in (answer, *((partner,) if is_pair else ()))]
    if UNANSWERED in faults:
        return UNANSWERED, None
    if not is_pair:
        return faults[0], None if faults[0] is None else 0.0
    ours, theirs = faults
    if ours is None and theirs is None:
        texts = [single_line(each.text or "") for each in (answer, partner) if each is not None]
        return (SAME, TIE) if texts[0] == texts[1] else (None, None)
    score = TIE if ours is not None and theirs is not None else 0.0 if ours is not None else 1.0
    return EMPTY if EMPTY in faults else WRONG_LANGUAGE, score


def _fault(answer: JudgedAnswer | None, language: str | None) -> str | None:
    if answer is None or answer.text is None:
        return UNANSWERED
    if is_blank(answer.text):
        return EMPTY
    return WRONG_LANGUAGE if language is not None and judge_language(answer.text, language) is True else None


def _texts(run: JudgedRun, answer: JudgedAnswer, fields: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return the texts that a prompt may ask for, besides the answers."""
    direction = run.record.protocol.task.partition("/")[2].split("-")
    names = [LANGUAGES[code].name if code in LANGUAGES else code for code in (*direction, run.record.language)]
    return {
        "question": shorten(answer.asked, LONGEST_ASKED),
        "gold": "\n".join(dict.fromkeys(each for each in answer.targets if not is_blank(each))),
        "reference": answer.targets[0] if answer.targets else "",
        "source": fields.get(answer.id, {}).get("source", ""),
        "source_language": names[0],
        "target_language": names[-1],
    }


def _show(
    answer: JudgedAnswer,
    partner: JudgedAnswer | None,
    prompt: JudgePrompt,
    screening: Screening,
    texts: Mapping[str, str],
) -> tuple[Example, ...]:
    ours = shorten(answer.text or "", screening.longest)
    place = (answer.group, answer.cluster)
    if partner is None:
        return (make_example(answer.name, place, {**texts, "answer": ours}, prompt),)
    theirs = shorten(partner.text or "", screening.longest)
    return (
        make_example(f"{answer.name}#1", place, {**texts, "first": ours, "second": theirs}, prompt),
        make_example(f"{answer.name}#2", place, {**texts, "first": theirs, "second": ours}, prompt),
    )


def make_example(name: str, place: tuple[str, str], texts: Mapping[str, str], prompt: JudgePrompt) -> Example:
    """Return what the judge is asked about as an example, its `mark` made of all texts of it.

    An answer that wants to end the part that holds it would have to hold a hash of itself.
    """
    used = {
        key: break_markers(value) for key, value in texts.items() if f"{{{key}}}" in prompt.instruction + prompt.input
    }
    mark = content_hash(dict(sorted(used.items())))[:MARK_DIGITS]
    return Example(id=name, language="en", group=place[0], cluster=place[1], fields={**used, "mark": mark}, targets=())


def break_markers(text: str) -> str:
    """Return `text` with the markers of chat templates broken, so that no answer ends the judge's question."""
    while (broken := _MARKERS.sub(_break, text)) != text:  # what stands within one may be another
        text = broken
    return text


def _break(marker: re.Match[str]) -> str:
    return f"{marker[0][0]}¦{marker[0][1:-1].strip('|｜')}¦{marker[0][-1]}"


def shorten(text: str, longest: int) -> str:
    """Return at most `longest` characters of `text`: beginning and end, and between them how many are left out."""
    if len(text) <= longest:
        return text
    head = longest - longest // 3
    tail = longest - head
    middle = f"\n[... {len(text) - longest:,} characters are not shown ...]\n"
    return text[:head] + middle + (text[-tail:] if tail else "")


def shown_examples(cases: Sequence[Case]) -> tuple[Example, ...]:
    """Return all that the judge is asked about, in order."""
    return tuple(example for case in cases for example in case.shown)
