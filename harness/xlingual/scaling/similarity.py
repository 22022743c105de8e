"""How near a language is to English for a given model: gamma of the law.

Token fertility is measured here, typological distances in `typology`; both are CSV tables on their way to a fit, and so
are numbers from elsewhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError, ModelError
from ..files import Problem, data_error
from ..identity import content_hash
from ..plugin import Model
from ..records import Form, Message, Request, Role
from .table import language_code, number, read_table

COLUMNS = ("language", "similarity", "tokens", "characters", "sentences")
"""Of a table of token fertility; the first two are needed, the others say where it comes from."""
TYPOLOGY_COLUMNS = ("language", "similarity", "distance", "features", "code", "source")
"""The same of typological distances."""
_LINES = 10
"""Lines counted together, so that tokens a model puts around every text count for little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fertility:
    """How a model's tokenizer cuts one language up."""

    language: str
    tokens: int
    characters: int
    sentences: int
    similarity: float
    """Tokens of the English sentences over tokens of their translations, at most 1."""

    @property
    def characters_per_token(self) -> float:
        """Long tokens are those the tokenizer was trained for."""
        return self.characters / self.tokens


def token_fertility(model: Model, sentences: Mapping[str, Sequence[str]], pivot: str = "en") -> tuple[Fertility, ...]:
    """Return the fertility of each language of `sentences`: translations of the same sentences, by code.

    Raises ModelError for a model that cannot count tokens, DataError for sentences that are not parallel.
    """
    if pivot not in sentences:
        raise DataError(f"no sentences in {pivot!r}, which the others are compared with")
    for code, lines in sentences.items():
        if len(lines) != len(sentences[pivot]) or not lines:
            raise DataError(f"{len(lines)} sentences, but {len(sentences[pivot])} in {pivot}", where=code)
    totals = {code: _count(model, lines) for code, lines in sentences.items()}
    return tuple(
        Fertility(
            language=code,
            tokens=totals[code],
            characters=sum(map(len, lines)),
            sentences=len(lines),
            similarity=min(1.0, totals[pivot] / totals[code]),
        )
        for code, lines in sentences.items()
    )


def _count(model: Model, lines: Sequence[str]) -> int:
    texts = ["\n".join(lines[first : first + _LINES]) for first in range(0, len(lines), _LINES)]
    counts = model.count_tokens([_request(text) for text in texts])
    if counts is None:
        raise ModelError("cannot count tokens", where=model.spec.name, hint="measure with a local model")
    return sum(counts)


def _request(text: str) -> Request:
    message = Message(role=Role.USER, text=text)
    return Request(key=content_hash(text), form=Form.TEXT, messages=(message,), stop=(), max_new_tokens=1)


def read_similarity(path: Path) -> dict[str, float]:
    """Read a CSV table with the columns language and similarity, each above 0 and at most 1, by language code.

    Raises DataError naming line and column.
    """
    rows = read_table(path, tuple(dict.fromkeys((*COLUMNS, *TYPOLOGY_COLUMNS))), COLUMNS[:2])
    found: dict[str, float] = {}
    problems: list[Problem] = []
    for row in rows:
        code, value = row.read("language", language_code), row.read("similarity", _ratio)
        problems += row.problems
        if code in found:
            problems.append(Problem(row.position, f"{code} is there twice"))
        elif code is not None and value is not None:
            found[code] = value
    if problems:
        raise data_error(str(path), problems)
    return found


def _ratio(cell: str) -> float:
    value = number(cell)
    if not 0.0 < value <= 1.0:
        raise ValueError(f"{cell!r} is not above 0 and at most 1")
    return value
