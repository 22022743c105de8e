"""The language of single tokens: by script, by use, by the identifier, or undecided."""

from collections.abc import Sequence

import pytest

from xlingual.analysis.space.token_language import learn_languages, try_identification

WORDS = [
    "", " the", " und", " in", " government", ".", "42", "ης", "मा", "ि", "是", "の", " что", "\ufffd",
    " Regierung", "é", " sağlamak", "ა",
]  # fmt: skip
IDS = {word: number for number, word in enumerate(WORDS)}


def _text_of(ids: Sequence[int]) -> str:
    return "".join(WORDS[each] for each in ids)


def _line(*words: str) -> tuple[int, ...]:
    return tuple(IDS[each] for each in words)


ENGLISH = [_line(" the", " in", "."), _line(" the", " in", "42")]
GERMAN = [_line(" und", " in", "."), _line(" und", " in", "42")]
GREEK = [_line("ης", ".", "ης"), _line("ης", "42", ".")]
CHINESE = [_line("是", "是", "."), _line("是", "42", ".")]


@pytest.mark.parametrize(
    ("word", "language"),
    [
        (" the", "en"),  # used in English alone
        (" und", "de"),
        (" in", "undecided"),  # in both
        (" government", "en"),  # never used here: the identifier
        (" Regierung", "de"),
        (" sağlamak", "other"),  # Turkish, which is not among them
        ("é", "undecided"),  # a letter of no word
        ("ης", "el"),  # by its script
        ("是", "zh"),
        ("の", "other"),  # kana
        (" что", "other"),  # Cyrillic, of no language here
        ("मा", "other"),
        ("ა", "other"),
        (".", "undecided"),
        ("42", "undecided"),
        ("\ufffd", "undecided"),  # a part of a character
        ("", "undecided"),
    ],
)
def test_tokens(word: str, language: str) -> None:
    languages = learn_languages(("en", "de", "el", "zh"), [ENGLISH, GERMAN, GREEK, CHINESE], _text_of)
    assert languages.of(IDS[word]) == language


def test_a_mark_is_written_in_its_script() -> None:
    languages = learn_languages(("en", "hi"), [[], []], _text_of)
    assert [languages.of(IDS[each]) for each in ("मा", "ि")] == ["hi", "hi"]


def test_scripts_of_japanese_and_korean() -> None:
    languages = learn_languages(("ja", "zh"), [[], []], _text_of)
    assert languages.of(IDS["の"]) == "ja"
    assert languages.of(IDS["是"]) == "undecided"  # an ideograph of both


def test_identification_is_tried_on_other_sentences() -> None:
    english = [_line(" the", " in"), _line(" the", " government", " und", ".")] * 2
    german = [_line(" und", " in"), _line(" und", " Regierung", "42", " in")] * 2
    found = {each.language: each for each in try_identification(("en", "de"), [english, german], _text_of)}
    assert found["en"].tokens == 8
    assert (found["en"].right, found["en"].wrong, found["en"].undecided) == (0.5, 0.25, 0.25)
    assert (found["de"].right, found["de"].wrong, found["de"].undecided) == (0.5, 0.0, 0.5)
