"""From words to tasks and models."""

import pytest

from xlingual.errors import UsageError, XlingualError
from xlingual.plugin import ModelOptions
from xlingual.selection import open_model, select_tasks, split_words, untouched_languages


def _names(words: str, languages: str = "") -> list[str]:
    return [task.spec.name for task in select_tasks(split_words(words), split_words(languages))]


@pytest.mark.parametrize(
    ("words", "languages", "names"),
    [
        ("xquad", "zh,ar", ["xquad/ar", "xquad/zh"]),
        ("xquad/zh", "", ["xquad/zh"]),
        ("mlqa", "", [f"mlqa/{code}" for code in ("ar", "de", "en", "es", "hi", "vi", "zh")]),
        ("mlqa", "zh", ["mlqa/zh"]),
        ("mlqa/zh-??", "", [f"mlqa/zh-{code}" for code in ("ar", "de", "en", "es", "hi", "vi", "zh")]),
        ("flores101", "", [f"flores101/en-{code}" for code in ("ar", "el", "hi", "tr", "vi", "zh")]),
        ("flores101", "zh de", ["flores101/en-zh", "flores101/en-de"]),
        ("flores101/eng-zho_simpl", "", ["flores101/en-zh"]),
        ("xquad/el,mlqa/vi,xquad/el", "", ["xquad/el", "mlqa/vi"]),
    ],
)
def test_words_name_tasks(words: str, languages: str, names: list[str]) -> None:
    assert sorted(_names(words, languages)) == sorted(names)


@pytest.mark.parametrize(
    ("words", "count"),
    [("mlqa/*", 56), ("mlqa/*-*", 49), ("flores101/en-*", 101), ("flores101/*", 102 * 101), ("xquad", 12)],
)
def test_globs_name_all_their_tasks(words: str, count: int) -> None:
    assert len(_names(words)) == count


@pytest.mark.parametrize(
    ("words", "languages", "what", "hint"),
    [
        ("xqaud", "", "no such task family: 'xqaud'", "did you mean xquad?"),
        ("xquad/arr", "", "no such task: xquad/arr", "did you mean ar?"),
        ("xquad", "arr", "no such language: 'arr'", "did you mean ar"),
        ("xquad", "sw", "no task of xquad answers in sw", "xlingual tasks FAMILY"),
    ],
)
def test_typos_are_answered(words: str, languages: str, what: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        _names(words, languages)
    assert what in str(caught.value)
    assert hint in caught.value.hint


def test_languages_that_no_task_has_are_told() -> None:
    assert untouched_languages(select_tasks(["mlqa"], ["zh", "el"]), ["zh", "el", "tr"]) == ["el", "tr"]


@pytest.mark.parametrize(
    ("word", "hint"),
    [("smolm2", "did you mean smollm2?"), ("orcale", "did you mean oracle?"), ("", "known: "), ("gpt2", "hf:NAME")],
)
def test_model_typos_are_answered(word: str, hint: str) -> None:
    with pytest.raises(XlingualError) as caught:
        open_model(word, ModelOptions())
    assert caught.value.exit_code == 2
    assert hint in caught.value.hint


@pytest.mark.parametrize("word", ["é" * 5000, "a\0b", "x|y", "a\nb", "~nobody-has-this-name"])
def test_words_that_no_file_can_have_are_no_model(word: str) -> None:
    with pytest.raises(XlingualError) as caught:
        open_model(word, ModelOptions())
    assert caught.value.exit_code == 2


def test_a_path_that_is_not_there_is_no_hub_name() -> None:
    with pytest.raises(UsageError) as caught:
        open_model("./no/such/model", ModelOptions())
    assert "no such" in str(caught.value)
