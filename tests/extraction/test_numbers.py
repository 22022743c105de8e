"""Numbers of every script, with every language's marks, in one form; what is no number stays none."""

import pytest

from xlingual.extraction import canonical_number, extract_answer, find_numbers, is_canonical


@pytest.mark.parametrize(
    ("language", "text", "number"),
    [
        ("en", "… so it is 1,234.", "1234"),
        ("en", "1234", "1234"),
        ("en", "1,234.50", "1234.5"),
        ("de", "1.234,50", "1234.5"),
        ("es", "Son 1.234,5 en total.", "1234.5"),
        ("tr", "1.234,5", "1234.5"),
        ("vi", "Tổng cộng là 1.234,5.", "1234.5"),
        ("zh", "所以是1,234.5元。", "1234.5"),
        ("hi", "1,23,456.5", "123456.5"),
        ("hi", "१,२३,४५६", "123456"),
        ("ar", "١٢٣٤", "1234"),
        ("ar", "الجواب هو ١٬٢٣٤٫٥", "1234.5"),
        ("fa", "۱۲۳۴", "1234"),
        ("bn", "উত্তর ১,২৩৪।", "1234"),
        ("th", "คำตอบคือ ๑๒๓", "123"),
        ("te", "సమాధానం ౧౨౩", "123"),
        ("ja", "答えは２，１２５です。", "2125"),
        ("fr", "1 234,5", "1234.5"),
        ("fr", "1\u202f234,5", "1234.5"),
        ("en", "1\u00a0234\u00a0567", "1234567"),
        ("en", "1\u2009234", "1234"),
        ("ru", "12 345 678 рублей", "12345678"),
        ("de", "1'234'567.80", "1234567.8"),
        ("fr", "1’234", "1234"),
        # One mark before three digits: the language decides. Before another number of digits it is a decimal mark.
        ("de", "1.000", "1000"),
        ("en", "1.000", "1"),
        ("en", "1,000", "1000"),
        ("de", "1,000", "1"),
        ("de", "3.5", "3.5"),
        ("de", "3,5", "3.5"),
        ("en", "3,5", "3.5"),
        ("de", "0.125", "0.125"),
        ("de", "1234.567", "1234.567"),
        # Two marks, or one twice: the same in every language.
        ("de", "1,234,567.89", "1234567.89"),
        ("en", "1.234.567,89", "1234567.89"),
        ("en", "1.234.567", "1234567"),
        ("en", "-7", "-7"),
        ("en", "x = \u22127%", "-7"),
        ("en", "-$5.50", "-5.5"),
        ("en", "$-5", "-5"),
        ("en", "(-3)", "-3"),
        ("en", "−0.50", "-0.5"),
        ("en", "-0", "0"),
        ("en", "about .5", "0.5"),
        ("en", "US$2,125.00", "2125"),
        ("en", "Rs500", "500"),
        ("ar", "٥٠٪", "50"),
        ("en", "007", "7"),
        ("en", "18...", "18"),
        ("en", "5 - 3 = 2", "2"),
        ("en", "10-3", "3"),
        ("en", "2020–2021", "2021"),
        ("en", "It has 18 grams of CO2.", "18"),
        ("en", r"\boxed{1{,}234}", "1234"),
        ("en", r"\$1{,}234\%", "1234"),
        ("en", "\u200f1,234\u200e", "1234"),
        # No number as a whole: what stands last.
        ("en", "1, 2, 3", "3"),
        ("en", "1,2,3", "3"),
        ("en", "12.05.2020", "2020"),
        ("en", "1 234", "234"),
        ("en", "1 000 dollars", "1000"),
        ("en", "12 050", "12050"),
        ("en", "2020 000", "0"),
        ("en", "In 2020 100 people came", "100"),
        ("fr", "en 2020 100 personnes", "100"),
        ("en", "10:30", "30"),
        ("en", "3/4", "4"),
    ],
)
def test_the_last_number(language: str, text: str, number: str) -> None:
    assert extract_answer("last_number", language, text) == number
    assert is_canonical(number)


def test_the_first_number_and_none() -> None:
    assert extract_answer("first_number", "en", "72, since 60 + 12 = 72.0, not 73") == "72"
    for text in ("", "none", "three", "三千", "CO2", "½", "²"):
        assert extract_answer("last_number", "en", text) is None


@pytest.mark.parametrize("language", ["en", "de", "hi", "fr", "ar", "zh"])
def test_what_is_canonical_stays_as_it_is(language: str) -> None:
    for number in ("0", "7", "1234", "-1234", "3.5", "-0.25", "123456.75"):
        assert find_numbers(number, language) == [number]
        assert canonical_number(number, language) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1,234", "1234"), ("  $18.00 ", "18"), ("50%", "50"), ("−7", "-7"), ("- 7", "-7"), ("18.", "18"),
        ("18 ducks", None), ("x = 3", None), ("", None), ("1, 2", None), ("1/2", None), ("twelve", None),
    ],
)  # fmt: skip
def test_a_gold_is_one_number_or_none(text: str, number: str | None) -> None:
    assert canonical_number(text, "en") == number


def test_a_long_answer_takes_no_time() -> None:
    assert extract_answer("last_number", "en", "1234567 a1 - . , " * 20_000 + "5") == "5"
    assert extract_answer("last_number", "en", "1,1" * 50_000) is not None
    assert extract_answer("choice_letter", "en", "." * 100_000 + "B") == "B"
