"""From words to tasks and models."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from xlingual.errors import UsageError, XlingualError
from xlingual.plugin import Model, ModelOptions
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
        (SERVER, {"chat_template": "rag"}, "--chat-template", "hf"),
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
