"""From words to tasks and models."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from xlingual.errors import DataError, UsageError, XlingualError
from xlingual.plugin import DataSource, ModelOptions
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


SAMPLE = DataSource(folder=None, sample=True, offline=True)
IN_XQUAD = ["xquad/ar", "xquad/el", "xquad/en", "xquad/hi", "xquad/tr", "xquad/vi", "xquad/zh"]
IN_MLQA = ["mlqa/ar", "mlqa/en", "mlqa/hi", "mlqa/vi", "mlqa/zh"]
IN_FLORES = ["flores101/en-ar", "flores101/en-el", "flores101/en-hi"] + [
    f"flores101/en-{x}" for x in ("tr", "vi", "zh")
]


def _sampled(words: str, languages: str = "", split: str | None = None) -> list[str]:
    return [task.spec.name for task in select_tasks(split_words(words), split_words(languages), SAMPLE, split)]


@pytest.mark.parametrize(
    ("words", "languages", "names"),
    [
        ("xquad,mlqa,flores101", "", IN_XQUAD + IN_MLQA + IN_FLORES),
        ("xquad,mlqa,flores101", "ar,el,en,hi,tr,vi,zh", IN_XQUAD + IN_MLQA + IN_FLORES),
        ("xquad", "de,zh", ["xquad/zh"]),
        ("mlqa/zh-*", "", [f"mlqa/zh-{code}" for code in ("ar", "en", "hi", "vi", "zh")]),
        ("flores101/tr-en", "", ["flores101/tr-en"]),
    ],
)
def test_a_family_stands_for_what_the_sample_has_of_it(words: str, languages: str, names: list[str]) -> None:
    assert sorted(_sampled(words, languages)) == sorted(names)


@pytest.mark.parametrize(
    ("words", "languages", "where", "there"),
    [
        ("xquad/de", "", "xquad/xquad.de.json", IN_XQUAD),
        ("xquad/en,xquad/de", "", "xquad/xquad.de.json", IN_XQUAD),
        ("xquad", "de,th", "xquad/xquad.de.json", IN_XQUAD),
        ("mlqa/de", "", "mlqa/test/test-context-de-question-de.json", IN_MLQA),
        ("flores101/en-de", "", "flores101/devtest/deu.devtest", IN_FLORES),
        ("flores101", "de", "flores101/devtest/deu.devtest", IN_FLORES),
        ("flores101/de-*,flores101/tr-en", "", "flores101/devtest/deu.devtest", IN_FLORES),
    ],
)
def test_what_the_sample_lacks_is_an_error_that_lists_what_it_has(
    words: str, languages: str, where: str, there: list[str]
) -> None:
    with pytest.raises(DataError) as caught:
        _sampled(words, languages)
    assert str(caught.value) == f"{where}: the packaged sample has no such file"
    assert caught.value.hint == f"it has {', '.join(there)}; use --data DIR with the original files"


def test_without_the_sample_nothing_is_read_to_select() -> None:
    nowhere = DataSource(folder=Path("no/such/folder"), sample=False, offline=True)
    assert len(select_tasks(["xquad"], [], nowhere)) == 12


def test_a_family_that_the_sample_does_not_have_tells_its_own_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    capitals = Path(__file__).parent / "docs" / "plugins"
    code = "from xlingual.selection import select_tasks; from xlingual import DataSource;"
    code += "s = DataSource(folder=None, sample=True, offline=True);"
    code += "print([t.spec.name for t in select_tasks(['capitals', 'seas'], [], s)])"
    environment = os.environ | {"XLINGUAL_PLUGINS": str(capitals)}
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.strip() == "['capitals/en', 'capitals/vi', 'seas/en', 'seas/tr']"


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
