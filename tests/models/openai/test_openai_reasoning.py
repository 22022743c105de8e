"""Answers of reasoning models: the thinking apart or in the text, finished or not, and where stop strings count."""

import importlib
from dataclasses import replace
from typing import Any

import pytest

from xlingual.plugin import Model, ModelOptions
from xlingual.records import Finish, Form, Message, Request, Response, Role
from xlingual.registry import MODELS
from xlingual.thinking import ThinkingMode, answer_start, split_thinking

from ..fault_server import Asked, FaultServer, Reply, answer, document, serve

pytest.importorskip("openai", reason="needs the extra `openai`")


@pytest.fixture(autouse=True)
def no_openai_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def ask(text: str, *, stop: tuple[str, ...] = (), form: Form = Form.CHAT) -> Request:
    message = Message(role=Role.USER, text=text)
    return Request(key=text, form=form, messages=(message,), stop=stop, max_new_tokens=50)


def message(reason: str = "stop", usage: dict[str, Any] | None = None, **fields: object) -> Reply:
    choices = [{"message": {"role": "assistant", **fields}, "finish_reason": reason}]
    counts: dict[str, Any] = {"prompt_tokens": 7, "completion_tokens": 9, **(usage or {})}
    return document({"choices": choices, "usage": counts})


def one(reply: Reply, *, stop: tuple[str, ...] = ()) -> Response:
    with serve(lambda _: reply) as server:
        [response] = opened(server).answer([ask("q", stop=stop)])
    return response


def opened(server: FaultServer) -> Model:
    return MODELS.get("openai")(f"m@{server.url}", ModelOptions())


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "thinking"])
def test_thinking_that_comes_apart_is_kept_apart(field: str) -> None:
    details = {"completion_tokens_details": {"reasoning_tokens": 5}}
    response = one(message(content="Paris", usage=details, **{field: "Let me see."}))
    assert (response.text, response.thinking, response.finish) == ("Paris", "Let me see.", Finish.EOS)
    assert (response.tokens, response.thinking_tokens) == (9, 5)


UNFINISHED: dict[str, tuple[Reply, str | None]] = {
    "null": (message("length", content=None, reasoning_content="I think"), "I think"),
    "null that stopped": (message("stop", content=None, reasoning="I think"), "I think"),
    "empty": (message("length", content="", reasoning_content="I think"), "I think"),
    "left out": (message("length", reasoning_content="I think"), "I think"),
    "parts": (message("length", content=[{"type": "thinking", "thinking": [{"type": "text", "text": "I"}]}]), "I"),
    "hidden": (message("length", content=None, usage={"output_tokens_details": {"reasoning_tokens": 9}}), None),
}


@pytest.mark.parametrize("form", UNFINISHED)
def test_an_answer_that_ends_while_the_model_thinks_is_empty_and_no_failure(form: str) -> None:
    """P2, P4: the core counts it as unfinished thinking."""
    reply, thinking = UNFINISHED[form]
    response = one(reply)
    assert (response.text, response.failure, response.thinking) == ("", None, thinking)
    assert response.finish is (Finish.EOS if form == "null that stopped" else Finish.LENGTH)
    assert thinking is not None or response.thinking_tokens == 9


@pytest.mark.parametrize(
    ("parts", "text", "thinking"),
    [
        ([{"type": "text", "text": "Par"}, {"type": "text", "text": "is"}], "Paris", None),
        ([{"type": "text", "text": ""}], "", None),
        ([{"type": "thinking", "thinking": [{"text": "Hm."}]}, {"type": "text", "text": "Paris"}], "Paris", "Hm."),
        ([{"type": "reasoning", "text": "Hm."}, {"type": "output_text", "text": "Paris"}], "Paris", "Hm."),
        ([{"type": "image_url", "image_url": {}}, {"type": "text", "text": "Paris"}], "Paris", None),
        ([{"type": "reasoning", "reasoning": "Hm."}, {"type": "text", "text": "Paris"}], "Paris", "Hm."),
    ],
)  # fmt: skip
def test_a_content_of_parts_is_its_texts(parts: list[object], text: str, thinking: str | None) -> None:
    """P4."""
    response = one(message(content=parts))
    assert (response.text, response.thinking, response.failure) == (text, thinking, None)


def test_a_refusal_in_the_models_words_is_its_answer() -> None:
    contents: tuple[object, ...] = (None, "", [])
    for content in contents:
        assert one(message(content=content, refusal="I will not say.")).text == "I will not say."
    assert one(message(content="", refusal=None)).text == ""


