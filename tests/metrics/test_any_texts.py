"""What the pages say of every metric holds for texts that nobody chose, in every language."""

import random
import unicodedata
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from xlingual.languages import LANGUAGES
from xlingual.metrics import find_metric, metric_names
from xlingual.records import Example, Response

ExampleMaker = Callable[..., Example]
ResponseMaker = Callable[..., Response]

NAMES = [name for name in metric_names() if not name.startswith(("comet", "judge", "spbleu"))]
"""All that need neither weights nor a judge."""
LETTERS = "aAbByxz12.,!?-'\"«»،。、هأإالكت北京人語がカกขดีé\u0301ßİıΣς\U0001f600\u200d\u200c\u0640١٢ॐक्\u00ad가국어"
SPACES = (" ", "  ", "\u00a0", "\u3000", "\t", "\n", "\u202f", "\r\n", "\u2028", "\x85", "\x0b", "\u1680")
MARKS = "\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
SEES_SPACES = {("bleu", "ko")}
"""To sacrebleu's Korean tokenizer a no-break space is a sign of its own."""


def texts(drawn: random.Random, most: int = 6) -> str:
    words = ("".join(drawn.choices(LETTERS, k=drawn.randint(1, 7))) for _ in range(drawn.randint(0, most)))
    return " ".join(words)


def spaced(drawn: random.Random, text: str) -> str:
    """Return the text with other white space between its words and at its ends."""
    middle = "".join(drawn.choice(SPACES) if each == " " else each for each in text)
    return f"{drawn.choice(('', *SPACES))}{middle}{drawn.choice(('', *SPACES))}"


def cases(count: int) -> Iterator[tuple[random.Random, str, list[str], str]]:
    """Yield a language, gold answers and an answer that has something of them, or nothing."""
    drawn = random.Random(20261126)
    for _ in range(count):
        golds = [texts(drawn) for _ in range(drawn.randint(1, 3))]
        answer = drawn.choice([texts(drawn), golds[0], f"{golds[-1]} {texts(drawn)}", texts(drawn, 1), ""])
        yield drawn, drawn.choice(list(LANGUAGES)), golds, answer


@pytest.fixture
def score(make_example: ExampleMaker, make_response: ResponseMaker) -> Callable[..., float | None]:
    fields = {"question": "Where is it?", "context": "a b c x y z"}

    def measured(name: str, language: str, golds: list[str], answer: str) -> float | None:
        metric = find_metric(name)
        statistics = metric.measure(make_example(language, *golds, fields=fields), make_response(answer))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return None if statistics is None else float(metric.combine(np.array(statistics, dtype=np.float64)))

    return measured


def test_scores_stay_within_their_bounds(score: Callable[..., float | None]) -> None:
    seen = 0
    for _, language, golds, answer in cases(150):
        for name in NAMES:
            low, high = find_metric(name).bounds
            value = score(name, language, golds, answer)
            least, most = -np.inf if low is None else low, np.inf if high is None else high
            assert value is None or least <= value <= most + 1e-9, (name, language, golds, answer)
            seen += value is not None
    assert seen > 1000


def test_white_space_of_golds_and_answers_changes_no_score(score: Callable[..., float | None]) -> None:
    for drawn, language, golds, answer in cases(150):
        others = [spaced(drawn, gold) for gold in golds]
        for name in NAMES:
            if find_metric(name).missing(language) is None and (name, language) not in SEES_SPACES:
                value = pytest.approx(score(name, language, golds, answer), abs=1e-9)
                assert score(name, language, others, answer) == value, (name, language, golds, others, answer)
                assert score(name, language, golds, spaced(drawn, answer)) == value, (name, language, golds, answer)


def test_the_best_gold_counts_in_whatever_order(score: Callable[..., float | None]) -> None:
    for _, language, golds, answer in cases(150):
        for name in ("containment", "squad_em", "squad_f1", "mlqa_em", "mlqa_f1", "mlqa_fixed_em", "mlqa_fixed_f1"):
            alone = [value for gold in golds if (value := score(name, language, [gold], answer)) is not None]
            assert score(name, language, golds, answer) == (max(alone) if alone else None), (name, golds, answer)
        first = score("containment_first", language, golds[:1], answer)
        assert score("containment", language, golds[:1], answer) == first


def test_zero_width_spaces_and_marks_of_direction_change_no_score(score: Callable[..., float | None]) -> None:
    """`bleu` and `chrf++` clean nothing, as sacrebleu."""
    names = [name for name in NAMES if name not in ("bleu", "chrf++")]
    for drawn, language, found, answer in cases(100):
        golds = [unicodedata.normalize("NFC", gold) for gold in found]
        marked = [marks_in(drawn, gold) for gold in golds]
        for name in names:
            value = pytest.approx(score(name, language, golds, answer), abs=1e-9)
            assert score(name, language, marked, answer) == value, (name, language, golds, marked, answer)
            assert score(name, language, golds, marks_in(drawn, answer)) == value, (name, language, golds, answer)


def marks_in(drawn: random.Random, text: str) -> str:
    return "".join(each + drawn.choice(["", "", *MARKS]) for each in text)
