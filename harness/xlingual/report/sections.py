"""What the page of an experiment says: models, gains, leaderboard, law, budget, and how to make it again."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..analysis.sections import PageSection
from ..board import Board, board_markdown
from ..board.escape import escape_markdown
from ..board.markdown import markdown_table
from ..board.rows import BoardTable, CellState, Gain
from ..scaling.doubts import doubts_of
from ..scaling.plots import draw_allocation, draw_laws
from ..scaling.records import Allocation, LawFit
from ..scaling.tables import TextTable, allocation_tables, fit_tables, point_table
from ..tune.records import TuneRecord, Tuning
from .page import Html, Page, Section
from .plots import draw_scores

_NOTHING = "–"
_PIVOT = "en"


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
        _gains(experiment.board, experiment.tuned),
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


def _gains(board: Board, tuned: Sequence[TuneRecord]) -> Section | None:
    """Return average relative gains over the baseline in the form of the paper: a column for each benchmark."""
    tables = [table for table in board.tables if table.baseline is not None]
    if not tables:
        return None
    header = ["Model", *(f"{escape_markdown(table.family)} {escape_markdown(table.metric)}" for table in tables)]
    places = {record.plan.recipe.name: place for place, record in enumerate(tuned)}
    names = sorted({row.model for table in tables for row in table.rows}, key=lambda name: (places.get(name, -1), name))
    rows = [
        [escape_markdown(name), *(_show_gain(_gain_of(name, table), len(table.columns)) for table in tables)]
        for name in names
        if name != tables[0].baseline
    ]
    taught = {record.plan.recipe.name: code for record in tuned if (code := _only_language(record)) is not None}
    if taught:
        gains = [own_language_gain(table, taught) for table in tables]
        counts = [sum(column.language in taught.values() for column in table.columns) for table in tables]
        rows.insert(
            0, ["each x-model in its own language", *(_show_gain(*pair) for pair in zip(gains, counts, strict=True))]
        )
    baseline = escape_markdown(tables[0].baseline or "")
    note = (
        f"Average relative gain over {baseline}: the mean over languages of 100 × (model − baseline) / baseline, where "
        "the baseline has a score above 0. The paper's figure of x-LLaMA is that of each model in its own language."
    )
    return Section(heading=f"Gains over {tables[0].baseline}", parts=(note, markdown_table(header, rows, texts=1)))


def own_language_gain(table: BoardTable, taught: Mapping[str, str]) -> Gain:
    """Return the mean relative gain over the baseline, in percent, of each model in the language it was taught.

    `taught` is the language by model; a column counts where it is complete for both and the baseline is above 0.
    """
    rows = {row.model: row for row in table.rows}
    found: dict[str, float] = {}
    for place, column in enumerate(table.columns):
        base = rows[table.baseline].cells[place] if table.baseline in rows else None
        models = [name for name, code in taught.items() if code == column.language and name in rows]
        for own in (rows[name].cells[place] for name in models):
            states = {own.state, None if base is None else base.state}
            if base is not None and base.value and own.value is not None and states == {CellState.COMPLETE}:
                found[column.task] = 100.0 * (own.value - base.value) / base.value
    value = sum(found.values()) / len(found) if found else None
    return Gain(value=value, columns=tuple(found), reason=None if found else "no column to compare")


def _only_language(record: TuneRecord) -> str | None:
    """Return the one language beside English that a model was taught; None for none or several."""
    codes = {each.language for each in record.plan.sources} - {_PIVOT}
    return codes.pop() if len(codes) == 1 else None


def _gain_of(name: str, table: BoardTable) -> Gain | None:
    return next((row.gain for row in table.rows if row.model == name), None)


def _show_gain(gain: Gain | None, count: int) -> str:
    """Return the gain with how many of `count` columns enter it, where these are not all."""
    if gain is None or gain.value is None:
        return _NOTHING
    part = "" if len(gain.columns) == count else f" ({len(gain.columns)} of {count})"
    return f"{gain.value:+.1f}%{part}"


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
