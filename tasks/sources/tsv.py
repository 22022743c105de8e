"""Tables of sentence pairs: columns divided by tabs, no quoting, as Tatoeba, WikiMatrix and Tanzil come."""

from collections.abc import Iterator
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


@register_source("tsv", ask=ask_pair)
def read(corpus: Corpus, data_source: DataSource) -> Examples:
    """Read one file: `columns = ["en:1", "zh:3"]` counts from 1; names are those of the first line, else codes."""
    columns = column_pair(corpus)
    file = locate_text(fill_path(corpus, corpus.language), data_source)
    return pair_examples(corpus, list(_pairs(file, columns)), (file,))


def _pairs(file: DataFile, columns: tuple[str, str]) -> Iterator[tuple[str, str]]:
    rows = [line.split("\t") for line in split_lines(read_text(Path(file.path)))]
    if not rows:
        raise DataError("no records", where=file.path)
    counted = all(name.isdecimal() for name in columns)
    source, target = [int(name) - 1 if counted else _place(file, rows[0], name) for name in columns]
    width = len(rows[0])
    if min(source, target) < 0 or max(source, target) >= width:
        raise DataError(f"there are {width} columns", where=file.path, hint='columns = ["en:1", "zh:2"]')
    problems = [
        Problem(f":{number}", f"{len(row)} columns, but {width} on the first line")
        for number, row in enumerate(rows, start=1)
        if len(row) != width
    ]
    if problems:
        raise data_error(file.path, problems, hint="a tab or a line break inside a text?")
    for row in rows if counted else rows[1:]:
        yield row[source], row[target]


def _place(file: DataFile, header: list[str], name: str) -> int:
    if name not in header:
        what = f"no column {name!r} on the first line"
        raise DataError(what, where=f"{file.path}:1", hint=f'{did_you_mean(name, header)}; or columns = ["en:1", ...]')
    return header.index(name)
