"""Data sets of the Hugging Face hub at one commit: "org/name@COMMIT:subset/split", kept in the cache as JSONL.

With a direction: sentence pairs, `columns = ["en:translation.en", "zh:translation.zh"]`. With a language: instructions,
columns instruction, input, output unless named otherwise.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from xlingual import DataFile, DataSource, Example, Examples, Prompt, read_records
from xlingual.data import PINS, column_pair, hub_table, instruction_examples, pair_examples
from xlingual.errors import DataError, UsageError
from xlingual.records import Corpus, HubSource, Origin
from xlingual.registry import register_source
from xlingual.wording import ask_instruction, ask_pair

_PATH = re.compile(r"(?P<repository>[^@:]+)@(?P<revision>[0-9a-f]{40}):(?P<subset>[^/]+)/(?P<split>[^/]+)")
COLUMNS = ("instruction", "input", "output")


def ask(corpus: Corpus, example: Example, number: int) -> Prompt:
    """Ask for a translation where the corpus has a direction, else for the instruction."""
    return (ask_instruction if corpus.direction is None else ask_pair)(corpus, example, number)


@register_source("hub", ask=ask)
def read(corpus: Corpus, data_source: DataSource) -> Examples:
    """Read one split; UsageError for a path without a commit, DataError for a benchmark that leaderboards test on."""
    found = _PATH.fullmatch(corpus.path)
    if found is None:
        what = f"{corpus.path!r} is not org/name@COMMIT:subset/split"
        raise UsageError(what, where=corpus.name, hint="COMMIT is the 40 hex digits of the data set's commit")
    if any(pin.repository == found["repository"] for pin in PINS):
        raise DataError(
            f"leaderboards test on {found['repository']}", where=corpus.name, hint="train on something else"
        )
    columns = column_pair(corpus) if corpus.direction else corpus.columns or COLUMNS
    source = HubSource(**found.groupdict())
    path, sha256 = hub_table(source, columns, offline=data_source.offline or data_source.sample)
    file = DataFile(name=corpus.path, origin=Origin.HUB, path=str(path), revision=source.revision, sha256=sha256)
    return _examples(corpus, file, columns)


def _examples(corpus: Corpus, file: DataFile, columns: Sequence[str]) -> Examples:
    rows = [row.values for row in read_records(Path(file.path), dict.fromkeys(columns, str))]
    texts = [[cast(str, row[name]) for name in columns] for row in rows]
    if corpus.direction:
        return pair_examples(corpus, [(source, target) for source, target in texts], (file,))
    return instruction_examples(corpus, [(first, given, output) for first, given, output in texts], file)
