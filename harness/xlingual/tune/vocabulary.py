"""New tokens for a base: the table [vocabulary] of a recipe, the list that it names, and what they change.

[vocabulary]
tokens = "tokens.zh.txt"     # a token a line, spaces kept; relative to the data folder
train = 2000                 # or so many, trained on the answers of the mix
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..data.cache import safe_path
from ..errors import DataError, UsageError
from ..files import read_text
from ..plugin import DataSource
from ..serial import LATER
from ..toml_table import TomlTable

KEYS = ("tokens", "train")
MOST = 1_000_000
"""New tokens, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """Where new tokens come from; one of the two is set."""

    tokens: str | None
    """Path of a list, relative to the data folder."""
    train: int | None
    """Tokens that are trained on the answers of the mix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FertilityChange:
    """Tokens of answers for each of their characters."""

    before: float
    """With the tokens that the base had."""
    after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class VocabularyReport:
    """What new tokens have changed."""

    base: str
    """Name of the base that got them."""
    added: int
    fertility: Mapping[str, FertilityChange]
    """By language, over the answers of the mix."""
    revision: str | None = field(default=None, metadata=LATER)
    """Commit of the base on the hub; None where it is of this machine, or the plan from before this was kept."""


def read_vocabulary(table: TomlTable) -> Vocabulary:
    """Return what the table [vocabulary] says."""
    table.allow(KEYS)
    if len(table.values) != 1:
        raise table.fault("", "new tokens come from a list or are trained", hint='tokens = "FILE.txt" or train = 2000')
    train = table.count("train") if table.has("train") else None
    if train is not None and train > MOST:
        raise table.fault("train", f"new tokens are at most {MOST:,}")
    return Vocabulary(tokens=table.text("tokens") if table.has("tokens") else None, train=train)


def read_token_list(word: str, data_source: DataSource) -> tuple[str, ...]:
    """Return the tokens of a list, one a line; blank lines mean nothing.

    Raises UsageError where there is no data folder or no such file, DataError naming the line of a token that is there
    twice, or where there is none, and for a path that leads out of the data folder.
    """
    if data_source.folder is None:
        raise UsageError("the list of new tokens is in the data folder", where="--data", hint="--data DIR")
    path = safe_path(data_source.folder, word)
    if not path.is_file():
        raise DataError("there is no such list", where=str(path), hint="vocabulary.tokens names a file below --data")
    found: dict[str, int] = {}
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        token = line.removesuffix("\r")
        if not token.strip():
            continue
        if token in found:
            raise DataError(f"{token!r} is in line {found[token]} already", where=f"{path}:{number}")
        found[token] = number
    if not found or len(found) > MOST:
        raise DataError(f"{len(found):,} tokens in the list", where=str(path), hint=f"from 1 to {MOST:,}, one a line")
    return tuple(found)


def cache_name(base: str, count: int) -> str:
    """Return what a base with so many new tokens is called: "gemma-3-270m-plus-2000"."""
    return f"{Path(base).name}-plus-{count}"
