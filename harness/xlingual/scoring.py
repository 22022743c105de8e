"""From answers to numbers: statistics of every answer, estimates of every metric."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from .answers import AnswerReading, ReadAnswer, read_answers
from .estimate import estimate
from .extraction import is_word, signature
from .metrics import find_metric
from .metrics.repeats import RepeatMetric, majority, pass_at
from .plugin import BatchMetric, Metric, SelfScoredTask, Task
from .records import Estimate, Example, Response, Statistics

THINKING_METRIC = "thinking_off_target"
"""Measured wherever a model thought, whatever the task names."""
WHOLE = AnswerReading()
"""How answers are read that nothing is extracted from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The scores of one task: by metric, and by answer."""

    estimates: tuple[Estimate, ...]
    statistics: Mapping[str, tuple[Statistics | None, ...]]
    """By metric name, in the order of the answers; None: not scored."""
    answers: tuple[ReadAnswer | None, ...]
    """None: not asked, failed, or a choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtraMetrics:
    """Metrics besides those of a task, and what is known of them already."""

    names: tuple[str, ...] = ()
    known: Mapping[str, Mapping[tuple[str, str], Statistics]] = field(default_factory=dict)
    """By metric, then by the example's id and the text that is scored: measured before, with the same signature."""


NO_EXTRA = ExtraMetrics()


def score_answers(
    task: Task,
    examples: Sequence[Example],
    responses: Sequence[Response | None],
    reading: AnswerReading = WHOLE,
    *,
    extra: ExtraMetrics = NO_EXTRA,
) -> Scores:
    """Measure every answer by every metric of `task`; an example without an answer is unscored, never wrong.

    `extra` are further metrics, none of them the task's own.

    `examples` and `responses` go in step; all examples answer in one language. Where questions are asked several times,
    the answers to one example stand together, and it counts once, with the mean of their statistics. A metric that
    cannot be computed here has an Estimate that says why.
    """
    language = examples[0].language
    clusters = [example.cluster for example in examples[:: reading.repeats]]
    groups = [example.group for example in examples[:: reading.repeats]]
    answers = read_answers(task, examples, responses, reading)
    readable = [_seen_by_metrics(*each) for each in zip(responses, answers, strict=True)]
    judged = _judge(task, examples, readable) if isinstance(task, SelfScoredTask) else None
    statistics: dict[str, tuple[Statistics | None, ...]] = {}
    estimates = []
    thinks = any(each is not None and each.response.thinking for each in answers)
    thoughts = [None if each is None else each.response for each in answers]
    for name in dict.fromkeys([*task.spec.metrics, *extra.names, *([THINKING_METRIC] if thinks else [])]):
        metric = find_metric(name)
        if name == THINKING_METRIC:
            measured = _measure(metric, language, examples, thoughts)
        elif judged is not None and name not in extra.names:
            measured = tuple(each.get(name) for each in judged)
        else:
            measured = _measure(metric, language, examples, readable, extra.known.get(name, {}))
            if getattr(metric, "exact", False):
                measured = tuple(map(_wrong_unless_found, measured, answers))
        statistics[name] = measured
        rows = _mean_of_repeats(measured, reading.repeats)
        estimates.append(estimate(metric, language, rows, clusters, groups=groups))
    if reading.extract is not None:
        estimates = [_name_extraction(each, reading.extract, language) for each in estimates]
    if reading.repeats > 1:
        estimates += _repeat_estimates(task, statistics, answers, examples[:: reading.repeats])
    return Scores(estimates=tuple(estimates), statistics=statistics, answers=tuple(answers))


def _wrong_unless_found(row: Statistics | None, answer: ReadAnswer | None) -> Statistics | None:
    """Return the statistics of right or wrong: an answer without anything to extract is no match of any gold.

    Metrics see an empty text of it, which equals a gold that rules leave nothing of: of "A" they drop the article.
    """
    return (0.0, 1.0) if row is not None and answer is not None and answer.extracted is False else row


def _name_extraction(found: Estimate, extract: str, language: str) -> Estimate:
    """Return an estimate whose signature names the extraction; a word that is the task's own stands as it is."""
    rules = signature(extract, language) if is_word(extract) else f"extract:{extract}"
    return replace(found, signature=f"{found.signature}|{rules}")


