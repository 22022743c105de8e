"""From answers to numbers: statistics of every example, estimates of every metric."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .estimate import estimate
from .metrics import find_metric
from .plugin import SelfScoredTask, Task
from .records import Estimate, Example, Response, Statistics


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The scores of one task: by metric, and by example."""

    estimates: tuple[Estimate, ...]
    statistics: Mapping[str, tuple[Statistics | None, ...]]
    """By metric name, in the order of the examples; None: not scored."""


def score_answers(task: Task, examples: Sequence[Example], responses: Sequence[Response | None]) -> Scores:
    """Measure every answer by every metric of `task`; an example without an answer is unscored, never wrong.

    `examples` and `responses` go in step; all examples answer in one language. A metric that cannot be computed here
    has an Estimate that says why.
    """
    language = examples[0].language
    clusters = [example.cluster for example in examples]
    statistics: dict[str, tuple[Statistics | None, ...]] = {}
    estimates = []
    judged = _judge(task, examples, responses) if isinstance(task, SelfScoredTask) else None
    for name in task.spec.metrics:
        metric = find_metric(name)
        if metric.missing(language) is not None:
            measured: tuple[Statistics | None, ...] = (None,) * len(examples)
        elif judged is not None:
            measured = tuple(each.get(name) for each in judged)
        else:
            measured = tuple(
                None if response is None or response.failure is not None else metric.measure(example, response)
                for example, response in zip(examples, responses, strict=True)
            )
        statistics[name] = measured
        estimates.append(estimate(metric, language, measured, clusters))
    return Scores(estimates=tuple(estimates), statistics=statistics)


def _judge(
    task: SelfScoredTask, examples: Sequence[Example], responses: Sequence[Response | None]
) -> list[Mapping[str, Statistics]]:
    return [
        {} if response is None or response.failure is not None else task.judge(example, response)
        for example, response in zip(examples, responses, strict=True)
    ]
