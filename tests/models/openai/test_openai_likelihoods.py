"""Choices through servers: the log-likelihood of each, of all of its tokens and of none before them."""

import importlib
from collections.abc import Sequence
from typing import Any

import pytest

from xlingual.errors import ModelError
from xlingual.plugin import Model, ModelOptions
from xlingual.records import Choice, Form, Message, Request, Response, Role
from xlingual.registry import MODELS

from ..fault_server import Asked, FaultServer, Reply, answer, document, error, serve

pytest.importorskip("openai", reason="needs the extra `openai`")
CHOICES = (" Paris", " Rome the city", " Bonn")


@pytest.fixture(autouse=True)
def no_openai_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def ask(text: str, *, form: Form = Form.TEXT, choices: Sequence[str] | None = CHOICES, before: str = "") -> Request:
    found = None if choices is None else tuple(Choice(text=each, before=before) for each in choices)
    message = Message(role=Role.USER, text=text)
    most = 0 if choices else 5
    return Request(key=text, form=form, messages=(message,), stop=(), max_new_tokens=most, choices=found)


def opened(server: FaultServer) -> Model:
    return MODELS.get("openai")(f"m@{server.url}", ModelOptions())


def tokens_of(text: str) -> list[str]:
    """A token a word, each with the space before it; a space at the very end stands alone."""
    words = text.split(" ")
    return [word for word in [words[0], *(f" {each}" for each in words[1:])] if word]


def logarithm(token: str) -> float:
    return -float(len(token)) - (0.5 if token.strip() == "Rome" else 0.0)


def echoed(asked: Asked, *, begin: Sequence[str] = (), with_top: bool = True) -> Reply:
    """Answer as vLLM does: the tokens of the prompt, then one that is generated."""
    tokens = [*begin, *tokens_of(asked.prompt), " next"]
    values = [None, *(logarithm(token) for token in tokens[1:])]
    offsets = [sum(map(len, tokens[:place])) for place in range(len(tokens))]
    # Another word is likelier than the fourth letter-pair of "Bonn" only.
    tops = [None, *({"other": -0.1 if "Bonn" in token else -99.0, token: logarithm(token)} for token in tokens[1:])]
    found = {
        "tokens": tokens,
        "token_logprobs": values,
        "text_offset": offsets,
        "top_logprobs": tops if with_top else None,
    }
    choice = {"text": "".join(tokens), "logprobs": found, "finish_reason": "length"}
    return document({"choices": [choice], "usage": {"prompt_tokens": len(tokens) - 1, "completion_tokens": 1}})


def test_each_choice_has_the_sum_of_its_tokens() -> None:
    with serve(echoed) as server:
        [response] = opened(server).answer([ask("The capital of France is")])
    assert response.likelihoods is not None
    assert [each.logarithm for each in response.likelihoods] == [-6.0, -5.5 - 4.0 - 5.0, -5.0]
    assert [each.tokens for each in response.likelihoods] == [1, 3, 1]
    assert [each.is_greedy for each in response.likelihoods] == [True, True, False]
    assert (response.text, response.failure, response.tokens) == (None, None, None)
    body = server.asked[0].body
    assert server.asked[0].path == "/v1/completions"
    assert body["prompt"] == "The capital of France is Paris"
    assert (body["echo"], body["logprobs"], body["max_tokens"], body["temperature"]) == (True, 1, 1, 0.0)


@pytest.mark.parametrize("begin", [(), ("<s>",), ("<|begin_of_text|>", "")])
def test_the_boundary_is_found_whatever_stands_before_the_prompt(begin: tuple[str, ...]) -> None:
    """A token that begins with the space before the choice is the choice's first."""
    requests = [
        ask("The capital is ", choices=("Paris", "Rome")),
        ask("So", before=" it is", choices=(" Paris", " Rome")),
    ]
    with serve(lambda asked: echoed(asked, begin=begin, with_top=False)) as server:
        for response in opened(server).answer(requests):
            assert response.likelihoods is not None
            assert [each.logarithm for each in response.likelihoods] == [-6.0, -5.5]
            assert [each.is_greedy for each in response.likelihoods] == [None, None]


def test_tokens_without_texts_have_the_servers_offsets() -> None:
    """Parts of characters are shown as anything; the choice is 中."""
    found = {"tokens": ["A", "bytes:\\xe4", "bytes:\\xb8\\xad", "x"], "token_logprobs": [None, -1.0, -2.0, -4.0],
             "text_offset": [0, 1, 1, 2], "top_logprobs": None}  # fmt: skip
    tokens = part("likelihoods").read_echo({"choices": [{"logprobs": found}]})
    assert part("likelihoods").likelihood_of(tokens, "A中", 1).logarithm == -3.0


@pytest.mark.parametrize("lacking", [None, float("nan"), float("-inf"), "-2.0", True])
def test_a_token_without_a_likelihood_makes_no_choice_likelier(lacking: object) -> None:
    tokens = ["A", " b", " c"]
    echo = {"choices": [{"logprobs": {"tokens": tokens, "token_logprobs": [None, -1.0, lacking]}}]}
    rows = [None, *({"1": {"logprob": each, "decoded_token": " b"}} for each in (-1.0, lacking))]
    module = part("likelihoods")
    assert module.likelihood_of(module.read_echo(echo), "A b c", 1) is None
    assert module.likelihood_of(module.read_echo(echo), "A b", 1).logarithm == -1.0
    assert module.last_likelihood(module.read_prompt_logprobs({"prompt_logprobs": rows}), "b b") is None


