"""Answer metrics against the official scripts' output, hand-made tables and invariants."""

import json
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlingual.metrics import METRIC_NAMES, find_metric
from xlingual.metrics.answer_rules import RuleFamily, answer_tokens
from xlingual.metrics.answers import exact_match, token_f1
from xlingual.records import Example, Response

ExampleMaker = Callable[..., Example]
ResponseMaker = Callable[..., Response]

ANSWER_METRICS = [name for name in METRIC_NAMES if name.startswith("containment") or name.endswith(("_em", "_f1"))]
GOLDEN_METRICS = ("containment", "containment_first", "squad_em", "squad_f1", "mlqa_em", "mlqa_f1")
LANGUAGES = ("ar", "en", "hi", "tr", "zh")
BOM, RLM, LETTER_MARK, LINE_SEPARATOR = "\ufeff", "\u200f", "\u061c", "\u2028"


def _score(name: str, example: Example, response: Response) -> float:
    row = find_metric(name).measure(example, response)
    assert row is not None
    assert row[1] == 1.0
    return row[0]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", GOLDEN_METRICS)
def test_scores_equal_the_official_scripts(
    name: str, language: str, shared_data: Path, make_example: ExampleMaker, make_response: ResponseMaker
) -> None:
    text = (shared_data / "goldens" / f"qa_scores.{language}.jsonl").read_text(encoding="utf-8")
    items = [json.loads(line) for line in text.split("\n") if line]
    assert len(items) == 240
    if name.startswith("mlqa") and language == "tr":
        assert all(name not in item for item in items)
        return
    metric, column = find_metric(name), name.removesuffix("_first")
    rows = [metric.measure(make_example(language, item["gold"]), make_response(item["prediction"])) for item in items]
    wrong = [
        item["id"] for item, row in zip(items, rows, strict=True) if row is None or abs(row[0] - item[column]) > 1e-9
    ]
    assert wrong == []
    mean = metric.combine(np.array(rows, dtype=np.float64).sum(axis=0))
    assert float(mean) == pytest.approx(100 * sum(item[column] for item in items) / 240, abs=1e-9)


@pytest.mark.parametrize("language", ["en", "hi", "zh"])
def test_fixed_rules_differ_in_arabic_and_digits_only(
    language: str, shared_data: Path, make_example: ExampleMaker, make_response: ResponseMaker
) -> None:
    text = (shared_data / "goldens" / f"qa_scores.{language}.jsonl").read_text(encoding="utf-8")
    for line in filter(None, text.split("\n")):
        item = json.loads(line)
        if any(each.isdecimal() and not each.isascii() for each in "".join((*item["gold"], item["prediction"]))):
            continue  # digits of every script are folded
        example, response = make_example(language, item["gold"]), make_response(item["prediction"])
        assert _score("mlqa_fixed_f1", example, response) == pytest.approx(item["mlqa_f1"], abs=1e-9)
        assert _score("mlqa_fixed_em", example, response) == item["mlqa_em"]


