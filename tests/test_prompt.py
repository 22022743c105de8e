"""Templates, demonstrations, and what gives way in a small context window."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlingual.errors import DataError, UsageError
from xlingual.prompt import Rendering, choose_template, fit, render
from xlingual.records import Demonstration, Form, ModelSpec, Prompt, Request, Role
from xlingual.wording import ask_question, ask_translation

MODEL = ModelSpec(
    word="m",
    backend="test",
    name="m",
    revision=None,
    fingerprint="f",
    dtype=None,
    template="chat",
    context_length=None,
    parent=None,
)
QUESTION = ask_question("en", context="Rome is old.", question="What is old?")
SHOT = Demonstration(id="s", prompt=ask_question("en", context="Tea is hot.", question="What is hot?"), answer="Tea")


def _rendering(template: str, *, window: int | None = None, new_tokens: int = 8, policy: str = "truncate") -> Rendering:
    model = replace(MODEL, context_length=window)
    return Rendering(model=model, template=template, stop=None, max_new_tokens=new_tokens, on_overflow=policy)


def _count(requests: Sequence[Request]) -> list[int]:
    return [sum(len(message.text) for message in request.messages) for request in requests]


def test_alpaca_wrapper_is_the_protocols() -> None:
    request = render(QUESTION, (), _rendering("alpaca"))
    assert request.form is Form.TEXT
    assert request.stop == ()
    assert request.messages[0].text == (
        "Below is an instruction that describes a task, paired with an input that provides further context. "
        "Write a response that appropriately completes the request.\n\n"
        "### Instruction:\nAnswer the final question with following context\n\n"
        "### Input:\nContext: Rome is old.\nQuestion: What is old?\nAnswer: \n\n"
        "### Response:"
    )


def test_raw_prompts_end_in_the_bare_cue_and_stop_at_a_line_break() -> None:
    request = render(QUESTION, (SHOT,), _rendering("raw"))
    assert request.stop == ("\n",)
    assert request.messages[0].text == (
        "Answer the final question with following context\n\n"
        "Context: Tea is hot.\nQuestion: What is hot?\nAnswer: Tea\n\n"
        "Context: Rome is old.\nQuestion: What is old?\nAnswer:"
    )


def test_raw_translations_are_answered_on_the_next_line() -> None:
    shot = Demonstration(id="s", prompt=ask_translation("en", "de", "Yes."), answer="Ja.")
    request = render(ask_translation("en", "de", "No."), (shot,), _rendering("raw"))
    assert request.messages[0].text.endswith("German.\n\nYes.\nJa.\n\nNo.\n")


def test_chat_shows_demonstrations_as_earlier_turns() -> None:
    request = render(QUESTION, (SHOT,), _rendering("chat"))
    assert request.form is Form.CHAT
    assert [message.role for message in request.messages] == [Role.USER, Role.ASSISTANT, Role.USER]
    assert request.messages[1].text == "Tea"
    assert request.messages[2].text == f"{QUESTION.instruction}\n\n{QUESTION.input}"


def test_auto_is_what_suits_the_model() -> None:
    assert choose_template("auto", MODEL) == "chat"
    assert choose_template("raw", MODEL) == "raw"


def test_keys_change_with_everything_that_can_change_the_answer() -> None:
    start = _rendering("raw")
    variants = [
        render(QUESTION, (), start),
        render(QUESTION, (), replace(start, template="alpaca")),
        render(QUESTION, (), replace(start, max_new_tokens=9)),
        render(QUESTION, (), replace(start, stop=("x",))),
        render(QUESTION, (), replace(start, model=replace(MODEL, fingerprint="g"))),
        render(QUESTION, (SHOT,), start),
        render(replace(QUESTION, passage="Rome is very old."), (), start),
    ]
    assert len({request.key for request in variants}) == len(variants)
    assert render(QUESTION, (), start).key == variants[0].key


@given(st.text(max_size=40), st.text(max_size=40))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_data_are_never_read_as_a_template(context: str, question: str) -> None:
    context, question = f"{{instruction}}{context}{{input}}", f"{question}{{{{7*7}}}}"
    prompt = ask_question("en", context=context, question=question)
    for template in ("alpaca", "chat", "raw"):
        text = render(prompt, (), _rendering(template)).messages[-1].text
        assert context in text
        assert question in text


def test_prompts_that_fit_are_left_alone() -> None:
    fitted = fit([QUESTION], (SHOT,), _rendering("raw", window=10_000), _count)[0]
    assert (fitted.shots_dropped, fitted.passage_cut, fitted.overflow) == (0, 0, False)
    assert fitted.request == render(QUESTION, (SHOT,), _rendering("raw", window=10_000))


def test_demonstrations_go_before_the_passage_is_cut() -> None:
    alone = _count([render(QUESTION, (), _rendering("raw"))])[0]
    with_one = _count([render(QUESTION, (SHOT,), _rendering("raw"))])[0]
    fitted = fit([QUESTION], (SHOT, SHOT), _rendering("raw", window=with_one + 8), _count)[0]
    assert (fitted.shots_dropped, fitted.passage_cut) == (1, 0)
    fitted = fit([QUESTION], (SHOT, SHOT), _rendering("raw", window=alone - 4 + 8), _count)[0]
    assert (fitted.shots_dropped, fitted.passage_cut) == (2, 4)
    assert "Context: Rome is \nQuestion: What is old?\nAnswer:" in fitted.request.messages[0].text


@given(st.integers(2, 400), st.integers(0, 60), st.integers(1, 60))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_whatever_the_lengths_the_question_and_the_cue_stay(window: int, passage: int, question: int) -> None:
    prompt = ask_question("en", context="p" * passage, question="q" * question)
    rendering = _rendering("raw", window=window, new_tokens=1, policy="skip")
    fitted = fit([prompt], (SHOT,), rendering, _count)[0]
    text = fitted.request.messages[0].text
    assert f"Question: {'q' * question}\nAnswer:" in text
    assert fitted.overflow or _count([fitted.request])[0] <= window - 1
    shortest = _count([render(replace(prompt, passage=prompt.passage[:1]), (), rendering)])[0]
    assert fitted.overflow == (shortest > window - 1)


@pytest.mark.parametrize("prompt", [QUESTION, ask_translation("en", "de", "A sentence that is not cut.")])
def test_a_fixed_part_that_does_not_fit_is_refused(prompt: Prompt) -> None:
    with pytest.raises(DataError) as caught:
        fit([prompt], (), _rendering("raw", window=30), _count)
    assert "the question alone is longer than 22 tokens" in str(caught.value)
    assert fit([prompt], (), _rendering("raw", window=30, policy="skip"), _count)[0].overflow


def test_the_policy_error_cuts_nothing() -> None:
    with pytest.raises(DataError, match="a prompt is longer than"):
        fit([QUESTION], (), _rendering("raw", window=60, policy="error"), _count)


def test_answers_longer_than_the_window_are_refused() -> None:
    with pytest.raises(UsageError) as caught:
        fit([QUESTION], (), _rendering("raw", window=8), _count)
    assert caught.value.where == "--max-new-tokens"
