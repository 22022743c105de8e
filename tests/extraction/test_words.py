"""The words of extraction: what each finds, which are refused, and what a signature names."""

import time

import pytest

from xlingual import extraction
from xlingual.errors import DataError, UsageError
from xlingual.extraction import EXTRACT_WORDS, extract_answer, extracts_number, require_word, signature


@pytest.mark.parametrize(
    ("word", "text", "found"),
    [
        ("first_line", "\n  \nParis \nQuestion: no", "Paris"),
        ("first_line", " \n\u200b", None),
        ("boxed", r"so \boxed{1} and then \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        ("boxed", r"\boxed{\text{a \} b}}", r"\text{a \} b}"),
        ("boxed", r"\boxed{1", None),
        ("boxed", r"\boxed{7} \boxed{", "7"),
        ("boxed", "7", None),
        ("after:Answer:", "Answer: Rome. No.\n**Answer:** Paris\nBecause.", "Paris"),
        ("after:Answer:", "Answer:\n\nParis", "Paris"),
        ("after:Answer:", "Answer:\r\n\r\nParis\r\n", "Paris"),
        ("after:Answer:", "Answer:\u00a0\n\u3000**\u00a0Paris\u00a0**", "Paris"),
        ("after:Answer:", "Paris", None),
        ("after:Answer:", "Paris\nAnswer:", None),
        (r"regex:#### (-?\d+)", "#### 12\n#### 13", "12"),
        (r"last_regex:#### (-?\d+)", "#### 12\n#### 13", "13"),
        (r"regex:\d+", "a 12 b", "12"),
        ("regex:(a)|b", "b", None),
        (r"regex:\d+", "none", None),
        ("boxed > last_number", r"\boxed{x = 1{,}234} or 5", "1234"),
        ("after:Answer: > choice_letter", "A? Answer: (C) x", "C"),
        ("boxed > last_number", "5", None),
        ("regex:a:b", "a:b", "a:b"),
    ],
)  # fmt: skip
def test_what_words_find(word: str, text: str, found: str | None) -> None:
    require_word(word)
    assert extract_answer(word, "en", text) == found


@pytest.mark.parametrize(
    ("word", "what", "hint"),
    [
        ("last_numbr", "'last_numbr' extracts nothing", "did you mean last_number"),
        ("", "'' extracts nothing", "known: last_number"),
        ("after:", "'after' needs what follows the colon", "such as after:Answer:"),
        ("regex", "'regex' needs what follows the colon", r"such as regex:#### (-?\d+)"),
        ("regex:(", "'regex:(' is no regular expression (missing )", ""),
        ("last_number:3", "'last_number' takes nothing after a colon", "write last_number"),
        ("choice_letter:A", "'choice_letter:A' has less than two different labels", "such as choice_letter:ABCD"),
        ("boxed > lastnumber", "'boxed > lastnumber' extracts nothing", "did you mean last_number"),
    ],
)
def test_words_that_are_none(word: str, what: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        require_word(word)
    assert caught.value.what.startswith(what)
    assert caught.value.hint.startswith(hint)
    assert len(EXTRACT_WORDS) == 8


def test_a_pattern_without_an_end_is_an_error_and_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "REGEX_SECONDS", 0.2)
    start = time.perf_counter()
    for word in ("regex:(a|aa|aaa)+b(c|d)$", "last_regex:(a|aa|aaa)+b(c|d)$"):
        with pytest.raises(DataError) as caught:
            extract_answer(word, "en", "a" * 5_000 + "be")
        assert caught.value.what == "the pattern takes over 0.2 s on one answer"
        assert caught.value.where == word
    assert time.perf_counter() - start < 10


def test_signatures_name_the_marks() -> None:
    assert signature("last_number", "de") == "extract:last_number|marks:decimal-comma|version:1"
    assert signature("boxed > first_number", "en") == "extract:boxed > first_number|marks:decimal-point|version:1"
    assert signature("choice_letter:ABCD", "de") == "extract:choice_letter:ABCD|version:3"
    assert [extracts_number(each) for each in (None, "last_number", "last_number > first_line")] == [False, True, False]
