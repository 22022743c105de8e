"""What the score would be with other verdicts, against all verdicts that there could have been."""

import random
from itertools import product

import pytest

from xlingual.judging.cases import Case
from xlingual.judging.judged import JudgedAnswer
from xlingual.judging.records import JudgeVerdict, VerdictState
from xlingual.judging.scores import Reply, possible_scores, score_cases
from xlingual.records import Example

LACKING = (VerdictState.UNREADABLE, VerdictState.UNCLEAR)
GONE = (VerdictState.FAILED, VerdictState.UNASKED)


def make_case(example: int, repeat: int, orders: int) -> Case:
    answer = JudgedAnswer(id=f"q{example}", repeat=repeat, group="g", cluster="c", targets=(), asked="?", text="a",
                          statistics={}, messages=[])  # fmt: skip
    names = [f"{answer.name}#{order}" for order in range(orders)]
    shown = tuple(Example(id=name, language="en", group="g", cluster="c", fields={}, targets=()) for name in names)
    return Case(answer=answer, other=None, rule=None, score=None, shown=shown, cut=0, suspect=False)


def all_means(cases: list[Case], verdicts: dict[str, JudgeVerdict], orders: int) -> list[float]:
    """Return 100 times the mean over examples, of the mean over answers, for every way to fill in what is lacking."""
    lacking = [name for name, each in verdicts.items() if each.state in LACKING]
    means = []
    for filled in product((0.0, 0.5, 1.0), repeat=len(lacking)):
        worth = {name: each.value for name, each in verdicts.items()} | dict(zip(lacking, filled, strict=True))
        examples: dict[str, list[float]] = {}
        for case in cases:
            names = [each.id for each in case.shown]
            if any(verdicts[name].state in GONE for name in names):
                continue
            values = [float(worth[name] or 0.0) for name in names]
            score = values[0] if orders == 1 else (values[0] + (1 - values[1])) / 2
            examples.setdefault(case.answer.id, []).append(score)
        means.append(100 * sum(sum(each) / len(each) for each in examples.values()) / len(examples))
    return means


def test_the_score_with_any_verdicts_is_between_the_ends_that_are_said() -> None:
    drawn = random.Random(20261126)
    for _ in range(40):
        orders, repeats = drawn.choice((1, 2)), drawn.choice((1, 2, 3))
        cases = [make_case(example, repeat, orders) for example in range(3) for repeat in range(repeats)]
        names = [each.id for case in cases for each in case.shown]
        states = dict.fromkeys(names, VerdictState.READ)
        states |= {name: drawn.choice(LACKING) for name in drawn.sample(names, min(len(names), drawn.randint(1, 4)))}
        spare = [name for name in names if states[name] is VerdictState.READ and "q0" not in name]
        states |= {name: drawn.choice(GONE) for name in spare if drawn.random() < 0.3}
        verdicts = {
            name: JudgeVerdict(
                state=state,
                word="",
                value=drawn.choice((0.0, 0.5, 1.0)) if state is VerdictState.READ else None,
            )
            for name, state in states.items()
        }
        replies = {
            each.id: Reply(example=each, said="", verdict=verdicts[each.id]) for case in cases for each in case.shown
        }
        means = all_means(cases, verdicts, orders)
        assert possible_scores(score_cases(cases, replies)) == pytest.approx((min(means), max(means)))
