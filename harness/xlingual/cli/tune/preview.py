"""`xlingual tune preview`: rows as the model is trained on them, the supervised part marked."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import click

from ...errors import UsageError
from ...files import pretty_json
from ...serial import to_json
from ...text import did_you_mean
from ...tune.order import order_epoch
from ...tune.prepare import Prepared, trainable
from .. import printable
from ..options import json_option, takes
from .options import MixOptions, make_or_load_plan, mix_parameters

MARKS = ("⟦", "⟧")
"""Around supervised tokens, where there is no colour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewOptions:
    """Arguments and options of `tune preview`."""

    recipe: str
    overrides: tuple[str, ...]
    base: str | None
    data: str | None
    offline: bool
    contamination: str
    number: int
    source: str | None
    as_json: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A row, decoded."""

    source: str
    tokens: int
    supervised: int
    prompt: str
    answer: str


def run_preview(options: PreviewOptions) -> int:
    """Show the first rows of the first epoch, of one source where one is named."""
    mix = MixOptions(
        recipe=options.recipe,
        overrides=options.overrides,
        base=options.base,
        data=options.data,
        offline=options.offline,
        contamination=options.contamination,
    )
    prepared, model = make_or_load_plan(mix)
    names = [source.name for source in prepared.plan.sources]
    if options.source is not None and options.source not in names:
        raise UsageError(
            f"no such source: {options.source!r}", where="--source", hint=did_you_mean(options.source, names)
        )
    text_of = trainable(model).text_of
    rows = []
    for source, prompt, answer in islice(_rows(prepared, options.source), options.number):
        rows.append(
            Shown(
                source=source,
                tokens=len(prompt) + len(answer),
                supervised=len(answer),
                prompt=text_of(prompt),
                answer=text_of(answer),
            )
        )
    if options.as_json:
        click.echo(pretty_json({"schema": 1, "rows": to_json(tuple(rows))}), nl=False)
        return 0
    for row in rows:
        _show(row)
    return 0


def _rows(prepared: Prepared, source: str | None) -> Iterator[tuple[str, list[int], list[int]]]:
    rows, plan = prepared.rows, prepared.plan
    for row in order_epoch(rows, plan.recipe.seed, 0).tolist():
        name = plan.sources[int(rows.sources[row])].name
        if source in (None, name):
            tokens = rows.tokens[rows.offsets[row] : rows.offsets[row + 1]].tolist()
            start = int(rows.answer_starts[row])
            yield name, tokens[:start], tokens[start:]


def _show(row: Shown) -> None:
    click.echo(printable(f"--- {row.source}: {row.tokens} tokens, {row.supervised} of them learnt"))
    answer = printable(row.answer)
    supervised = click.style(answer, fg="green", bold=True) if sys.stdout.isatty() else f"{MARKS[0]}{answer}{MARKS[1]}"
    click.echo(printable(row.prompt) + supervised)
    click.echo("")


COMMAND = click.Command(
    "preview",
    params=[
        *mix_parameters(),
        click.Option(["-n", "--number"], type=click.IntRange(1), default=3, show_default=True, help="Rows to show."),
        click.Option(["--source"], default=None, metavar="NAME", help="Only rows of this source."),
        json_option(),
    ],
    callback=takes(PreviewOptions, run_preview),
    help="Show the first rows of the first epoch as the model would see them, special tokens included; what is learnt "
    "is green on a terminal and between ⟦ and ⟧ elsewhere.",
    epilog="Example: xlingual tune preview x-llama-zh --data DIR -n 5 --source translation",
)