@pytest.mark.parametrize(
    ("family", "language", "answer", "tokens"),
    [
        (RuleFamily.SQUAD, "en", "The  Cat, a dog & an owl!", "cat dog owl"),
        (RuleFamily.SQUAD, "de", "Der Hund, a Katze", "der hund katze"),
        (RuleFamily.SQUAD, "zh", "北京，中国。", "北京，中国。"),
        (RuleFamily.MLQA, "en", "«The» theatre – a…", "theatre"),
        (RuleFamily.MLQA, "en", "$5+5", "55"),
        (RuleFamily.MLQA, "en", "5€", "5€"),
        (RuleFamily.MLQA, "es", "La casa de los Unos", "casa de"),
        (RuleFamily.MLQA, "de", "DER Hund des Mannes", "hund mannes"),
        (RuleFamily.MLQA, "vi", "Những cái mũ của tôi", "mũ tôi"),
        (RuleFamily.MLQA, "hi", "वह, एक।", "वह एक"),
        (RuleFamily.MLQA, "zh", "1949年，北京 IBM公司", "1949 年 北 京 ibm 公 司"),
        (RuleFamily.MLQA, "zh", "the 人", "the 人"),
        (RuleFamily.MLQA, "ar", "الكتاب", "كتاب"),
        (RuleFamily.MLQA, "ar", "مالك والكتاب", "م ك و كتاب"),
        (RuleFamily.MLQA_FIXED, "ar", "مالك والكتاب الكبير", "مالك والكتاب كبير"),
        (RuleFamily.MLQA_FIXED, "en", "the cat", "cat"),
        (RuleFamily.MLQA, "tr", "«100-150 tür»", "100150 tür"),
        (RuleFamily.MLQA, "ru", "the «кот» и a", "the кот и a"),
        (RuleFamily.MLQA, "th", "แมว 2 ตัว", "แ ม ว 2 ต ั ว"),
        (RuleFamily.MLQA, "ja", "東京タワー、333m", "東 京 タ ワ ー 333m"),
        (RuleFamily.MLQA, "zho_trad", "臺北 101 大樓", "臺 北 101 大 樓"),
        (RuleFamily.MLQA, "lo", "ລາວ", "ລ າ ວ"),
        (RuleFamily.MLQA, "km", "ខ្មែរ", "ខ ្ ម ែ រ"),
        (RuleFamily.MLQA, "my", "မြန်", "မ ြ န ်"),
        (RuleFamily.MLQA, "qqq", "a-b c", "ab c"),
    ],
)
def test_tokens_by_hand(family: RuleFamily, language: str, answer: str, tokens: str) -> None:
    assert answer_tokens(answer, family, language) == tuple(tokens.split())


@pytest.mark.parametrize(
    ("name", "language", "gold", "answer", "score"),
    [
        ("containment", "en", "Marlee Matlin", "it was MARLEE matlin.", 1.0),
        ("containment", "en", "the cat", "cat", 0.0),
        ("squad_em", "en", "the Cat.", "cat", 1.0),
        ("squad_f1", "en", "black cat", "a cat", 2 / 3),
        ("squad_f1", "en", "cat cat dog", "cat dog dog", 2 / 3),
        ("squad_f1", "zh", "北京", "北京市", 0.0),
        ("mlqa_f1", "zh", "北京", "北京市", 0.8),
        ("mlqa_f1", "zh", "人人", "人", 2 / 3),
        ("mlqa_f1", "th", "แมว", "แมวๆ", 6 / 7),
        ("mlqa_em", "ar", "الكتاب", "كتاب", 1.0),
        ("mlqa_em", "ar", "والكتاب", "و كتاب", 1.0),
        ("mlqa_fixed_em", "ar", "والكتاب", "و كتاب", 0.0),
        ("mlqa_em", "en", "cat", "", 0.0),
        ("mlqa_f1", "en", "cat", "", 0.0),
        ("containment", "en", "cat", "", 0.0),
    ],
)
def test_scores_by_hand(
    name: str,
    language: str,
    gold: str,
    answer: str,
    score: float,
    make_example: ExampleMaker,
    make_response: ResponseMaker,
) -> None:
    assert _score(name, make_example(language, gold), make_response(answer)) == pytest.approx(score, abs=1e-12)


@pytest.mark.parametrize(
    ("language", "gold", "answer"),
    [
        ("tr", "İstanbul", "istanbul"),
        ("tr", "İSTANBUL", "istanbul"),
        ("tr", "ISPARTA", "ısparta"),
        ("tr", "Isparta", "ISPARTA"),
        ("tr", "IBM", "ibm"),
        ("az", "Bakı", "BAKI"),
        ("en", "İstanbul", "istanbul"),
        ("el", "ΟΔΟΣ", "οδοσ"),
        ("el", "ΟΔΟΣ", "οδος"),
        ("el", "ὀδύσσεια", "ὈΔΎΣΣΕΙΑ"),
        ("de", "Straße", "STRASSE"),
        ("ar", "١٩٤٩", "1949"),
        ("fa", "۱۹۴۹", "١٩٤٩"),
        ("hi", "१९४९ में", "1949 में"),
        ("bn", "১৯৪৯", "1949"),
        ("th", "๑๙๔๙", "1949"),
        ("zh", "１９４９年", "1949年"),
        ("ar", "محمـــد", "محمد"),
        ("fa", "کتـاب", "کتاب"),
    ],
)
def test_spellings_are_folded_in_the_fixed_family_alone(
    language: str, gold: str, answer: str, make_example: ExampleMaker, make_response: ResponseMaker
) -> None:
    """S23: official numbers stay; containment and the official families lower the case and nothing more."""
    example, response = make_example(language, gold), make_response(answer)
    for score in ("em", "f1"):
        assert _score(f"mlqa_fixed_{score}", example, response) == 1.0
        assert _score(f"mlqa_fixed_{score}", make_example(language, answer), make_response(gold)) == 1.0
        assert "|fold:case,digits,tatweel|" in find_metric(f"mlqa_fixed_{score}").signature(language)
        assert "fold" not in find_metric(f"mlqa_{score}").signature(language)
    official = float(gold.lower() == answer.lower())
    assert _score("mlqa_em", example, response) == official
    assert _score("squad_em", example, response) == official
    assert _score("containment", example, response) == official


