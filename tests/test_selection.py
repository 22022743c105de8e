"""From words to tasks and models."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xlingual.errors import DataError, UsageError, XlingualError
from xlingual.plugin import DataSource, Model, ModelOptions
from xlingual.redaction import is_secret
from xlingual.registry import MODELS, register_model
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


SERVER = "openai:m@http://127.0.0.1:9/v1"


@pytest.mark.parametrize(
    ("word", "options", "where", "users"),
    [
        (SERVER, {"engine": "paged"}, "--engine", "hf, smollm2 can use it"),
        (SERVER, {"device": "cpu"}, "--device", "hf"),
        (SERVER, {"deterministic": True}, "--deterministic", "hf"),
        (SERVER, {"dtype": "float32"}, "--dtype", "hf"),
        (SERVER, {"server_args": ("--x",)}, "--server-arg", "serve, sglang, vllm can use it"),
        (SERVER, {"chat_template": "rag"}, "--template", "hf"),
        (SERVER, {"trust_remote_code": True}, "--trust-remote-code", "hf"),
        ("smollm2", {"extra_body": "{}"}, "--extra-body", "openai"),
        ("hf:none", {"headers": ("A: b",)}, "--header", "openai"),
        ("./none", {"concurrency": 3}, "--concurrency", "openai"),
        ("vllm:none", {"engine": "static"}, "--engine", "hf"),
        ("vllm:none", {"key_env": "X"}, "--key-env", "openai"),
        ("lm-eval:hf,pretrained=x", {"engine": "static"}, "--engine", "hf"),
        (f"ray:2:{SERVER}", {"engine": "paged"}, "--engine", "hf"),
    ],
)
def test_an_option_that_the_model_cannot_use_is_refused(
    word: str, options: dict[str, Any], where: str, users: str
) -> None:
    """P12: it would change nothing, and nobody would say so."""
    with pytest.raises(UsageError, match="cannot use it") as caught:
        open_model(word, replace(ModelOptions(), **options))
    assert caught.value.where == where
    assert users in caught.value.hint
    assert f"leave {where} out" in caught.value.hint


def test_options_without_effect_on_answers_are_fine_everywhere() -> None:
    """A command for several models has one set of options; the baselines compute nothing that options could change."""
    for word in ("echo", "oracle"):
        open_model(word, ModelOptions(batch_size=3, offline=True, device="cpu", dtype="float32", concurrency=2)).close()
    open_model(SERVER, ModelOptions(batch_size=3, offline=True)).close()


@pytest.fixture
def own_backends() -> Iterator[None]:
    """Registered for one test."""
    before = dict(MODELS._items)
    yield
    MODELS._items.clear()
    MODELS._items.update(before)


def test_a_backend_that_does_not_say_what_it_uses_gets_everything(own_backends: None) -> None:
    taken: list[ModelOptions] = []

    def opener(name: str, options: ModelOptions) -> Model:
        taken.append(options)
        raise UsageError("opened")

    register_model("silent_backend")(opener)
    with pytest.raises(UsageError, match="opened"):
        open_model("silent-backend:x", ModelOptions(engine="paged", key_env="X"))
    assert taken[0].engine == "paged"
    register_model("plain_backend", uses=("device",))(opener)
    with pytest.raises(UsageError, match="plain-backend models cannot use it"):
        open_model("plain-backend:x", ModelOptions(engine="paged"))
    with pytest.raises(UsageError, match="opened"):
        open_model("plain-backend:x", ModelOptions(device="cpu"))
    with pytest.raises(UsageError, match="'devcie' is no option of models") as caught:
        register_model("wrong_backend", uses=("devcie",))
    assert "device" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "secret"), [("XLINGUAL_KEY_API_EXAMPLE_COM", True), ("OPENAI_API_KEY", True), ("XLINGUAL_CACHE", False)]
)
def test_names_of_secrets(name: str, secret: bool) -> None:
    assert is_secret(name) == secret
