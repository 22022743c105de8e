"""An analysis of contents as tables of texts: what the command prints, and what its HTML is made of."""

from collections.abc import Mapping, Sequence

from ...escape import show_hidden
from ...records import Estimate
from ...scaling.tables import TextTable
from .excerpts import LENGTH
from .measures import FEWEST_JUDGED, MEASURES, MEASURES_BY_NAME
from .records import ContentAnalysis, ContentDifference, ContentRecord, ThirdShare

SHOWN_P = 0.05
"""Differences with a larger p-value are left out of tables, and counted below them; the JSON has them all."""
SHOWN_NAMES = 4
"""Languages and scripts of a run that are named."""


def analysis_tables(analysis: ContentAnalysis, *, examples: bool = True) -> list[TextTable]:
    """Return the tables, each with at least one row: counts, measures by task, differences, languages, examples."""
    tasks = list(dict.fromkeys(each.task for each in analysis.records))
    tables = [_counts(analysis.records)]
    for task in tasks:
        records = [each for each in analysis.records if each.task == task]
        tables += [_measures(task, records), _differences(task, analysis.differences), _thirds(task, records)]
    tables.append(_languages(analysis.records))
    if examples:
        tables += [_examples(each) for each in analysis.records]
    return [table for table in tables if table.rows]


def analysis_notes(analysis: ContentAnalysis) -> list[str]:
    """Return what stands below the tables: what was not computed, and why; what was not compared."""
    notes = _reasons(analysis.records)
    hidden = sum(each.found.p > SHOWN_P for each in analysis.differences)
    if analysis.differences:
        shown = "differences are of the model minus the baseline; p (Holm) is corrected for all of this analysis"
        notes.append(
            f"{shown}, {len(analysis.differences)} comparisons, of which {hidden} with p > {SHOWN_P:g} are not shown"
        )
    skipped: dict[str, list[str]] = {}
    for each in analysis.not_compared:
        what = f"{each.task} {each.model}" + (f" {each.measure}" if each.measure else "")
        skipped.setdefault(each.reason, []).append(what)
    notes += [f"not compared: {_listed(names)}: {reason}" for reason, names in skipped.items()]
    return [show_hidden(note, 2000) for note in notes]


def measure_table() -> TextTable:
    """Return the names of the measures and what they count."""
    rows = tuple((measure.name, measure.meaning) for measure in MEASURES)
    return TextTable(title="Measures", header=("measure", "counts"), rows=rows)


def _counts(records: Sequence[ContentRecord]) -> TextTable:
    """Return what became of the questions; what happened to none of them has no column, but for failures."""
    columns = {
        "answered": [each.counts.answered for each in records],
        "failed": [each.counts.failed for each in records],
        "unfinished thinking": [each.counts.unfinished for each in records],
        "not asked": [each.counts.missing for each in records],
        "choices": [each.counts.choices for each in records],
    }
    shown = [name for name, counts in columns.items() if name in ("answered", "failed") or any(counts)]
    rows = [
        (
            each.task + (f" ({each.limit})" if each.limit else ""),
            _name(each.model),
            *(str(columns[name][place]) for name in shown),
        )
        for place, each in enumerate(records)
    ]
    return TextTable(title="Answers", header=("task", "model", *shown), rows=tuple(rows))


def _measures(task: str, records: Sequence[ContentRecord]) -> TextTable:
    """Return a row for each measure, a column for each model; measures that no model has are in the notes."""
    rows = []
    for measure in MEASURES:
        found = [_estimate(each, measure.name) for each in records]
        if any(estimate.value is not None for estimate in found):
            rows.append((measure.name, *map(_show_judged, found)))
    header = ("measure", *(_name(each.model) for each in records))
    return TextTable(title=f"{task}: content", header=header, rows=tuple(rows))


def _show_judged(estimate: Estimate) -> str:
    return f"{show_estimate(estimate)} of {estimate.n}" if estimate.value is not None else f"- ({estimate.n} judged)"


def _estimate(record: ContentRecord, name: str) -> Estimate:
    return next(each for each in record.estimates if each.metric == name)


def show_estimate(estimate: Estimate) -> str:
    """Return a value with its interval: per cent with one decimal, ratios with two."""
    digits = 2 if MEASURES_BY_NAME[estimate.metric].geometric else 1
    if estimate.value is None:
        return "-"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.{digits}f}"
    return f"{estimate.value:.{digits}f} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"


