"""The table of languages."""

import pytest

from xlingual.errors import UsageError
from xlingual.languages import LANGUAGES, find_language


def test_every_flores_file_has_one_row() -> None:
    assert len(LANGUAGES) == 102
    assert len({row.flores for row in LANGUAGES.values()}) == 102
    assert all(code == row.code for code, row in LANGUAGES.items())


@pytest.mark.parametrize(
    ("word", "code"),
    [("zh", "zh"), ("zho_simpl", "zh"), ("zh-CN", "zh"), ("zho_trad", "zho_trad"), ("eng", "en"), ("Greek", "el")],
)
def test_languages_are_found_by_any_of_their_names(word: str, code: str) -> None:
    assert find_language(word).code == code


@pytest.mark.parametrize(
    ("code", "tokenizer"), [("zh", "zh"), ("ja", "ja-mecab"), ("ko", "ko-mecab"), ("th", "char"), ("hi", "13a")]
)
def test_bleu_tokenizers(code: str, tokenizer: str) -> None:
    assert LANGUAGES[code].bleu_tokenizer == tokenizer


def test_a_typo_is_answered_with_close_names() -> None:
    with pytest.raises(UsageError) as caught:
        find_language("turkich")
    assert caught.value.hint == "did you mean turkish or tur?"
