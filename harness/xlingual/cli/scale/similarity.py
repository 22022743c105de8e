"""`xlingual scale similarity`: how near languages are to English for a model, by what their tokens cost."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from ...errors import UsageError
from ...files import pretty_json, write_atomically
from ...languages import find_language
from ...plugin import DataSource, ModelOptions
from ...scaling.similarity import COLUMNS, Fertility, token_fertility
from ...selection import open_model, select_tasks
from ...serial import to_json
from ..display import show_table
from ..options import data_option, json_option, offline_option, read_data_source, takes

PIVOT = "en"
SPLIT = "dev"
"""Of Flores-101; what a leaderboard tests on has no part in a law."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarityCommand:
    """The words of the command line."""

    model: str
    langs: str
    data: str | None
    offline: bool
    write: str | None
    as_json: bool


def run_similarity(command: SimilarityCommand) -> int:
    """Count the tokens of the same sentences in English and in every language."""
    codes = [find_language(word).code for word in command.langs.split(",") if word.strip()]
    if not codes or PIVOT in codes or len(set(codes)) < len(codes):
        raise UsageError(f"name languages other than {PIVOT}, each once", where="--langs")
    sentences = _read_sentences(codes, read_data_source(command.data, offline=command.offline))
    model = open_model(command.model, ModelOptions(offline=command.offline))
    try:
        found = token_fertility(model, sentences, PIVOT)
    finally:
        model.close()
    if command.write is not None:
        write_atomically(Path(command.write), _table(found))
        click.echo(f"written: {command.write}", err=True)
    if command.as_json:
        click.echo(pretty_json({"schema": 1, "model": command.model, "languages": to_json(found)}), nl=False)
    else:
        header = ["language", "similarity", "tokens", "characters", "characters per token"]
        title = f"{command.model}: tokens of {found[0].sentences} Flores-101 {SPLIT} sentences"
        show_table(title, header, [_row(each) for each in found])
    return 0


def _read_sentences(codes: Sequence[str], data_source: DataSource) -> dict[str, tuple[str, ...]]:
    sentences: dict[str, tuple[str, ...]] = {}
    for code in codes:
        rows = select_tasks([f"flores101/{PIVOT}-{code}"], [])[0].examples(SPLIT, data_source).rows
        sentences.setdefault(PIVOT, tuple(row.fields["source"] for row in rows))
        sentences[code] = tuple(row.targets[0] for row in rows)
    return sentences


def _row(each: Fertility) -> list[str]:
    counts = [f"{each.tokens:,}", f"{each.characters:,}", f"{each.characters_per_token:.2f}"]
    return [each.language, f"{each.similarity:.3f}", *counts]


def _table(found: Sequence[Fertility]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for each in found:
        writer.writerow([each.language, repr(each.similarity), each.tokens, each.characters, each.sentences])
    return text.getvalue()


COMMAND = click.Command(
    "similarity",
    params=[
        click.Option(["--model", "-m"], required=True, help="Whose tokenizer; as for eval."),
        click.Option(["--langs", "-l"], required=True, metavar="zh,ar,...", help="Languages to compare with English."),
        data_option(),
        offline_option(),
        click.Option(["--write", "-w"], default=None, metavar="FILE.csv", help="Keep the table, for scale fit."),
        json_option(),
    ],
    callback=takes(SimilarityCommand, run_similarity),
    short_help="Measure gamma from a model's tokenizer.",
    help="Measure the similarity of languages to English as a model's tokenizer sees it: tokens of Flores-101 dev "
    "sentences in English over tokens of their translations, at most 1. It is gamma of scale fit --similarity.",
    epilog="Example: xlingual scale similarity -m smollm2 -l ar,hi,zh --data DIR --write similarity.csv",
)