def _differences(task: str, differences: Sequence[ContentDifference]) -> TextTable:
    own = [each for each in differences if each.task == task]
    rows = [
        (each.measure, _name(each.model), _show_difference(each), _show_p(each.p_holm), str(each.found.n))
        for each in own
        if each.found.p <= SHOWN_P
    ]
    header = ("measure", "model", "difference [95%]", "p (Holm)", "n")
    baseline = _name(own[0].baseline) if own else ""
    return TextTable(title=f"{task}: against {baseline}", header=header, rows=tuple(rows))


def _show_difference(each: ContentDifference) -> str:
    digits = 2 if MEASURES_BY_NAME[each.measure].geometric else 1
    found = each.found
    interval = (
        "" if found.low is None or found.high is None else f" [{found.low:+.{digits}f}, {found.high:+.{digits}f}]"
    )
    return f"{found.difference:+.{digits}f}{interval}"


def _show_p(p: float) -> str:
    return "<0.001" if p < 0.0005 else f"{p:.3f}"


def _thirds(task: str, records: Sequence[ContentRecord]) -> TextTable:
    rows = [
        (each.third.value, _name(record.model), *_third_numbers(each)) for record in records for each in record.thirds
    ]
    header = ("third", "model", "answers %", "golds %", "chance %", "p", "n")
    return TextTable(title=f"{task}: where in the passage", header=header, rows=tuple(rows))


def _third_numbers(each: ThirdShare) -> tuple[str, ...]:
    return f"{each.answers:.1f}", f"{each.golds:.1f}", f"{each.chance:.1f}", _show_p(each.p), str(each.n)


def _languages(records: Sequence[ContentRecord]) -> TextTable:
    rows = []
    for each in records:
        thinking = f"; thinking: {_shares(each.thinking_languages)}" if each.thinking_languages else ""
        scripts = {name: share for name, share in each.scripts.items() if share >= 0.05}
        rows.append(
            (
                each.task,
                _name(each.model),
                _shares(each.languages) + thinking,
                _shares(each.span_languages),
                _shares(scripts, "%"),
            )
        )
    header = ("task", "model", "languages of answers", "of spans", "scripts")
    return TextTable(title="Languages and scripts", header=header, rows=tuple(rows))


def _shares(counts: Mapping[str, float], unit: str = "") -> str:
    """Return "zh 40, en 12, 3 others 5"."""
    items = list(counts.items())
    shown = [f"{name} {count:.1f}{unit}" if unit else f"{name} {count:g}" for name, count in items[:SHOWN_NAMES]]
    if rest := items[SHOWN_NAMES:]:
        total = sum(count for _, count in rest)
        shown.append(f"{len(rest)} others " + (f"{total:.1f}{unit}" if unit else f"{total:g}"))
    return show_hidden(", ".join(shown))


def _examples(record: ContentRecord) -> TextTable:
    rows = tuple(
        (each.measure, _name(each.id), show_hidden(each.detail, 60), show_hidden(each.excerpt, LENGTH))
        for each in record.examples
    )
    title = f"{record.task}, {_name(record.model)}: examples"
    return TextTable(title=title, header=("measure", "id", "what", "excerpt"), rows=rows)


def _name(text: str) -> str:
    return show_hidden(text, 60)


def _reasons(records: Sequence[ContentRecord]) -> list[str]:
    """Return why values are missing: by reason the measures, with task and model where not all lack it."""
    found: dict[tuple[str, str], list[ContentRecord]] = {}
    for record in records:
        for each in record.estimates:
            if each.reason is not None:
                found.setdefault((each.metric, _without_counts(each.reason)), []).append(record)
    by_reason: dict[tuple[str, str], list[str]] = {}
    for (metric, reason), lacking in found.items():
        tasks = list(dict.fromkeys(each.task for each in lacking))
        everywhere = len(lacking) == len(records)
        by_reason.setdefault((reason, "" if everywhere else f" ({_listed(tasks)})"), []).append(metric)
    return [
        f"{', '.join(metrics)}: {reason if reason.startswith('not computed') else f'not computed: {reason}'}{where}"
        for (reason, where), metrics in by_reason.items()
    ]


def _without_counts(reason: str) -> str:
    """Return a reason that does not say how many were judged, so that runs share it."""
    _, colon, why = reason.partition(": ")
    if reason.startswith("only ") and colon:
        return f"fewer than {FEWEST_JUDGED} answers could be judged: {why}"
    return reason


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
