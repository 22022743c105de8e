"""What readers of training text share: braces in paths, and sentence pairs to examples."""

import re
from collections.abc import Iterable

from ..errors import DataError, UsageError
from ..languages import LANGUAGES
from ..plugin import DataPlace
from ..records import Corpus, DataFile, Example, Examples
from .location import locate_text

_BRACES = re.compile(r"\{([^{}]*)\}")
NAMES = "{language}, {flores}, {pair}, {reverse} or {SOURCE,TARGET}"


def required_direction(corpus: Corpus) -> tuple[str, str]:
    """Return the direction of parallel text; UsageError where the recipe says none."""
    if corpus.direction is None:
        raise UsageError("has no direction", where=corpus.name, hint='parallel text needs direction = "en-zh"')
    return corpus.direction


def fill_path(corpus: Corpus, side: int | None = None) -> str:
    """Return the path of a corpus with its braces filled in; UsageError for braces that mean nothing.

    `{language}` is our code of the language on the `side` (0 source, 1 target; None: the language of the answers),
    `{flores}` its name in Flores-101; `{pair}` is "en-zh" and `{reverse}` "zh-en"; of `{eng,cmn_Hans}` the source side
    takes the first word, the target side the second.
    """
    code = corpus.language if side is None or corpus.direction is None else corpus.direction[side]
    words = {"language": code, "flores": LANGUAGES[code].flores}
    if corpus.direction is not None:
        words |= {"pair": "-".join(corpus.direction), "reverse": "-".join(reversed(corpus.direction))}

    def fill(found: re.Match[str]) -> str:
        alternatives = found[1].split(",")
        if side is not None and len(alternatives) == 2:
            return alternatives[side].strip()
        if found[1] not in words:
            hint = f"braces may hold {NAMES}" if corpus.direction else "braces may hold {language} or {flores}"
            raise UsageError(f"{found[0]} in the path {corpus.path!r} means nothing", where=corpus.name, hint=hint)
        return words[found[1]]

    return _BRACES.sub(fill, corpus.path)


def find_pair(corpus: Corpus, place: DataPlace) -> tuple[DataFile, DataFile]:
    """Return the files of source and target side; UsageError where both would be the same file."""
    required_direction(corpus)
    paths = [fill_path(corpus, side) for side in (0, 1)]
    if paths[0] == paths[1]:
        raise UsageError(
            f"{paths[0]!r} stands for both sides", where=corpus.name, hint='write "train.{language}" or "train.{a,b}"'
        )
    return locate_text(paths[0], place), locate_text(paths[1], place)


def pair_examples(corpus: Corpus, pairs: Iterable[tuple[str, str]], files: tuple[DataFile, ...]) -> Examples:
    """Return sentence pairs as examples with the field "source", numbered from 1; empty sides are counted and left out.

    Raises DataError where no pair is left.
    """
    rows = []
    skipped = 0
    for number, (source, target) in enumerate(pairs, start=1):
        if not source.strip() or not target.strip():
            skipped += 1
            continue
        key = f"{corpus.name}-{number}"
        rows.append(
            Example(
                id=key, language=corpus.language, group=key, cluster=key, fields={"source": source}, targets=(target,)
            )
        )
    if not rows:
        raise DataError(f"no pair of sentences ({skipped} with an empty side)", where=files[0].path)
    return Examples(rows=tuple(rows), files=files, skipped=skipped)
