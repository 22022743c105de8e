"""Tables of sentence pairs: columns divided by tabs, no quoting, as Tatoeba, WikiMatrix and Tanzil come.

A column of scores, of how well the two sides translate each other, may stand beside them: "score:1".
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from xlingual import DataFile, DataSource, Examples
from xlingual.data import (  # fmt: skip
    Problem,
    column_pair,
    data_error,
    fill_path,
    locate_text,
    pair_examples,
    read_text,
    split_lines,
)
from xlingual.errors import DataError
from xlingual.records import Corpus
from xlingual.registry import register_source
from xlingual.text import did_you_mean
from xlingual.wording import ask_pair

SCORE = "score"
"""What `columns` calls the column of scores."""


@register_source("tsv", ask=ask_pair)
def read(corpus: Corpus, data_source: DataSource) -> Examples:
    """Read one file: `columns = ["en:1", "zh:3"]` counts from 1; names are those of the first line, else codes.

    Raises DataError where a score is no number.
    """
    named = [word for word in corpus.columns if word.partition(":")[0].strip() == SCORE]
    pair = replace(corpus, columns=tuple(word for word in corpus.columns if word not in named))
    columns = [*column_pair(pair), *(word.partition(":")[2].strip() for word in named[:1])]
    file = locate_text(fill_path(corpus, corpus.language), data_source)
    rows = list(_rows(file, columns))
    scores = [_score(file, place, row[2]) for place, row in rows] if named else None
    return pair_examples(corpus, [(row[0], row[1]) for _, row in rows], (file,), scores)


def _rows(file: DataFile, columns: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the texts in `columns` of each row, with the number of its line."""
    rows = [line.split("\t") for line in split_lines(read_text(Path(file.path)))]
    if not rows:
        raise DataError("no records", where=file.path)
    counted = all(name.isdecimal() for name in columns)
    places = [int(name) - 1 if counted else _place(file, rows[0], name) for name in columns]
    width = len(rows[0])
    if min(places) < 0 or max(places) >= width:
        raise DataError(f"there are {width} columns", where=file.path, hint='columns = ["en:1", "zh:2"]')
    problems = [
        Problem(f":{number}", f"{len(row)} columns, but {width} on the first line")
        for number, row in enumerate(rows, start=1)
        if len(row) != width
    ]
    if problems:
        raise data_error(file.path, problems, hint="a tab or a line break inside a text?")
    for number, row in enumerate(rows if counted else rows[1:], start=1 if counted else 2):
        yield number, [row[place] for place in places]


def _score(file: DataFile, line: int, text: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise DataError(f"the score {text[:40]!r} is no number", where=f"{file.path}:{line}")
    return score


def _place(file: DataFile, header: list[str], name: str) -> int:
    if name not in header:
        what = f"no column {name!r} on the first line"
        raise DataError(what, where=f"{file.path}:1", hint=f'{did_you_mean(name, header)}; or columns = ["en:1", ...]')
    return header.index(name)
