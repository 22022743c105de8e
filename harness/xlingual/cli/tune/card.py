"""`xlingual tune card`: the scores of finished runs in the model card of what a training exported."""

from dataclasses import dataclass
from pathlib import Path

import click

from ...errors import UsageError
from ...files import read_json, read_text, write_atomically
from ...report.card_scores import ADAPTER_CONFIG, find_scores, fingerprints_of
from ...serial import from_json
from ...training.settings import PROVENANCE
from ...tune.card import CARD, CardFacts, model_card, replace_scores
from ...tune.records import TuneRecord
from .. import printable
from ..options import data_option, offline_option, read_data_source, takes


@dataclass(frozen=True, slots=True, kw_only=True)
class CardOptions:
    """The words of the command line."""

    model: str
    runs: tuple[str, ...]
    data: str | None
    offline: bool


def run_card(options: CardOptions) -> int:
    """Write the section of scores anew, and the whole card where there is none."""
    folder = Path(options.model).expanduser()
    record = _read_record(folder)
    data_source = read_data_source(options.data, offline=options.offline)
    roots = [Path(word).expanduser() for word in options.runs]
    found = find_scores(roots, record.plan.id, fingerprints_of(folder, record.plan.base), data_source)
    path = folder / CARD
    facts = CardFacts(record=record, is_adapter=(folder / ADAPTER_CONFIG).is_file())
    text = read_text(path) if path.is_file() else model_card(facts)
    text = replace_scores(text, record.plan.recipe.name, found.scores, found.left_out, where=str(path))
    write_atomically(path, text)
    for where, why in (*found.left_out, *found.unread):
        click.echo(f"left out: {printable(f'{where}: {why}')}", err=True)
    whole = sum(each.is_whole for each in found.scores)
    click.echo(printable(f"card: {path}: {len(found.scores)} scores, {whole} of them for the hub's results"))
    return 0


def _read_record(folder: Path) -> TuneRecord:
    path = folder / PROVENANCE
    if not path.is_file():
        hint = "name the folder of a model or adapter that xlingual tune run has written"
        raise UsageError(f"there is no {PROVENANCE}", where=str(folder), hint=hint)
    return from_json(TuneRecord, read_json(path), where=str(path))


COMMAND = click.Command(
    "card",
    params=[
        click.Argument(["model"], metavar="MODEL"),
        click.Option(
            ["--runs", "-r"],
            multiple=True,
            default=("runs",),
            show_default=True,
            metavar="OUT",
            help="Where finished runs of the model lie; may be given several times.",
        ),
        data_option(),
        offline_option(),
    ],
    callback=takes(CardOptions, run_card),
    short_help="Write the scores of finished runs into the model card.",
    help="Write the scores of finished runs into the card (README.md) of a tuned model: a table with intervals, and "
    "results for the hub. Each run is verified first: an edited one is left out, one that cannot be verified is "
    "marked. The rest of the card stays as it is; where there is none, it is written anew.",
    epilog="Example: xlingual tune card runs/x-llama-zh-1a2b3c4d/x-llama-zh --runs runs --data DIR",
)
