"""What readers of training text share: braces in paths; sentence pairs, instructions and conversations to examples."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ..errors import DataError, UsageError
from ..files import MAX_TEXT
from ..languages import LANGUAGES, find_language
from ..plugin import DataSource
from ..records import Corpus, DataFile, Example, Examples, Role, Turn
from .location import locate_text

_BRACES = re.compile(r"\{([^{}]*)\}")


def required_direction(corpus: Corpus) -> tuple[str, str]:
    """Return the direction of parallel text; UsageError where the recipe says none."""
    if corpus.direction is None:
        raise UsageError("has no direction", where=corpus.name, hint='parallel text needs direction = "en-zh"')
    return corpus.direction


def fill_path(corpus: Corpus, code: str) -> str:
    """Return the path of a corpus with its braces filled in for the language `code`.

    `{language}` is the code, `{flores}` its name in Flores-101, `{en:eng,zh:cmn_Hans}` the word that stands after the
    code, else the code; `{pair}` is the direction, "en-zh", and `{reverse}` "zh-en". UsageError for other braces.
    """
    words = {"language": code, "flores": LANGUAGES[code].flores}
    if corpus.direction is not None:
        words |= {"pair": "-".join(corpus.direction), "reverse": "-".join(reversed(corpus.direction))}

    def fill(found: re.Match[str]) -> str:
        if ":" in found[1]:
            return named_words(corpus.name, found[1].split(",")).get(code, code)
        if found[1] not in words:
            hint = f"braces may hold {', '.join(words)} or code:word"
            raise UsageError(f"{found[0]} in the path {corpus.path!r} means nothing", where=corpus.name, hint=hint)
        return words[found[1]]

    return _BRACES.sub(fill, corpus.path)


def named_words(name: str, words: Sequence[str]) -> dict[str, str]:
    """Return ["en:eng", "zh:cmn_Hans"] as code -> word; UsageError, naming the source, for anything else."""
    named = {}
    for word in words:
        code, colon, value = (part.strip() for part in word.partition(":"))
        if not colon or not value:
            raise UsageError(f"{word!r} is not code:word", where=name, hint='such as "zh:cmn_Hans"')
        named[find_language(code).code] = value
    return named


def column_pair(corpus: Corpus) -> tuple[str, str]:
    """Return the columns of source and target text: those that `columns` gives the two languages, else their codes."""
    named = named_words(corpus.name, corpus.columns)
    source, target = required_direction(corpus)
    return named.get(source, source), named.get(target, target)


def find_pair(corpus: Corpus, data_source: DataSource) -> tuple[DataFile, DataFile]:
    """Return the files of source and target side; UsageError where both would be the same file."""
    paths = [fill_path(corpus, code) for code in required_direction(corpus)]
    if paths[0] == paths[1]:
        hint = 'write "train.{language}" or "train.{en:eng,zh:cmn_Hans}"'
        raise UsageError(f"{paths[0]!r} stands for both sides", where=corpus.name, hint=hint)
    return locate_text(paths[0], data_source), locate_text(paths[1], data_source)


def pair_examples(
    corpus: Corpus,
    pairs: Iterable[tuple[str, str]],
    files: tuple[DataFile, ...],
    scores: Sequence[float] | None = None,
) -> Examples:
    """Return sentence pairs as examples with the field "source", numbered from 1; empty sides are counted and left out.

    `scores` has one for each of `pairs`. Raises DataError where no pair is left.
    """
    rows = []
    kept_scores = []
    skipped = unanswered = 0
    for number, (source, target) in enumerate(pairs, start=1):
        if (most := max(len(source), len(target))) > MAX_TEXT:
            what = f"a side of pair {number} has {most:,} characters, over the limit of {MAX_TEXT:,}"
            raise DataError(what, where=files[0].path)
        if not source.strip() or not target.strip():
            skipped += 1
            unanswered += not target.strip()
            continue
        if scores is not None:
            kept_scores.append(scores[number - 1])
        key = f"{corpus.name}-{number}"
        rows.append(
            Example(
                id=key, language=corpus.language, group=key, cluster=key, fields={"source": source}, targets=(target,)
            )
        )
    if not rows:
        raise DataError(f"no pair of sentences ({skipped} with an empty side)", where=files[0].path)
    given = None if scores is None else tuple(kept_scores)
    return Examples(rows=tuple(rows), files=files, skipped=skipped, unanswered=unanswered, scores=given)


def instruction_examples(
    corpus: Corpus,
    rows: Iterable[tuple[str, str, str]],
    file: DataFile,
    before: Sequence[Mapping[str, str]] | None = None,
) -> Examples:
    """Return (instruction, input, output) as examples, numbered from 1; DataError where none is left.

    `before` has further fields for each of `rows`: a system prompt, and earlier turns, as `ask_instruction` has them.
    """
    examples = []
    skipped = unanswered = 0
    for number, (instruction, given, output) in enumerate(rows, start=1):
        if not instruction.strip() or not output.strip():
            skipped += 1
            unanswered += not output.strip()
            continue
        key = f"{corpus.name}-{number}"
        fields = {"instruction": instruction, "input": given if given.strip() else ""}
        fields |= before[number - 1] if before is not None else {}
        examples.append(
            Example(id=key, language=corpus.language, group=key, cluster=key, fields=fields, targets=(output,))
        )
    if not examples:
        raise DataError(f"no instruction with an output ({skipped} with an empty one)", where=file.path)
    return Examples(rows=tuple(examples), files=(file,), skipped=skipped, unanswered=unanswered)


def conversation_examples(corpus: Corpus, conversations: Iterable[Sequence[Turn]], file: DataFile) -> Examples:
    """Return conversations as examples, numbered from 1; DataError where none is left.

    One with an empty question or answer, or without an answer to learn, is counted and left out. What the assistant
    says before anybody has asked is not learnt.
    """
    examples = []
    skipped = unanswered = 0
    for number, given in enumerate(conversations, start=1):
        turns = _after_a_question(given)
        learnt = tuple(turn.text for turn in turns if turn.is_learnt)
        is_silent = any(not turn.text.strip() for turn in turns if turn.role is Role.ASSISTANT)
        if is_silent or not learnt or any(not turn.text.strip() for turn in turns if turn.role is Role.USER):
            skipped += 1
            unanswered += is_silent or not learnt
            continue
        key = f"{corpus.name}-{number}"
        fields = {f"{place} {turn.role}": turn.text for place, turn in enumerate(turns, start=1) if not turn.is_learnt}
        examples.append(
            Example(
                id=key, language=corpus.language, group=key, cluster=key, fields=fields, targets=learnt, turns=turns
            )
        )
    if not examples:
        what = f"no conversation with an answer to learn ({skipped} have an empty message, or no answer)"
        raise DataError(what, where=file.path)
    return Examples(rows=tuple(examples), files=(file,), skipped=skipped, unanswered=unanswered)


def _after_a_question(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    first = next((place for place, turn in enumerate(turns) if turn.role is Role.USER), len(turns))
    return (*(replace(turn, is_learnt=False) for turn in turns[:first]), *turns[first:])
