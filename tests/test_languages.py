"""The table of languages."""

import pytest
from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES

from xlingual.errors import UsageError
from xlingual.languages import LANGUAGES, find_language


def test_every_flores_file_has_one_row() -> None:
    assert len(LANGUAGES) == 102
    assert len({row.flores for row in LANGUAGES.values()}) == 102
    assert all(code == row.code for code, row in LANGUAGES.items())


@pytest.mark.parametrize(
    ("word", "code"),
    [
        *[("zh", "zh"), ("zho_simpl", "zh"), ("zh-CN", "zh"), ("zho_trad", "zho_trad"), ("eng", "en"), ("Greek", "el")],
        *[("zho_Hans", "zh"), ("zho_Hant", "zho_trad"), ("arb_Arab", "ar"), ("kor_Hang", "ko"), ("zsm_Latn", "ms")],
    ],
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


def test_every_language_has_a_code_of_its_own_in_flores_200() -> None:
    codes = [row.flores200 for row in LANGUAGES.values()]
    assert len(set(codes)) == 102
    assert set(codes) <= set(FAIRSEQ_LANGUAGE_CODES), "NLLB's codes are those of FLORES-200"


@pytest.mark.parametrize(
    ("code", "flores200"),
    [
        ("en", "eng_Latn"),
        ("zh", "zho_Hans"),
        ("zho_trad", "zho_Hant"),
        ("ar", "arb_Arab"),
        ("az", "azj_Latn"),
        ("et", "est_Latn"),
        ("fa", "pes_Arab"),
        ("ff", "fuv_Latn"),
        ("ko", "kor_Hang"),
        ("lv", "lvs_Latn"),
        ("mn", "khk_Cyrl"),
        ("ms", "zsm_Latn"),
        ("ne", "npi_Deva"),
        ("om", "gaz_Latn"),
        ("or", "ory_Orya"),
        ("ps", "pbt_Arab"),
        ("sw", "swh_Latn"),
        ("uz", "uzn_Latn"),
        ("ckb", "ckb_Arab"),
    ],
)
def test_codes_of_flores_200(code: str, flores200: str) -> None:
    assert LANGUAGES[code].flores200 == flores200
