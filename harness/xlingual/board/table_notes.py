"""What is said above and below a table of a leaderboard, as lines of Markdown."""

from collections.abc import Callable, Iterator, Sequence

from ..escape import LINE_LENGTH, escape_markdown
from ..records import Protocol, no_interval
from ..sampling import show_sampling
from .comparison import HASH_DIGITS
from .controls import KINDS
from .rows import BoardTable, Cell, CellState, Column

DECIMALS = 1
NOTHING = "–"
_PARALLEL = {
    True: "; the languages are parallel, and those of averages draw their items together",
    False: "; those of averages draw items with the same id together, and others by themselves",
    None: "",
}
"""How the intervals of averages were drawn, by `TableTests.parallel`."""


def show_value(value: float | None, digits: int = DECIMALS) -> str:
    """Return a score as it is printed; a dash for none."""
    return NOTHING if value is None else f"{value:.{digits}f}"


def table_notes(table: BoardTable) -> list[str]:
    """Say what stands behind the numbers; columns that are alike share a line."""
    notes = [*explain_tests(table), *_explain_ranks(table)]
    notes += _share(table.columns, "Metric", lambda column: column.signature or "not computed")
    for column in table.columns:
        data = column.protocol.data[:HASH_DIGITS]
        origins = ", ".join(column.origins)
        text = f"{column.protocol.n} examples, hash {data}, origin {origins}"
        notes.append(f"- Data, {escape_markdown(column.variant)}: {escape_markdown(text)}")
    if table.baseline is not None:
        notes.append(
            f"- vs {escape_markdown(table.baseline)}, over the columns that are complete in both. Points: the mean of "
            "model − baseline. Mean of ratios: the mean of 100 × (model − baseline) / baseline; ratio of means: the "
            "same of both averages."
        )
        notes += warn_of_weak(table)
    reasons = {
        f"- No {'mean of ratios' if row.gain.of_means is not None else 'gain'} of {escape_markdown(row.model)}: "
        f"{escape_markdown(row.gain.reason, LINE_LENGTH)}."
        for row in table.rows
        if row.gain is not None and row.gain.reason is not None and row.control is None
    }
    uncomputed = _gather(
        table, "Not computed", lambda cell: cell.reason if cell.state is CellState.NOT_COMPUTED else None
    )
    bare = _gather(table, "No interval", lambda cell: no_interval(cell.interval))
    return [*notes, *sorted(reasons), *uncomputed, *bare]


def _gather(table: BoardTable, title: str, why: Callable[[Cell], str | None]) -> list[str]:
    """Return a line a reason, with the cells that have it: "- No interval, a, ar, zh; b, ar: too few clusters"."""
    places: dict[str, dict[str, list[str]]] = {}
    for row in table.rows:
        for cell, column in zip(row.cells, table.columns, strict=True):
            if (reason := why(cell)) is not None:
                places.setdefault(reason, {}).setdefault(row.model, []).append(column.variant)
    lines = []
    for reason, models in places.items():
        cells = (escape_markdown(", ".join((model, *variants))) for model, variants in models.items())
        lines.append(f"- {title}, {'; '.join(cells)}: {escape_markdown(reason)}")
    return lines


def state_protocol(table: BoardTable) -> list[str]:
    """Return how the questions of a table were put, which stands above it."""
    return ["\n".join(_share(table.columns, "Protocol", _describe_protocol))] if table.columns else []


def explain_tests(table: BoardTable) -> list[str]:
    """Say what intervals and ranks are, and what the table can show."""
    tests = table.tests
    if tests is None:
        return ["- Values with 95% intervals."]
    if tests.note is not None:
        why = escape_markdown(tests.note, LINE_LENGTH)
        bare = "" if any(row.average_low is not None for row in table.rows) else "No intervals of averages, and ranks"
        return ["- Values with 95% intervals.", f"- {bare or 'Ranks'} by average alone: {why}."]
    lines = [f"- Values with 95% intervals{_PARALLEL[tests.parallel]}."]
    if tests.detectable is not None:
        lines.append(
            f"- Ranks are those that the differences allow: {tests.pairs} pair{'s' if tests.pairs != 1 else ''}, "
            f"{tests.method}, {tests.clusters} clusters, corrected by Holm's method. Models with ranks that overlap "
            "are not told apart."
        )
        points = show_value(tests.detectable)
        lines.append(f"- This table can tell two models apart from {points} points on (chance 80%, a single pair).")
    return lines


