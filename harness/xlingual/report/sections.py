"""What the page of an experiment says: models, gains, leaderboard, law, budget, and how to make it again."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..analysis.sections import PageSection
from ..board import Board, board_markdown
from ..board.markdown import markdown_table
from ..escape import escape_markdown
from ..scaling.doubts import doubts_of
from ..scaling.plots import draw_allocation, draw_laws
from ..scaling.records import Allocation, LawFit
from ..scaling.tables import TextTable, allocation_tables, fit_tables, point_table
from ..tune.recipe_records import Tuning
from ..tune.records import TuneRecord
from .gains import gains_section
from .page import Html, Page, Section
from .plots import draw_scores

_NOTHING = "–"


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """What a page shows; parts that are None or empty are left out."""

    title: str
    board: Board
    board_command: str
    """What makes the leaderboard anew."""
    tuned: tuple[TuneRecord, ...]
    fit: LawFit | None
    allocation: Allocation | None
    analyses: tuple[PageSection, ...] = ()
    """What lies beside the runs: the space of the models, the content of answers, judges."""
    commands: tuple[str, ...]
    """What made it all, in order."""


def experiment_page(experiment: Experiment) -> Page:
    """Return the page; the same experiment gives the same page."""
    sections = [
        _models(experiment.tuned),
        gains_section(experiment.board, experiment.tuned),
        _scores(experiment),
        _law(experiment.fit),
        _budget(experiment.allocation),
        *(Section(heading=each.heading, parts=(Html(each.html),)) for each in experiment.analyses),
        _commands(experiment.commands),
    ]
    return Page(
        title=experiment.title,
        introduction=_introduction(experiment),
        sections=tuple(each for each in sections if each is not None),
    )


def _introduction(experiment: Experiment) -> str:
    bases = list(dict.fromkeys(escape_markdown(each.parent) for each in experiment.tuned))
    parts = [f"{len(experiment.tuned)} models tuned from {', '.join(bases)}."] if bases else []
    if experiment.board.origin != "real":
        parts.append("**On the packaged sample: it shows that everything works and says little about a model.**")
    if experiment.board.newest:
        parts.append(f"Newest run {escape_markdown(experiment.board.newest)}.")
    return " ".join(parts)


def _models(tuned: Sequence[TuneRecord]) -> Section | None:
    if not tuned:
        return None
    header = ["Model", "Base", "Method", "Rows", "Epochs", "Tokens", "Supervised", "Steps", "Loss", "tok/s"]
    rows = [[escape_markdown(cell) for cell in _model_row(each)] for each in tuned]
    note = "Rows and tokens of one epoch; the loss is that of the last epoch, in nats for each supervised token."
    return Section(heading="What was trained", parts=(markdown_table(header, rows, texts=3), note))


def _model_row(record: TuneRecord) -> list[str]:
    recipe = record.plan.recipe
    method = recipe.method
    kind = method.kind.value if method.kind is Tuning.FULL else f"{method.kind.value}, rank {method.rank}"
    counts = (record.plan.rows, recipe.schedule.epochs, record.plan.tokens, record.plan.supervised, record.steps)
    speed = f"{record.useful_tokens_per_second:,.0f}"
    return [recipe.name, record.parent, kind, *(f"{count:,g}" for count in counts), _mean_loss(record), speed]


def _mean_loss(record: TuneRecord) -> str:
    """Return the loss of the last epoch over all supervised tokens."""
    tokens = {each.name: each.supervised for each in record.plan.sources if each.name in record.loss}
    total = sum(tokens.values())
    return f"{sum(record.loss[name] * count for name, count in tokens.items()) / total:.3f}" if total else _NOTHING


def _scores(experiment: Experiment) -> Section:
    page = board_markdown(experiment.board, command=experiment.board_command)
    text = re.sub(r"^## ", "### ", page.partition("\n\n")[2], flags=re.MULTILINE)
    pictures = (draw_scores(experiment.board),) if experiment.board.tables else ()
    return Section(heading="Leaderboard", parts=(*pictures, text))


def _law(fit: LawFit | None) -> Section | None:
    if fit is None:
        return None
    tables = [_table(each) for each in (*fit_tables(fit), point_table(fit.points))]
    notes = "\n".join(f"- {escape_markdown(note)}" for note in (*doubts_of(fit), *fit.notes))
    return Section(heading="The scaling law", parts=(draw_laws(fit), *tables, notes))


def _budget(allocation: Allocation | None) -> Section | None:
    if allocation is None:
        return None
    tables = [_table(each) for each in allocation_tables(allocation)]
    notes = "\n".join(f"- {escape_markdown(note)}" for note in (*allocation.doubts, *allocation.notes))
    return Section(heading="The budget", parts=(draw_allocation(allocation), *tables, notes))


def _commands(commands: Sequence[str]) -> Section | None:
    if not commands:
        return None
    lines = "\n".join(f"    {line}" for line in commands)
    return Section(heading="How it was made", parts=(lines,))


def _table(table: TextTable) -> str:
    header = [escape_markdown(cell) for cell in table.header]
    rows = [[escape_markdown(cell) if cell else "" for cell in row] for row in table.rows]
    return f"### {escape_markdown(table.title)}\n\n{markdown_table(header, rows, texts=1)}"
