"""Reports of judges as tables of text, for terminals and pages alike."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..pricing import format_money
from ..records import Estimate
from .records import JudgeKind, JudgeReport

NOTHING = "–"


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeTable:
    """A table under a title."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def report_tables(reports: Sequence[JudgeReport]) -> list[JudgeTable]:
    """Return the tables that there is something to say in, those of a judge and kind together."""
    groups: dict[str, list[JudgeReport]] = {}
    for each in reports:
        groups.setdefault(each.judge.signature, []).append(each)
    tables = []
    for members in groups.values():
        tables += [_scores(members), _counts(members), _orders(members), _gold(members), _pair_gold(members)]
        tables += [_calibration(members), _cost(members)]
    return [each for each in tables if each.rows]


def show_estimate(estimate: Estimate | None, decimals: int = 1) -> str:
    """Return a value with its interval where it has one; the notes of a report say why the score has none."""
    if estimate is None or estimate.value is None:
        return NOTHING
    value = f"{estimate.value:.{decimals}f}"
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} [{estimate.low:.{decimals}f}, {estimate.high:.{decimals}f}]"


def _who(report: JudgeReport) -> tuple[str, str]:
    task = report.task if report.limit is None else f"{report.task}, examples {report.limit}"
    return (report.model if report.against is None else f"{report.model} against {report.against}", task)


def _scores(reports: Sequence[JudgeReport]) -> JudgeTable:
    judge = reports[0].judge
    header: tuple[str, ...] = ("model", "task", f"{reports[0].score.metric} [95%]", "scored", "of")
    rows: list[tuple[str, ...]] = [
        (*_who(each), show_estimate(each.score), str(each.score.n), str(each.score.n + each.score.unscored))
        for each in reports
    ]
    if any(each.corrected is not None for each in reports):
        header = (*header, "corrected [95%]")
        rows = [(*row, _corrected(each)) for row, each in zip(rows, reports, strict=True)]
    return JudgeTable(title=f"{judge.kind} by {judge.model}, prompt {judge.prompt}", header=header, rows=tuple(rows))


def _corrected(report: JudgeReport) -> str:
    found = report.corrected
    if found is None or found.value is None or found.low is None or found.high is None:
        return NOTHING if found is None else f"{NOTHING} ({found.reason})"
    return f"{found.value:.1f} [{found.low:.1f}, {found.high:.1f}]"


def _counts(reports: Sequence[JudgeReport]) -> JudgeTable:
    names = ("judged", "ties", "empty", "wrong_language", "same", "unclear", "unreadable", "failed", "unasked",
             "unanswered", "cut", "suspect")  # fmt: skip
    words = {"same": "same answer", "unclear": "cannot tell", "unasked": "not asked", "unanswered": "no answer"}
    kept = [name for name in names if any(getattr(each.counts, name) for each in reports) or name == "unreadable"]
    header = ("model", "task", *(words.get(name, name.replace("_", " ")) for name in kept))
    rows = tuple((*_who(each), *(str(getattr(each.counts, name)) for name in kept)) for each in reports)
    return JudgeTable(title="what became of the answers", header=header, rows=rows)


def _orders(reports: Sequence[JudgeReport]) -> JudgeTable:
    header = ("model", "task", "same verdict [95%]", "kappa [95%]", "for the first shown [95%]", "pairs by order")
    rows = []
    for each in reports:
        found = each.orders
        if found is None:
            continue
        counts = ", ".join(f"{pair.shown_first}/{pair.shown_second} {pair.count}" for pair in found.counts)
        numbers = (show_estimate(found.consistency), show_estimate(found.kappa, 2), show_estimate(found.first_position))
        rows.append((*_who(each), *numbers, counts))
    return JudgeTable(title="agreement between both orders", header=header, rows=tuple(rows))


def _gold(reports: Sequence[JudgeReport]) -> JudgeTable:
    header = ("model", "task", "metric", "n", "agreement [95%]", "kappa [95%]", "accepts matches [95%]",
              "accepts others [95%]", "both/judge/metric/neither")  # fmt: skip
    rows = [
        (
            *_who(each),
            gold.metric,
            str(gold.n),
            show_estimate(gold.agreement),
            show_estimate(gold.kappa, 2),
            show_estimate(gold.accepts_matches),
            show_estimate(gold.accepts_others),
            f"{gold.both}/{gold.judge_only}/{gold.metric_only}/{gold.neither}",
        )
        for each in reports
        for gold in each.gold
    ]
    return JudgeTable(title="agreement with gold answers", header=header, rows=tuple(rows))


def _pair_gold(reports: Sequence[JudgeReport]) -> JudgeTable:
    header = ("model", "task", "metric", "pairs with one match", "prefers the match [95%]")
    rows = [
        (*_who(each), gold.metric, str(gold.n), show_estimate(gold.prefers_match))
        for each in reports
        for gold in each.pair_gold
    ]
    return JudgeTable(title="agreement with gold answers, of pairs with one match", header=header, rows=tuple(rows))


def _calibration(reports: Sequence[JudgeReport]) -> JudgeTable:
    found = next((each.calibration for each in reports if each.calibration is not None), None)
    if found is None:
        return JudgeTable(title="", header=(), rows=())
    header: tuple[str, ...] = ("labels", "items", "without verdict", "accuracy [95%]")
    row: tuple[str, ...] = (found.file, str(found.n), str(found.unscored), show_estimate(found.accuracy))
    if reports[0].judge.kind is JudgeKind.CORRECTNESS:
        header = (*header, "right called right [95%]", "wrong called wrong [95%]")
        row = (*row, show_estimate(found.sensitivity), show_estimate(found.specificity))
    return JudgeTable(title="against labels of people", header=header, rows=(row,))


def _cost(reports: Sequence[JudgeReport]) -> JudgeTable:
    header = ("model", "task", "verdicts", "tokens read", "tokens written", "cost")
    rows = []
    for each in reports:
        spent = each.spending
        tokens = (NOTHING if count is None else f"{count:,}" for count in (spent.prompt_tokens, spent.tokens))
        cost = NOTHING if spent.cost is None else format_money(spent.cost)
        rows.append((*_who(each), str(spent.requests), *tokens, cost))
    known = any(each.spending.tokens is not None for each in reports)
    return JudgeTable(title="what it took", header=header, rows=tuple(rows) if known else ())