@pytest.mark.parametrize(
    ("language", "gold", "answer"), [("en", "ı", "i"), ("tr", "ö", "o"), ("ar", "٣", "4"), ("el", "ό", "ο")]
)
def test_other_letters_stay_apart(
    language: str, gold: str, answer: str, make_example: ExampleMaker, make_response: ResponseMaker
) -> None:
    assert _score("mlqa_fixed_em", make_example(language, gold), make_response(answer)) == 0.0


@pytest.mark.parametrize("family", ["squad", "mlqa", "mlqa_fixed"])
def test_a_gold_that_the_rules_leave_nothing_of_scores_as_in_the_official_scripts(
    family: str, make_example: ExampleMaker, make_response: ResponseMaker
) -> None:
    gold = make_example("en", "The !")
    table = {"a": (1.0, 0.0), "": (1.0, 0.0), "cat": (0.0, 0.0)}
    for answer, scores in table.items():
        response = make_response(answer)
        assert (_score(f"{family}_em", gold, response), _score(f"{family}_f1", gold, response)) == scores


def test_any_accepted_answer_counts_but_in_the_rule_of_the_paper(
    make_example: ExampleMaker, make_response: ResponseMaker
) -> None:
    example, response = make_example("en", "dog", "black cat", "cat"), make_response("The cat")
    for name in ANSWER_METRICS:
        assert _score(name, example, response) == float(name != "containment_first")
        assert _score(name, example, make_response("dog")) == 1.0
        assert _score(name, example, make_response("bird")) == 0.0


@pytest.mark.parametrize("name", ANSWER_METRICS)
@pytest.mark.parametrize("language", ["en", "zh", "ar", "th"])
@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("Denver Broncos ", "Denver Broncos"),
        ("  Denver Broncos\n", "Denver Broncos"),
        ("Denver\u00a0Broncos", "Denver Broncos"),
        ("Denver\u202fBroncos\u00a0", "Denver  Broncos"),
        ("Denver\u3000Broncos", "Denver\tBroncos"),
        ("Denver\n\nBroncos", "Denver\u2003Broncos\r\n"),
        ("\u2009Denver \u2009 Broncos", "\u200bDenver \u200b Broncos"),
        ("Denver\u2028Broncos", "Denver\u2029Broncos"),
        ("Denver\u0085Broncos", "Denver\u000bBroncos"),
        ("Denver\ufeff Broncos", "Denver\u205fBroncos"),
    ],
)
def test_kinds_of_white_space_do_not_matter(
    name: str, language: str, gold: str, answer: str, make_example: ExampleMaker, make_response: ResponseMaker
) -> None:
    for one, other in ((gold, answer), (answer, gold)):
        assert _score(name, make_example(language, one), make_response(other)) == 1.0
        assert _score(name, make_example(language, one), make_response(other.replace("er", "eer"))) < 1.0


@pytest.mark.parametrize("name", [*ANSWER_METRICS, "accuracy", "accuracy_norm"])
@pytest.mark.parametrize("blank", ["", " ", "\u200b", "\u00a0\u3000", "\ufeff\u200e"])
def test_a_blank_gold_is_no_accepted_answer(
    name: str, blank: str, make_example: ExampleMaker, make_response: ResponseMaker
) -> None:
    metric = find_metric(name)
    only_blank, with_blank = (
        replace(make_example("en", *golds), choices=("cat", "dog")) for golds in ((blank, ""), (blank, "cat"))
    )
    for answer in ("", "cat", "dog", "The", blank):
        assert metric.measure(only_blank, make_response(answer)) is None
        assert metric.measure(with_blank, make_response(answer)) == (float(answer == "cat"), 1.0)


