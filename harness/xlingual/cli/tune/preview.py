"""`xlingual tune preview`: rows as the model is trained on them, the supervised part marked."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from operator import itemgetter

import click

from ...errors import UsageError
from ...files import pretty_json
from ...plugin import Trainable
from ...serial import to_json
from ...text import did_you_mean
from ...tune.order import order_epoch
from ...tune.prepare import Prepared, trainable
from .. import printable
from ..options import json_option, takes
from .options import MixOptions, make_or_load_plan, mix_parameters

MARKS = ("⟦", "⟧")
"""Around supervised tokens, where there is no colour."""
BORDER = "·"
"""Between tokens that are shown one by one."""
_PART_OF_CHARACTER = "\ufffd"
"""What tokenizers decode bytes to that are no character yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewOptions:
    """Arguments and options of `tune preview`."""

    recipe: str
    overrides: tuple[str, ...]
    base: str | None
    data: str | None
    offline: bool
    contamination: str | None
    number: int
    source: str | None
    tokens: bool
    as_json: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Tokens of a row that stand together and are all learnt, or not."""

    learnt: bool
    tokens: tuple[str, ...]
    """What each adds to the text: "" for one that is the beginning of a character."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A row, decoded."""

    source: str
    tokens: int
    supervised: int
    prompt: str
    """Up to the first learnt token."""
    answer: str
    """From there on; of a conversation, what is given to later answers stands between them."""
    parts: tuple[Part, ...]
    """All of it, in order."""


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
    base = trainable(model)
    rows = [_decode(base, *row) for row in islice(_rows(prepared, options.source), options.number)]
    if options.as_json:
        click.echo(pretty_json({"schema": 1, "rows": to_json(tuple(rows))}), nl=False)
        return 0
    for row in rows:
        _show(row, by_token=options.tokens)
    return 0


def _rows(prepared: Prepared, source: str | None) -> Iterator[tuple[str, list[int], list[bool]]]:
    """Yield the source of each row, its tokens, and which of them are learnt."""
    rows, plan = prepared.rows, prepared.plan
    for row in order_epoch(rows, plan.recipe.seed, 0).tolist():
        name = plan.sources[int(rows.sources[row])].name
        if source in (None, name):
            start, end = int(rows.offsets[row]), int(rows.offsets[row + 1])
            learnt = [place >= int(rows.answer_starts[row]) for place in range(end - start)]
            if rows.learnt is not None:
                learnt = rows.learnt[start:end].tolist()
            yield name, rows.tokens[start:end].tolist(), learnt


def _decode(base: Trainable, source: str, ids: list[int], learnt: list[bool]) -> Shown:
    first = learnt.index(True) if True in learnt else len(ids)
    parts = []
    for is_learnt, group in groupby(zip(ids, learnt, strict=True), key=itemgetter(1)):
        tokens = [token for token, _ in group]
        parts.append(Part(learnt=is_learnt, tokens=_pieces(base, tokens), text=base.text_of(tokens)))
    return Shown(
        source=source,
        tokens=len(ids),
        supervised=sum(learnt),
        prompt=base.text_of(ids[:first]),
        answer=base.text_of(ids[first:]),
        parts=tuple(parts),
    )


def _pieces(base: Trainable, ids: Sequence[int]) -> tuple[str, ...]:
    """Return what each token adds to the text, so that together they are the text of all of them.

    A character of several tokens is what the last of them adds, and the others add nothing. Each is decoded behind the
    last whole characters before it: alone, a part of a character is none, and some tokenizers drop a space in front.
    """
    pieces: list[str] = []
    start, done, shown = 0, 0, ""
    for place in range(len(ids)):
        text = base.text_of(ids[start : place + 1])
        is_last = place + 1 == len(ids)
        if text.startswith(shown) and (is_last or not text.endswith(_PART_OF_CHARACTER)):
            pieces.append(text[len(shown) :])
            start, done = done, place + 1
            shown = base.text_of(ids[start:done])
        else:
            pieces.append("")
    return tuple(pieces)


def _show(row: Shown, *, by_token: bool) -> None:
    click.echo(printable(f"--- {row.source}: {row.tokens} tokens, {row.supervised} of them learnt"))
    for part in row.parts:
        text = printable(BORDER.join(part.tokens) if by_token else part.text)
        if part.learnt:
            text = click.style(text, fg="green", bold=True) if sys.stdout.isatty() else f"{MARKS[0]}{text}{MARKS[1]}"
        click.echo(text, nl=False)
    click.echo("\n")


COMMAND = click.Command(
    "preview",
    params=[
        *mix_parameters(),
        click.Option(["-n", "--number"], type=click.IntRange(1), default=3, show_default=True, help="Rows to show."),
        click.Option(["--source"], default=None, metavar="NAME", help="Only rows of this source."),
        click.Option(
            ["--tokens"],
            is_flag=True,
            help="Show where each token ends: between two of them is a ·. A character of several stands in the last.",
        ),
        json_option(),
    ],
    callback=takes(PreviewOptions, run_preview),
    help="Show the first rows of the first epoch as the model would see them, special tokens included; what is learnt "
    "is green on a terminal and between ⟦ and ⟧ elsewhere.",
    epilog="Example: xlingual tune preview x-llama-zh --data DIR -n 5 --source translation",
)