@pytest.mark.parametrize(
    "text",
    ["<think>THE PASSAGE</think>\nI do not know.", "<think>THE PASSAGE", "<think>\n\n</think>\n\nParis", "a</think>b"],
)
def test_thinking_in_the_text_is_left_as_it_is(text: str) -> None:
    """P1 to P3: the core takes it apart."""
    assert one(message(content=text)).text == text


class Thinker:
    """A server whose model thinks in lines, which cuts at the first stop string wherever it stands."""

    def __init__(self, whole: str, *, apart: bool = False) -> None:
        self.whole = whole
        self.apart = apart

    def __call__(self, asked: Asked) -> Reply:
        cuts = [place for each in asked.body.get("stop", ()) if (place := self.whole.find(each)) >= 0]
        text = self.whole[: min(cuts, default=len(self.whole))]
        if not self.apart:
            return message(content=text)
        thinking, end, rest = text.partition("</think>")
        return message(content=rest if end else None, reasoning_content=thinking)


@pytest.mark.parametrize(
    ("whole", "apart", "text"),
    [
        ("<think>One. #\nTwo. #</think>\nParis # and more", False, "<think>One. #\nTwo. #</think>\nParis "),
        ("One. #\nTwo. #</think>\nParis # and more", True, "\nParis "),
        ("[THINK]One #[/THINK]Paris#", False, "[THINK]One #[/THINK]Paris"),
        ("<think>One # and no end", False, "<think>One # and no end"),
        ("Paris # and more", False, "Paris "),
    ],
)
def test_stop_strings_end_no_thinking(whole: str, apart: bool, text: str) -> None:
    with serve(Thinker(whole, apart=apart)) as server:
        [response] = opened(server).answer([ask("q", stop=("#",))])
        assert len(server.asked) == (1 if whole.startswith("Paris") else 2)
    assert response.text == text
    assert response.finish is (Finish.EOS if "no end" in whole else Finish.STOP)


def test_a_model_that_is_known_to_think_is_sent_no_stop_strings() -> None:
    """Its prompts may open the thinking: then nothing in a text that is cut at a line break shows that it is one."""
    props = {"/props": document({"model_path": "a", "chat_template": "{{ x }}<think>{{ y }}</think>"})}
    whole = "One. #\nTwo. #</think>\nParis # and more"
    for tells, thinking in ((props, None), ({}, ThinkingMode.ON)):
        with serve(Thinker(whole), tells=tells) as server:
            [response] = opened(server).answer([replace(ask("q", stop=("#",)), thinking=thinking)])
            assert [asked.body.get("stop") for asked in server.asked] == [None]
        assert response.text == "One. #\nTwo. #</think>\nParis "


def test_a_prompt_that_opens_the_thinking_is_learnt_from_the_answers() -> None:
    """The text begins inside the thinking: an answer without an end of it gets its start back."""

    def script(asked: Asked) -> Reply:
        if asked.prompt == "a":
            return message(content="It is Paris.</think>Paris")
        return message("length", content="It is Paris, or is it") if asked.prompt == "b" else message(content="Hm #")

    with serve(script) as server:
        stream = opened(server).answer([ask(each, stop=("#",)) for each in "abc"])
        found = {each.key: each.text for each in stream}
    assert found == {"a": "It is Paris.</think>Paris", "b": "<think>It is Paris, or is it", "c": "<think>Hm #"}
    assert not split_thinking(str(found["b"])).finished
    assert [asked.body.get("stop") for asked in server.asked] == [["#"], None, None]


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("Paris", 0), ("<think>a</think>Paris", 16), ("a</think>b", 9), ("<think>a", None), ("", 0),
        ("<think>a</think><think>b</think>c", 32), ("a <think> is a marker", 0), ("[THINK]a[/THINK]b", 16),
    ],
)  # fmt: skip
def test_where_the_text_begins(text: str, start: int | None) -> None:
    assert answer_start(text) == start


def test_a_text_to_continue_has_no_opened_thinking() -> None:
    module: Any = importlib.import_module("xlingual.plugins.models.openai.completion")
    request = ask("q", form=Form.TEXT)
    completion = module.read_body(answer("a b", chat=False).body, Form.TEXT, str)
    assert module.make_response(request, completion, (), None).text == "a b"