def _seen_by_metrics(response: Response | None, answer: ReadAnswer | None) -> Response | None:
    if response is None or response.failure is not None:
        return None
    if answer is None:
        return response
    return answer.response if answer.finished else None


def _measure(
    metric: Metric,
    language: str,
    examples: Sequence[Example],
    responses: Sequence[Response | None],
    known: Mapping[tuple[str, str], Statistics] = MappingProxyType({}),
) -> tuple[Statistics | None, ...]:
    if metric.missing(language) is not None:
        return (None,) * len(examples)
    if isinstance(metric, BatchMetric):
        return _measure_together(metric, examples, responses, known)
    return tuple(
        None if response is None else metric.measure(example, response)
        for example, response in zip(examples, responses, strict=True)
    )


def _measure_together(
    metric: BatchMetric,
    examples: Sequence[Example],
    responses: Sequence[Response | None],
    known: Mapping[tuple[str, str], Statistics],
) -> tuple[Statistics | None, ...]:
    found = [
        None if response is None or response.text is None else known.get((example.id, response.text))
        for example, response in zip(examples, responses, strict=True)
    ]
    rest = [response if row is None else None for row, response in zip(found, responses, strict=True)]
    if all(response is None for response in rest):
        return tuple(found)
    measured = metric.measure_all(examples, rest)
    return tuple(new if row is None else row for row, new in zip(found, measured, strict=True))


def _judge(
    task: SelfScoredTask, examples: Sequence[Example], responses: Sequence[Response | None]
) -> list[Mapping[str, Statistics]]:
    return [
        {} if response is None else task.judge(example, response)
        for example, response in zip(examples, responses, strict=True)
    ]


def _mean_of_repeats(measured: Sequence[Statistics | None], repeats: int) -> list[Statistics | None]:
    if repeats == 1:
        return list(measured)
    return [mean_statistics(measured[start : start + repeats]) for start in range(0, len(measured), repeats)]


def mean_statistics(measured: Sequence[Statistics | None]) -> Statistics | None:
    """Return the mean statistics of one example over those of its answers that were scored; None where none was.

    The mean of one is itself, to the bit.
    """
    scored = [each for each in measured if each is not None]
    if len(scored) < 2:
        return scored[0] if scored else None
    return tuple(sum(column) / len(scored) for column in zip(*scored, strict=True))


def _repeat_estimates(
    task: Task,
    statistics: Mapping[str, Sequence[Statistics | None]],
    answers: Sequence[ReadAnswer | None],
    examples: Sequence[Example],
) -> list[Estimate]:
    """Return pass@k and maj@n of the first metric of the task that says right or wrong; none where none does."""
    exact = next((name for name in task.spec.metrics if getattr(find_metric(name), "exact", False)), None)
    if exact is None:
        return []
    repeats, language = len(answers) // len(examples), examples[0].language
    groups = [
        [
            ("" if answer is None else answer.response.text or "", row[0])
            for answer, row in zip(
                answers[start : start + repeats], statistics[exact][start : start + repeats], strict=True
            )
            if row is not None
        ]
        for start in range(0, len(answers), repeats)
    ]
    of = find_metric(exact).signature(language)
    scores: dict[str, list[float | None]] = {
        f"pass@{k}": [pass_at([score for _, score in group], k) for group in groups] for k in _powers_of_two(repeats)
    }
    scores[f"maj@{repeats}"] = [
        majority([text for text, _ in group], [score for _, score in group]) for group in groups
    ]
    return [
        estimate(
            RepeatMetric(name=name, of=of),
            language,
            [None if value is None else (value, 1.0) for value in values],
            [example.cluster for example in examples],
            groups=[example.group for example in examples],
        )
        for name, values in scores.items()
    ]


def _powers_of_two(most: int) -> list[int]:
    """Return 2, 4, 8, ... below `most`, then `most`; pass@1 is the mean itself."""
    below = [2**power for power in range(1, most.bit_length()) if 2**power < most]
    return [*below, most]
