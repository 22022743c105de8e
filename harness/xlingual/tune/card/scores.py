"""The scores of a card: a table with intervals between two marks, which is written anew, and results for the hub."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .texts import markdown, table

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

BEGIN = "<!-- xlingual scores: begin -->"
END = "<!-- xlingual scores: end -->"
NO_SCORES = (
    "None yet. `xlingual eval` makes some, and `xlingual tune card MODEL --runs OUT` writes them here, each with its "
    "interval."
)
_HEADER = ("task", "metric", "score", "95% interval", "examples", "shots", "template", "note")


@dataclass(frozen=True, slots=True, kw_only=True)
class CardScore:
    """One score of one run, as the card shows it."""

    task: str
    metric: str
    value: float
    low: float | None
    high: float | None
    n: int
    shots: int
    template: str
    split: str
    task_type: str
    """The hub's: translation, question-answering, text-generation."""
    dataset: str
    """The hub's repository of the data, else the family of the task."""
    config: str
    revision: str | None
    hub_metric: str
    signature: str
    notes: tuple[str, ...]
    """Why it is less than a whole, verified score; () where it is one."""

    @property
    def is_whole(self) -> bool:
        """Whether it goes to the hub as a result: every example was asked, and the number follows from the answers."""
        return not self.notes


def scores_section(scores: Sequence[CardScore], left_out: Sequence[tuple[str, str]]) -> str:
    """Return the part between the marks, the marks included; `left_out` is where and why."""
    lines = [BEGIN]
    if not scores:
        lines.append(NO_SCORES)
    else:
        lines.append(table(_HEADER, [_row(each) for each in scores], texts=2))
        if any(each.notes for each in scores):
            lines.append("A score with a note is not among the results that the hub shows.")
        kinds = sorted({f"{each.metric}: {each.signature}" for each in scores})
        lines.append("How each was computed:\n\n" + "\n".join(f"- {markdown(each)}" for each in kinds))
    if left_out:
        lines.append("Left out:\n\n" + "\n".join(f"- {markdown(where)}: {markdown(why)}" for where, why in left_out))
    return "\n\n".join([*lines, END])


def _row(score: CardScore) -> tuple[str, ...]:
    interval = "" if score.low is None or score.high is None else f"{score.low:.1f} to {score.high:.1f}"
    return (
        *(markdown(score.task), markdown(score.metric), f"{score.value:.1f}", interval, f"{score.n:,}"),
        *(str(score.shots), markdown(score.template), "; ".join(markdown(each) for each in score.notes)),
    )


def eval_results(scores: Sequence[CardScore]) -> "list[EvalResult]":
    """Return the whole scores as the hub's own records."""
    from huggingface_hub import EvalResult  # noqa: PLC0415 - slow to import

    return [
        EvalResult(
            task_type=each.task_type,
            dataset_type=each.dataset,
            dataset_name=each.task,
            dataset_config=each.config,
            dataset_split=each.split,
            dataset_revision=each.revision,
            metric_type=each.hub_metric,
            metric_name=f"{each.metric}, {each.shots}-shot",
            metric_value=each.value,
            metric_args={
                "low": each.low,
                "high": each.high,
                "level": 95,
                "n": each.n,
                "template": each.template,
                "signature": each.signature,
            },
        )
        for each in scores
        if each.is_whole
    ]