def _explain_ranks(table: BoardTable) -> list[str]:
    """Say which columns ranks are over, and why a row has none."""
    over = [column.variant for column in table.columns if column.task in table.ranked_columns]
    beside = [column.variant for column in table.columns if column.task not in table.ranked_columns]
    lines = []
    if beside:
        shared, others = escape_markdown(", ".join(over), LINE_LENGTH), escape_markdown(", ".join(beside), LINE_LENGTH)
        lines.append(f"- Averages and ranks are over {shared}, which most models have; beside them: {others}.")
    unranked: dict[str, list[str]] = {}
    for row in table.rows:
        if row.unranked is not None:
            unranked.setdefault(row.unranked, []).append(escape_markdown(row.model))
    for reason, models in unranked.items():
        lines.append(f"- Not ranked, {', '.join(models)}: {escape_markdown(reason, LINE_LENGTH)}.")
    if shown := {row.control for row in table.rows}.intersection(KINDS):
        kinds = ", ".join(kind for kind in KINDS if kind in shown)
        lines.append(f"- Controls ({kinds}) are no models: they are never ranked, and have no say in what is compared.")
    return lines


def warn_of_weak(table: BoardTable) -> list[str]:
    """Say where the baseline is near zero: a ratio to one point says little, and is not shown."""
    gains = [row.gain for row in table.rows if row.gain is not None]
    weak = {task for gain in gains for task in gain.weak}
    named = ", ".join(escape_markdown(column.task) for column in table.columns if column.task in weak)
    lines = []
    if named:
        lines.append(f"- Warning: the baseline is near zero in {named}: no mean of ratios is shown that rests on it.")
    if any(gain.weak_mean for gain in gains):
        lines.append("- Warning: the average of the baseline is near zero: no ratio of means is shown.")
    return lines


def _share(columns: Sequence[Column], title: str, describe: Callable[[Column], str]) -> list[str]:
    groups: dict[str, list[str]] = {}
    for column in columns:
        groups.setdefault(describe(column), []).append(column.variant)
    lines = []
    for text, variants in groups.items():
        subject = title if len(groups) == 1 else f"{title}, {', '.join(variants)}"
        lines.append(f"- {escape_markdown(subject, LINE_LENGTH)}: {escape_markdown(text, LINE_LENGTH)}")
    return lines


def _describe_protocol(column: Column) -> str:
    protocol = column.protocol
    stop = "the template's own" if protocol.stop is None else repr(list(protocol.stop))
    shots = f"{protocol.shots}" if protocol.seed is None else f"{protocol.shots} (seed {protocol.seed})"
    return (
        f"split {protocol.split}, shots {shots}, template {protocol.template}, "
        f"max_new_tokens {protocol.max_new_tokens}, stop {stop}, on overflow {protocol.on_overflow}, "
        f"task version {protocol.task_version}" + "".join(f", {each}" for each in _unusual(protocol))
    )


def _unusual(protocol: Protocol) -> Iterator[str]:
    """Yield how questions were put, where that is not what a task does by itself."""
    if protocol.system is not None:
        yield f"system {protocol.system!r}"
    if protocol.prompt_language is not None:
        yield f"instruction in {protocol.prompt_language}"
    if protocol.variant is not None:
        yield f"wording {protocol.variant}"
    if protocol.shots_as_text:
        yield "shots in one message"
    if protocol.sampling_source is not None:
        yield f"sampling as each model recommends, seed {protocol.sample_seed or 0}"
    if protocol.sampling is not None:
        yield f"sampling {show_sampling(protocol.sampling)}, seed {protocol.sampling.seed}"
    if protocol.repeats is not None:
        yield f"{protocol.repeats} answers to each question"
    if protocol.thinking is not None:
        yield f"thinking {protocol.thinking.value}"
    if protocol.max_thinking_tokens is not None:
        yield f"max_thinking_tokens {protocol.max_thinking_tokens}"
    if protocol.extract is not None:
        yield f"extract {protocol.extract}"
