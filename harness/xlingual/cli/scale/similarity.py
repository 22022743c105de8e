"""`xlingual scale similarity`: how near languages are to English, by what their tokens cost a model or by typology."""

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
from ...scaling.similarity import COLUMNS, TYPOLOGY_COLUMNS, Fertility, token_fertility
from ...scaling.typology import FEW, KINDS, Typology, typological_similarity
from ...selection import open_model, select_tasks
from ...serial import to_json
from ..display import show_table
from ..options import data_option, json_option, offline_option, read_data_source, takes

PIVOT = "en"
TOKENS, TYPOLOGY = "tokens", "typology"
SPLIT = "dev"
"""Of Flores-101; what a leaderboard tests on has no part in a law."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarityCommand:
    """The words of the command line."""

    model: str | None
    by: str
    features: str
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
    if command.by == TYPOLOGY:
        return _show_typology(codes, command)
    if command.model is None:
        raise UsageError("whose tokenizer?", where="--model", hint="name a model, or use --by typology")
    sentences = _read_sentences(codes, read_data_source(command.data, offline=command.offline))
    model = open_model(command.model, ModelOptions(offline=command.offline))
    try:
        found = token_fertility(model, sentences, PIVOT)
    finally:
        model.close()
    _keep(command, _table(COLUMNS, [_cells(each) for each in found]))
    if command.as_json:
        click.echo(pretty_json({"schema": 1, "model": command.model, "languages": to_json(found)}), nl=False)
    else:
        header = ["language", "similarity", "tokens", "characters", "characters per token"]
        title = f"{command.model}: tokens of {found[0].sentences} Flores-101 {SPLIT} sentences"
        show_table(title, header, [_row(each) for each in found])
    return 0


def _show_typology(codes: Sequence[str], command: SimilarityCommand) -> int:
    if command.model is not None:
        raise UsageError("typology is of languages, not of a model", where="--model", hint="leave --model out")
    found = typological_similarity(codes, command.features, PIVOT)
    for each in found:
        if each.features < FEW:
            what = f"only {each.features} {command.features} features are known of both languages: it says little"
            click.echo(f"warning: {each.language}: {what}", err=True)
    _keep(command, _table(TYPOLOGY_COLUMNS, [_typology_cells(each) for each in found]))
    if command.as_json:
        click.echo(pretty_json({"schema": 1, "languages": to_json(found)}), nl=False)
    else:
        rows = [
            [each.language, f"{each.similarity:.3f}", f"{each.distance:.4f}", f"{each.features:,}"] for each in found
        ]
        show_table(f"distance to English: {found[0].source}", ["language", "similarity", "distance", "features"], rows)
    return 0


def _keep(command: SimilarityCommand, text: str) -> None:
    if command.write is not None:
        write_atomically(Path(command.write), text)
        click.echo(f"written: {command.write}", err=True)


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


def _cells(each: Fertility) -> list[object]:
    return [each.language, repr(each.similarity), each.tokens, each.characters, each.sentences]


def _typology_cells(each: Typology) -> list[object]:
    return [each.language, repr(each.similarity), repr(each.distance), each.features, each.code, each.source]


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


COMMAND = click.Command(
    "similarity",
    params=[
        click.Option(["--model", "-m"], default=None, help="Whose tokenizer; as for eval."),
        click.Option(
            ["--by"],
            type=click.Choice((TOKENS, TYPOLOGY)),
            default=TOKENS,
            show_default=True,
            help="What a model's tokenizer does, or features of the languages, from the package urielplus.",
        ),
        click.Option(
            ["--features"],
            type=click.Choice(tuple(KINDS)),
            default="featural",
            show_default=True,
            help="Which, with --by typology; featural: all of them.",
        ),
        click.Option(["--langs", "-l"], required=True, metavar="zh,ar,...", help="Languages to compare with English."),
        data_option(),
        offline_option(),
        click.Option(["--write", "-w"], default=None, metavar="FILE.csv", help="Keep the table, for scale fit."),
        json_option(),
    ],
    callback=takes(SimilarityCommand, run_similarity),
    short_help="Measure gamma: from a model's tokenizer, or typology.",
    help="Measure the similarity of languages to English as a model's tokenizer sees it: tokens of Flores-101 dev "
    "sentences in English over tokens of their translations, at most 1. Or by typology: 1 less the distance of their "
    "features. It is gamma of scale fit --similarity.",
    epilog="Example: xlingual scale similarity -m smollm2 -l ar,hi,zh --data DIR --write similarity.csv",
)