@pytest.mark.parametrize("name", ANSWER_METRICS)
@pytest.mark.parametrize("language", ["en", "vi", "zh", "ar"])
def test_spelling_of_unicode_does_not_matter(
    name: str, language: str, make_example: ExampleMaker, make_response: ResponseMaker
) -> None:
    gold = {"en": "Café Noël", "vi": "Việt Nam", "zh": "北京 Café", "ar": "أنثى آخر"}[language]
    decomposed = unicodedata.normalize("NFD", gold)
    assert decomposed != gold
    pairs = [
        (gold, decomposed),
        (decomposed, gold),
        (BOM + gold, gold),
        (gold, RLM + decomposed),
        (gold, LETTER_MARK + gold),
    ]
    for first, second in pairs:
        assert _score(name, make_example(language, first), make_response(second)) == 1.0


def test_a_line_separator_is_white_space(make_example: ExampleMaker, make_response: ResponseMaker) -> None:
    example, response = make_example("en", "black cat"), make_response(f"black{LINE_SEPARATOR}cat")
    assert _score("mlqa_em", example, response) == _score("squad_em", example, response) == 1.0
    assert _score("containment", example, response) == 1.0


@pytest.mark.parametrize(
    ("name", "language", "part"),
    [
        ("mlqa_f1", "zh", "rules:mlqa-v1|"),
        ("mlqa_f1", "th", "rules:mlqa-v1+extended|"),
        ("mlqa_em", "zho_trad", "rules:mlqa-v1+extended|"),
        ("mlqa_fixed_em", "ar", "rules:mlqa-v1-fixed|"),
        ("squad_f1", "th", "rules:squad-v1.1|"),
        ("containment", "en", "score:containment|case:lower|space:collapsed|targets:any|"),
        ("containment_first", "en", "score:containment|case:lower|space:collapsed|targets:first|"),
    ],
)
def test_signature_names_the_rules(name: str, language: str, part: str) -> None:
    metric = find_metric(name)
    assert part in metric.signature(language)
    assert metric.missing(language) is None
    assert metric.higher_is_better


def test_no_answer_text_is_no_score(make_example: ExampleMaker, make_response: ResponseMaker) -> None:
    for name in ANSWER_METRICS:
        assert find_metric(name).measure(make_example("en", "cat"), make_response(None)) is None


def test_a_mean_beyond_all_numbers_is_told_without_a_warning() -> None:
    assert find_metric("squad_f1").combine(np.array([1e308, 1.0])) == np.inf


def test_mean_is_vectorised_and_undefined_without_examples() -> None:
    scores = find_metric("squad_f1").combine(np.array([[[1.5, 2.0], [0.0, 4.0]], [[3.0, 3.0], [0.0, 0.0]]]))
    assert scores.shape == (2, 2)
    np.testing.assert_allclose(scores, [[75.0, 0.0], [100.0, np.nan]])


ALPHABET = st.sampled_from([*"aAbt heأالكمé北京人ั ,.!，。-«»", "\u0301", BOM, LINE_SEPARATOR, "\U0001f600", "\ud800"])
TEXTS = st.one_of(st.text(ALPHABET, max_size=12), st.text(max_size=12))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    answer=TEXTS,
    gold=TEXTS,
    family=st.sampled_from(RuleFamily),
    language=st.sampled_from(["en", "ar", "zh", "th", "tr"]),
)
def test_invariants_of_exact_match_and_f1(answer: str, gold: str, family: RuleFamily, language: str) -> None:
    tokens, others = answer_tokens(answer, family, language), answer_tokens(gold, family, language)
    f1 = token_f1(tokens, others)
    assert 0.0 <= f1 <= 1.0
    assert f1 == pytest.approx(token_f1(others, tokens))
    assert token_f1(tokens, tokens) == (1.0 if tokens else 0.0)
    assert exact_match(tokens, others) <= f1 or not tokens
    composed = unicodedata.normalize("NFC", answer)
    assert answer_tokens(composed, family, language) == answer_tokens(
        unicodedata.normalize("NFD", composed), family, language
    )
