"""pass@k and maj@n of drawn answers, against every choice of k of them, and against counting by hand."""

import random
from itertools import combinations

import pytest

from xlingual.metrics.repeats import majority, pass_at


def test_pass_at_k_is_the_share_of_all_choices_of_k_answers_with_a_right_one() -> None:
    drawn = random.Random(20261126)
    for _ in range(100):
        scores = [float(drawn.random() < 0.4) for _ in range(drawn.randint(1, 8))]
        for k in range(1, len(scores) + 1):
            choices = list(combinations(scores, k))
            assert pass_at(scores, k) == pytest.approx(sum(map(max, choices)) / len(choices))
        assert pass_at(scores, len(scores) + 1) is None


def test_the_commonest_answer_decides_and_of_equally_common_ones_the_share_that_is_right() -> None:
    drawn = random.Random(20261126)
    words = ["42", "13", "ग", "七", "сорок два", "اثنان", "", " \n\u3000"]
    for _ in range(300):
        right = {word for word in words if drawn.random() < 0.4 and word.strip()}
        answers = drawn.choices(words, k=drawn.randint(1, 7))
        dressed = [f"{drawn.choice(['', ' ', chr(10)])}{each}{drawn.choice(['', ' '])}" for each in answers]
        votes = [each for each in answers if each.strip()]
        best = [each for each in set(votes) if votes.count(each) == max(map(votes.count, votes))]
        expected = sum(each in right for each in best) / len(best) if best else 0.0
        assert majority(dressed, [float(each in right) for each in answers]) == pytest.approx(expected), dressed
    assert majority([], []) is None