def part(name: str) -> Any:  # noqa: ANN401 - a module of the plugin, which is none of the public names
    return importlib.import_module(f"xlingual.plugins.models.openai.{name}")


def prompt_logprobs(asked: Asked) -> Reply:
    """Answer a chat as vLLM does: every token of the template with its rank."""
    if "prompt_logprobs" not in asked.body:
        return answer("yes")
    rendered = [
        "<s>",
        "<user>",
        *tokens_of(asked.body["messages"][0]["content"]),
        "<assistant>",
        *tokens_of(asked.prompt.strip()),
    ]
    rows: list[Any] = [None]
    for place, token in enumerate(rendered[1:]):
        entry = {"logprob": logarithm(token), "rank": 2 if "Bonn" in token else 1, "decoded_token": token}
        rows.append({str(place): entry})
    return document({"choices": [{"message": {"content": ""}, "finish_reason": "length"}], "prompt_logprobs": rows})


def test_chats_are_scored_as_the_beginning_of_the_assistants_turn() -> None:
    with serve(prompt_logprobs) as server:
        [response] = opened(server).answer([ask("Which city? Paris", form=Form.CHAT)])
    assert response.likelihoods is not None
    assert [each.logarithm for each in response.likelihoods] == [-5.0, -4.5 - 4.0 - 5.0, -4.0]
    assert [each.is_greedy for each in response.likelihoods] == [True, True, False]
    assert [each["role"] for each in server.asked[0].body["messages"]] == ["user", "assistant"]
    assert server.asked[0].body["continue_final_message"] is True
    assert server.asked[0].body["add_generation_prompt"] is False


@pytest.mark.parametrize(
    ("text", "before", "choices"),
    [("Q: ", "", ("中国", "日")), ("Q:", " ", ("中国", "日")), ("Q:", "", (" 中国", " 日")), ("Q\n\n", "", ("中",))],
)
def test_the_space_before_a_choice_counts_where_it_is_a_token_of_its_own(
    text: str, before: str, choices: tuple[str, ...]
) -> None:
    """As with lm-eval and our own models; here every character is a token of -1."""

    def script(asked: Asked) -> Reply:
        tokens = [*asked.prompt, "x"]
        found = {"tokens": tokens, "token_logprobs": [None, *([-1.0] * (len(tokens) - 1))]}
        return document({"choices": [{"text": "", "logprobs": found}]})

    with serve(script) as server:
        [response] = opened(server).answer([ask(text, before=before, choices=choices)])
    whole = [text + before + each for each in choices]
    assert response.likelihoods is not None
    assert [each.tokens for each in response.likelihoods] == [len(each) - len(text.rstrip()) for each in whole]


@pytest.mark.parametrize("parts", [("中",), ("", "", "中"), ("中", "国"), ("", "中", "", "国")])
@pytest.mark.parametrize("space", [(), ("\n",), ("\n", "\n"), (" ",)])
def test_so_does_the_line_break_between_a_role_and_the_choice(parts: tuple[str, ...], space: tuple[str, ...]) -> None:
    """vLLM shows the parts of a character as nothing and the last as the whole."""
    texts = ["<s>", "Q 中", "<assistant>", *space, *parts]
    rows: list[Any] = [None, *({"0": {"logprob": -1.0, "rank": 1, "decoded_token": each}} for each in texts[1:])]
    tokens = part("likelihoods").read_prompt_logprobs({"prompt_logprobs": rows})
    assert part("likelihoods").last_likelihood(tokens, "".join(parts)).tokens == len(space) + len(parts)


CANNOT: dict[str, Reply] = {
    "echo is refused": error(400, "echo is not supported with logprobs"),
    "no such address": error(404, "not found"),
    "an answer without": answer("yes", chat=False),
    "an answer of another form": document({"choices": [{"text": "a", "logprobs": {"content": []}}]}),
    "only what was generated": document(
        {"choices": [{"text": "a", "logprobs": {"tokens": [" a"], "token_logprobs": [-1.0], "text_offset": [0]}}]}
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize("how", CANNOT)
def test_a_server_that_cannot_score_is_found_out_before_anything_else_is_asked(how: str, form: Form) -> None:
    requests = [*(ask(f"{number}", form=form, choices=None) for number in range(20)), ask("q", form=form)]
    with serve(lambda _: CANNOT[how]) as server:
        with pytest.raises(ModelError, match="gives no log-likelihoods of choices") as caught:
            list(opened(server).answer(requests))
        assert len(server.asked) == 1
    assert ("--template raw" in caught.value.hint) == (form is Form.CHAT)


def test_a_failure_of_one_sample_is_its_own() -> None:
    def script(asked: Asked) -> Reply:
        if "long" in asked.prompt:
            return error(400, "This model's maximum context length is 5 tokens, your request has 9 input tokens")
        return error(500) if "broken" in asked.prompt else echoed(asked)

    with serve(script) as server:
        model: Any = opened(server)
        model.limits = part("pacing").RateLimits(attempts=2, backoff_seconds=0.01)
        found: dict[str, Response] = {
            each.key: each for each in model.answer([ask(t) for t in ("long", "a", "broken")])
        }
    assert found["a"].likelihoods is not None
    kinds = {key: each.failure.kind for key, each in found.items() if each.failure is not None}
    assert kinds == {"long": "prompt too long", "broken": "HTTP 500"}
