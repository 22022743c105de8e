"""From replies of a judge to scores of answers: one for each answer, or the reason why it has none."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..answers import read_answers, reading_of
from ..estimate import estimate
from ..metrics import MeanMetric, in_every_language
from ..plugin import Metric
from ..records import Estimate, Example, Likelihood, Response, Statistics
from ..run import OpenPlan
from ..scoring import mean_statistics
from .asking import METRICS
from .cases import EMPTY, SAME, TIE, UNANSWERED, WRONG_LANGUAGE, Case
from .judged import JudgedAnswer
from .prompts import JudgePrompt
from .records import JudgeIdentity, JudgeVerdict, VerdictCounts, VerdictState
from .verdicts import read_choice, read_verdict, unreadable

_WORST_FIRST = (VerdictState.FAILED, VerdictState.UNASKED, VerdictState.UNREADABLE, VerdictState.UNCLEAR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a judge said to one question."""

    example: Example
    said: str | None
    """Without thinking; None: there is no reply."""
    verdict: JudgeVerdict


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedCase:
    """A case with what the judge said."""

    case: Case
    replies: tuple[Reply, ...]
    """None, one, or those of both orders."""
    score: float | None
    """0 to 1."""
    state: VerdictState | None
    """None where a rule decided."""

    @property
    def by_judge(self) -> bool:
        """Whether the score comes from the judge."""
        return self.case.rule is None and self.score is not None


def read_replies(opened: OpenPlan | None, prompt: JudgePrompt) -> dict[str, Reply]:
    """Return what was said to each question, by the id of its example; an unfinished thought is unreadable."""
    if opened is None:
        return {}
    plan = opened.plan
    responses = [opened.journal.responses.get(fitted.request.key) for fitted in plan.fitted]
    readable = read_answers(plan.task, plan.examples, responses, reading_of(plan.model, None, None))
    found = {}
    for example, response, answer in zip(plan.examples, responses, readable, strict=True):
        said = None if answer is None or not answer.finished else answer.response.text
        likelihoods = None if response is None else response.likelihoods
        if answer is not None and not answer.finished:
            verdict = unreadable("the reply ended while thinking")
        elif likelihoods is not None:
            verdict = read_choice(prompt, likelihoods)
            said = _show_choices(prompt, likelihoods)
        else:
            verdict = _no_reply(response) if said is None else read_verdict(prompt, said)
        found[example.id] = Reply(example=example, said=said, verdict=verdict)
    return found


def _show_choices(prompt: JudgePrompt, likelihoods: Sequence[Likelihood]) -> str:
    pairs = zip(prompt.labels.values(), likelihoods, strict=True)
    return ", ".join(f"{words[0]}: {each.logarithm:.3f}" for words, each in pairs)


def _no_reply(response: Response | None) -> JudgeVerdict:
    if response is None or response.failure is None:
        return JudgeVerdict(state=VerdictState.UNASKED, word=VerdictState.UNASKED.value, value=None)
    return JudgeVerdict(
        state=VerdictState.FAILED, word=f"{response.failure.kind}: {response.failure.message}", value=None
    )


def score_cases(cases: Sequence[Case], replies: Mapping[str, Reply]) -> tuple[JudgedCase, ...]:
    """Return every case with its score."""
    return tuple(_score(case, tuple(replies[each.id] for each in case.shown)) for case in cases)


def _score(case: Case, replies: tuple[Reply, ...]) -> JudgedCase:
    if case.rule is not None:
        return JudgedCase(case=case, replies=(), score=case.score, state=None)
    states = [each.verdict.state for each in replies]
    worst = next((each for each in _WORST_FIRST if each in states), VerdictState.READ)
    values = [each.verdict.value for each in replies if each.verdict.value is not None]
    score = None
    if worst is VerdictState.READ:
        score = _of_orders(values)
    return JudgedCase(case=case, replies=replies, score=score, state=worst)


def _of_orders(values: Sequence[float]) -> float:
    """Return the score of one verdict, or of those of both orders, in which the answer was shown first and second."""
    return values[0] if len(values) == 1 else (values[0] + 1 - values[1]) / 2


def possible_scores(judged: Sequence[JudgedCase]) -> tuple[float, float]:
    """Return the least and the most, of 100, that the score is with any verdicts in the place of those not given.

    As in the score, an example counts once, with the mean of its answers. What was not asked, or failed, stays out.
    """
    ends = []
    for end in (0.0, 1.0):
        examples: dict[str, list[float]] = {}
        for each in judged:
            if (score := _with_verdicts(each, end)) is not None:
                examples.setdefault(each.case.answer.id, []).append(score)
        ends.append(100 * sum(sum(found) / len(found) for found in examples.values()) / len(examples))
    return ends[0], ends[1]


def _with_verdicts(judged: JudgedCase, end: float) -> float | None:
    """Return the score with verdicts worth `end` of it in the place of those that say nothing."""
    if judged.state not in (VerdictState.UNREADABLE, VerdictState.UNCLEAR):
        return judged.score
    given = [each.verdict.value for each in judged.replies]
    worth = (end, 1 - end)  # of a pair the second verdict is of the other answer
    return _of_orders([worth[place] if value is None else value for place, value in enumerate(given)])


def count_verdicts(judged: Sequence[JudgedCase], *, pairs: bool) -> VerdictCounts:
    """Return what became of the answers."""
    rules = Counter(each.case.rule for each in judged)
    states = Counter(each.state for each in judged)
    return VerdictCounts(
        answers=len(judged),
        judged=states[VerdictState.READ],
        empty=rules[EMPTY],
        wrong_language=rules[WRONG_LANGUAGE],
        same=rules[SAME],
        unclear=states[VerdictState.UNCLEAR],
        unreadable=states[VerdictState.UNREADABLE],
        failed=states[VerdictState.FAILED],
        unasked=states[VerdictState.UNASKED],
        unanswered=rules[UNANSWERED],
        ties=sum(each.by_judge and each.score == TIE for each in judged) if pairs else 0,
        cut=sum(each.case.cut for each in judged),
        suspect=sum(each.case.suspect for each in judged),
    )


def statistics_of(judged: Sequence[JudgedCase]) -> list[Statistics | None]:
    """Return (score, 1.0) of each answer, None where it has no score."""
    return [None if each.score is None else (each.score, 1.0) for each in judged]


def score_metric(identity: JudgeIdentity, against: str | None) -> MeanMetric:
    """Return the metric of a kind, its signature naming the judge, and the answers that pairs are against."""
    signature = identity.signature if against is None else f"{identity.signature}|against:{against}"
    return make_mean(METRICS[identity.kind], signature)


def make_mean(name: str, signature: str) -> MeanMetric:
    """Return the metric that is 100 times the mean of scores that are known already."""
    return MeanMetric(name=name, higher_is_better=True, judge=lambda *_: None, describe=in_every_language(signature))


def estimate_over(
    metric: Metric, language: str, answers: Sequence[JudgedAnswer], rows: Sequence[Statistics | None]
) -> Estimate:
    """Return `metric` over answers, those to one example counting once, with its interval by articles or paragraphs."""
    by_example: dict[str, list[int]] = {}
    for index, answer in enumerate(answers):
        by_example.setdefault(answer.id, []).append(index)
    first = [answers[indexes[0]] for indexes in by_example.values()]
    return estimate(
        metric,
        language,
        [mean_statistics([rows[index] for index in indexes]) for indexes in by_example.values()],
        [each.cluster for each in first],
        groups=[each.group for each in first],
    )
