"""What `tune plan` says of the rows that a recipe holds out, by source and by language."""

from collections.abc import Sequence

from ...tune.hold_out.records import ExportedWeights, HeldOutReport, HoldOut, HoldOutUnit
from ...tune.records import MixPlan, SourceReport
from ..display import show_table

_HEADER = ("held out of", "language", "asked for", "rows", "tokens", "supervised", "near-identical, left out")


def show_held_out(plan: MixPlan) -> None:
    """Print the table of held-out rows: of each source, then of each language; nothing where there are none."""
    found = [
        (use, source, source.held_out)
        for use, source in zip(plan.recipe.sources, plan.sources, strict=True)
        if source.held_out is not None
    ]
    if not found:
        return
    rows = [[source.name, source.language, _asked(use.hold_out), *_counts([held])] for use, source, held in found]
    languages = _by_language([(source, held) for _, source, held in found])
    rows += [["all", code, "", *_counts(reports)] for code, reports in languages.items()]
    show_table("held out: never trained on, evaluated at each checkpoint", _HEADER, rows)


def held_out_lines(plan: MixPlan) -> list[str]:
    """Return what is exported where rows are held out, and which sources have fewer of them than asked for."""
    lines = []
    for use, source in zip(plan.recipe.sources, plan.sources, strict=True):
        if use.hold_out is None or source.held_out is None:
            continue
        wanted = use.hold_out.rows_of(source.available + source.held_out.rows + source.held_out.twins)
        if source.held_out.rows < wanted:
            lines.append(
                f"{source.name}: {source.held_out.rows:,} rows are held out, not {wanted:,}: the other groups of rows "
                "that say the same are larger than what is left to hold out"
            )
    if any(source.held_out is not None for source in plan.sources):
        is_best = plan.recipe.exported_weights is ExportedWeights.BEST
        words = "the checkpoint with the lowest held-out loss" if is_best else "the last step"
        lines.append(f"exported: {words}")
    return lines


def evaluation_lines(plan: MixPlan, *, steps: int, checkpoint_every: int, samples: int) -> list[str]:
    """Return what `tune run` says of evaluations that its options leave out; it ends after so many `steps`."""
    lines = []
    held_out = [use for use in plan.recipe.sources if use.hold_out is not None]
    if samples and not any(use.direction is not None for use in held_out):
        lines.append("no samples: no source of translations holds out rows")
    if held_out and steps <= checkpoint_every:
        lines.append(
            f"held-out rows are evaluated once, after the last of {steps:,} steps: a --checkpoint-every below "
            f"{steps:,} evaluates more often"
        )
    return lines


def _by_language(found: Sequence[tuple[SourceReport, HeldOutReport]]) -> dict[str, list[HeldOutReport]]:
    reports: dict[str, list[HeldOutReport]] = {}
    for source, held in found:
        reports.setdefault(source.language, []).append(held)
    return reports


def _counts(reports: Sequence[HeldOutReport]) -> list[str]:
    sums = (
        sum(each.rows for each in reports),
        sum(each.tokens for each in reports),
        sum(each.supervised for each in reports),
        sum(each.twins for each in reports),
    )
    return [f"{count:,}" for count in sums]


def _asked(wanted: HoldOut | None) -> str:
    if wanted is None:
        return ""
    return f"{wanted.value:g}%" if wanted.unit is HoldOutUnit.PERCENT else f"{int(wanted.value):,} rows"
