"""What is learnt of conversations, by templates of many kinds: expectations by hand, and transformers' own mask.

In an expectation, what stands between ⟦ and ⟧ is learnt; each text is one row.
"""

import importlib
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from xlingual.errors import ModelError
from xlingual.plugin import LearntTurn
from xlingual.records import Failure, Form, Message, Request, Role
from xlingual.thinking import ThinkingMode
from xlingual.tune.chats import join_turns

from .chat_templates import (
    CHATML,
    DEFAULT_SYSTEM,
    ENDS_OTHERWISE,
    GEMMA,
    LLAMA,
    MARKED,
    MISTRAL,
    NO_LAST,
    SYSTEM_LAST,
    TEXT_ONLY,
    THINKS,
)

learnt: Any = importlib.import_module("xlingual.plugins.models.hf.tokens.learnt_turns")

SPECIAL = ("<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|head|>", "<|/head|>", "<|eot|>", "<turn>", "</turn>")
Chat = Sequence[tuple[str, str]]
TWO: Chat = (("user", "Hi"), ("assistant", "Hello."), ("user", "Bye"), ("assistant", "See you."))
SYSTEM: Chat = (("system", "Be brief."), *TWO)
THOUGHT: Chat = (
    ("user", "2+2?"), ("assistant", "<think>\nTwo and two.\n</think>\n\n4"),
    ("user", "2+3?"), ("assistant", "<think>\nTwo and three.\n</think>\n\n5"),
)  # fmt: skip


@cache
def tokenizer_of(template: str) -> PreTrainedTokenizerFast:
    """Bytes as tokens, and a pair of line breaks, or a full stop with one, as a token of its own."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trained.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=len(SPECIAL) + 256 + 1,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    trained.train_from_iterator(["\n\n", "\n\n"], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=trained, bos_token="<s>", eos_token="</s>")
    tokenizer.add_special_tokens({"additional_special_tokens": [AddedToken(each) for each in SPECIAL[2:]]})
    chat: Any = importlib.import_module("xlingual.plugins.models.hf.tokens.chat_template")
    tokenizer.chat_template = chat.choose_template(template, None).text
    return tokenizer


def ask(chat: Chat, place: int, mode: ThinkingMode | None) -> Request:
    messages = tuple(Message(role=Role(role), text=text) for role, text in chat[:place])
    return Request(key="", form=Form.CHAT, messages=messages, stop=(), max_new_tokens=1, thinking=mode)


def encode(template: str, chat: Chat, mode: ThinkingMode | None = None) -> list[LearntTurn | Failure]:
    tokenizer = tokenizer_of(template)
    places = [place for place, (role, _) in enumerate(chat) if role == "assistant"]
    requests, answers = [ask(chat, place, mode) for place in places], [chat[place][1] for place in places]
    return list(learnt.encode_turns(tokenizer, requests, answers, len(tokenizer)))


def turns_of(template: str, chat: Chat, mode: ThinkingMode | None = None) -> list[LearntTurn]:
    found = encode(template, chat, mode)
    assert all(isinstance(each, LearntTurn) for each in found), found
    return [each for each in found if isinstance(each, LearntTurn)]


def rows_of(template: str, chat: Chat, mode: ThinkingMode | None = None) -> list[str]:
    """The rows of a conversation as text, what is learnt between brackets."""
    tokenizer = tokenizer_of(template)
    texts = []
    for row in join_turns(turns_of(template, chat, mode)):
        text, place = "", 0
        for start, end in row.spans:
            given, said = tokenizer.decode(row.ids[place:start]), tokenizer.decode(row.ids[start:end])
            text += f"{given}⟦{said}⟧"
            place = end
        assert place == len(row.ids)
        texts.append(text)
    return texts


U, A, E = "<|im_start|>user\n", "<|im_start|>assistant\n", "<|im_end|>"
TABLE = [
    pytest.param(
        CHATML, TWO, None, [f"{U}Hi{E}\n{A}⟦Hello.{E}⟧\n{U}Bye{E}\n{A}⟦See you.{E}⟧"], id="ChatML"
    ),
    pytest.param(
        CHATML, SYSTEM, None,
        [f"<|im_start|>system\nBe brief.{E}\n{U}Hi{E}\n{A}⟦Hello.{E}⟧\n{U}Bye{E}\n{A}⟦See you.{E}⟧"],
        id="ChatML with a system turn",
    ),
    pytest.param(
        CHATML, (*TWO[:1], ("user", "Ho"), *TWO[1:2], ("assistant", "Yes?")), None,
        [f"{U}Hi{E}\n{U}Ho{E}\n{A}⟦Hello.{E}⟧\n{A}⟦Yes?{E}⟧"],
        id="the same role twice",
    ),
    pytest.param(
        DEFAULT_SYSTEM, TWO, None,
        [
            f"<|im_start|>system\nYou help. Today is 2024.{E}\n"
            f"{U}Hi{E}\n{A}⟦Hello.{E}⟧\n{U}Bye{E}\n{A}⟦See you.{E}⟧"
        ],
        id="a system prompt and a date of the template's own",
    ),
    pytest.param(
        LLAMA, SYSTEM, None,
        [
            "<s><|head|>system<|/head|>\n\nBe brief.<|eot|><|head|>user<|/head|>\n\nHi<|eot|>"
            "<|head|>assistant<|/head|>\n\n⟦Hello.<|eot|>⟧<|head|>user<|/head|>\n\nBye<|eot|>"
            "<|head|>assistant<|/head|>\n\n⟦See you.<|eot|>⟧"
        ],
        id="Llama 3",
    ),
    pytest.param(
        LLAMA, (("user", " Hi\n"), ("assistant", "\n Hello. ")), None,
        ["<s><|head|>user<|/head|>\n\nHi<|eot|><|head|>assistant<|/head|>\n\n⟦Hello.<|eot|>⟧"],
        id="Llama 3 trims",
    ),
    pytest.param(
        GEMMA, TWO, None,
        [
            "<s><turn>user\nHi</turn>\n<turn>model\n⟦Hello.</turn>⟧\n"
            "<turn>user\nBye</turn>\n<turn>model\n⟦See you.</turn>⟧"
        ],
        id="Gemma",
    ),
    pytest.param(
        MISTRAL, SYSTEM, None,
        ["<s>[INST] Be brief.\n\nHi [/INST]⟦ Hello.</s>⟧[INST] Bye [/INST]⟦ See you.</s>⟧"],
        id="Mistral puts a space before an answer",
    ),
    pytest.param(
        SYSTEM_LAST, SYSTEM, None,
        [
            "<s>[INST] Be brief.\n\nHi[/INST]⟦ Hello.</s>⟧",
            "<s>[INST] Hi[/INST] Hello.</s>[INST] Be brief.\n\nBye[/INST]⟦ See you.</s>⟧",
        ],
        id="the system message stands before the last question",
    ),
    pytest.param(
        THINKS, TWO, None,
        [
            f"{U}Hi{E}\n{A}⟦<think>\n\n</think>\n\nHello.{E}⟧",
            f"{U}Hi{E}\n{A}Hello.{E}\n{U}Bye{E}\n{A}⟦<think>\n\n</think>\n\nSee you.{E}⟧",
        ],
        id="Qwen 3, as its template has it",
    ),
    pytest.param(
        THINKS, TWO, ThinkingMode.OFF,
        [
            f"{U}Hi{E}\n{A}<think>\n\n</think>\n\n⟦Hello.{E}⟧",
            f"{U}Hi{E}\n{A}Hello.{E}\n{U}Bye{E}\n{A}<think>\n\n</think>\n\n⟦See you.{E}⟧",
        ],
        id="Qwen 3, not thinking",
    ),
    pytest.param(
        THINKS, THOUGHT, ThinkingMode.ON,
        [
            f"{U}2+2?{E}\n{A}⟦<think>\nTwo and two.\n</think>\n\n4{E}⟧",
            f"{U}2+2?{E}\n{A}4{E}\n{U}2+3?{E}\n{A}⟦<think>\nTwo and three.\n</think>\n\n5{E}⟧",
        ],
        id="Qwen 3, thinking: earlier thoughts are stripped",
    ),
    pytest.param(
        THINKS, (("user", "2+2?"), ("assistant", "<think>Two and two.</think>4")), None,
        [f"{U}2+2?{E}\n{A}⟦<think>\nTwo and two.\n</think>\n\n4{E}⟧"],
        id="a thought is set anew by the template",
    ),
    pytest.param(
        MARKED, TWO, None, [f"{U}Hi{E}\n{A}⟦Hello.{E}\n⟧{U}Bye{E}\n{A}⟦See you.{E}\n⟧"], id="generation blocks"
    ),
    pytest.param(
        NO_LAST, TWO, None, [f"{U}Hi{E}\n{A}⟦Hello.{E}⟧\n{U}Bye{E}\n{A}⟦See you.{E}⟧"], id="the user must speak last"
    ),
    pytest.param(
        ENDS_OTHERWISE, TWO, None,
        [
            "<|head|>user<|/head|>Hi<|eot|><|head|>assistant⟦<|/head|>Hello.<|im_end|>⟧",
            "<|head|>user<|/head|>Hi<|eot|><|head|>assistant<|/head|>Hello.<|eot|><|head|>user<|/head|>Bye<|eot|>"
            "<|head|>assistant⟦<|/head|>See you.<|im_end|>⟧",
        ],
        id="an earlier turn ends otherwise than the last",
    ),
    pytest.param(
        TEXT_ONLY, TWO, None,
        [
            "### user:\nHi\n\n### assistant:\n⟦Hello.</s>⟧",
            "### user:\nHi\n\n### assistant:\nHello.\n\n### user:\nBye\n\n### assistant:\n⟦See you.</s>⟧",
        ],
        id="a turn that ends with text",
    ),
    pytest.param(
        CHATML, (("user", "Hi"), ("assistant", "\nHello."), ("user", "Bye"), ("assistant", "See you.")), None,
        [
            f"{U}Hi{E}\n{A}⟦\nHello.{E}⟧",
            f"{U}Hi{E}\n{A}\nHello.{E}\n{U}Bye{E}\n{A}⟦See you.{E}⟧",
        ],
        id="tokens merge at the border: what the model reads before the second answer is not what it said",
    ),
    pytest.param(
        CHATML, (("user", "e"), ("assistant", "e"), ("user", "end"), ("assistant", "im_end")), None,
        [f"{U}e{E}\n{A}⟦e{E}⟧\n{U}end{E}\n{A}⟦im_end{E}⟧"],
        id="an answer that stands in the name of its end",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("template", "chat", "mode", "expected"), TABLE)
def test_rows_by_hand(template: str, chat: Chat, mode: ThinkingMode | None, expected: list[str]) -> None:
    assert rows_of(template, chat, mode) == expected


@pytest.mark.parametrize(("template", "chat", "mode", "expected"), TABLE)
def test_each_answer_stands_behind_the_prompt_of_evaluation(
    template: str, chat: Chat, mode: ThinkingMode | None, expected: list[str]
) -> None:
    """Turn by turn: up to the answer, a row has the tokens that `answer` reads for the chat before it."""
    rendering: Any = importlib.import_module("xlingual.plugins.models.hf.tokens.rendering")
    tokenizer = tokenizer_of(template)
    places = [place for place, (role, _) in enumerate(chat) if role == "assistant"]
    requests = [ask(chat, place, mode) for place in places]
    prompts = [tuple(each.ids) for each in rendering.render_each(tokenizer, requests, len(tokenizer))]
    turns = turns_of(template, chat, mode)
    assert [turn.ids[: turn.start] for turn in turns] == prompts
    # Of the rows, whose answers share tokens, the same holds for each span.
    spans = [(row.ids[:start], row.ids[:end]) for row in join_turns(turns) for start, end in row.spans]
    assert sorted(spans) == sorted(zip(prompts, [turn.ids for turn in turns], strict=True))


@pytest.mark.parametrize("chat", [TWO, SYSTEM, (*TWO, ("user", "What?"), ("assistant", "Nothing\n\nat all.\n"))])
def test_generation_blocks_are_learnt_as_transformers_masks_them(chat: Chat) -> None:
    tokenizer = tokenizer_of(MARKED)
    messages = [{"role": role, "content": text} for role, text in chat]
    found: Any = tokenizer.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
    [row] = join_turns(turns_of(MARKED, chat))
    mask = [int(any(start <= place < end for start, end in row.spans)) for place in range(len(row.ids))]
    assert (list(row.ids), mask) == (found["input_ids"], found["assistant_masks"])
    assert 0 < sum(mask) < len(mask)


@pytest.mark.parametrize("template", [CHATML, LLAMA, GEMMA, MISTRAL])
def test_a_whole_conversation_is_what_the_template_renders(template: str) -> None:
    """A row is the chat as the template has it, up to the end of the last turn."""
    tokenizer = tokenizer_of(template)
    messages = [{"role": role, "content": text} for role, text in TWO]
    whole: Any = tokenizer.apply_chat_template(messages, return_dict=True)["input_ids"]
    [row] = join_turns(turns_of(template, TWO))
    assert list(row.ids) == whole[: len(row.ids)]
    assert tokenizer.decode(whole[len(row.ids) :]).strip() == ""


def test_one_answer_is_learnt_as_an_instruction_is() -> None:
    """A conversation of one question and its answer is the row that the Alpaca reader has of it."""
    rendering: Any = importlib.import_module("xlingual.plugins.models.hf.tokens.rendering")
    tokenizer = tokenizer_of(CHATML)
    [turn] = turns_of(CHATML, TWO[:2])
    end = learnt.learnt_end(tokenizer, len(tokenizer)).token
    [answer] = rendering.encode_answers(tokenizer, ["Hello."], (), end=end)
    assert turn.ids[turn.start :] == answer
    assert tokenizer.decode(turn.ids[-1]) == E


REFUSED = [
    pytest.param(
        CHATML.replace("<|im_start|>assistant\n' }}{%- endif", "<|im_start|>assistant\n<think>\n' }}{%- endif"),
        r"the chat with the answer 'Wisla\.' does not begin with its prompt",
        id="the prompt opens a thought that the answer has not",
    ),
    pytest.param(
        CHATML.replace("message.content", "message.content | upper"),
        "the chat template leaves the question out",
        id="upper case",
    ),
    pytest.param(
        CHATML.replace("message.content ~", "(message.content | upper if loop.index == 2 else message.content) ~"),
        r"the rendered chat has the answer 'Wisla\.' without it as it is",
        id="the answer is changed",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("template", "reason"), REFUSED)
def test_a_template_whose_answers_cannot_be_told_is_refused(template: str, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        encode(template, TWO)


def test_generation_blocks_that_leave_the_end_out_are_refused() -> None:
    without = MARKED.replace(
        "{%- generation %}{{- message.content ~ '<|im_end|>\n' }}{%- endgeneration %}",
        "{%- generation %}{{- message.content }}{%- endgeneration %}{{- '<|im_end|>\n' }}",
    )
    assert without != MARKED
    with pytest.raises(ModelError, match="its generation blocks leave out the end of an answer's turn"):
        encode(without, TWO)


@pytest.mark.parametrize(
    ("template", "chat", "mode", "reason"),
    [
        (GEMMA, SYSTEM, None, "there is no system role"),
        (GEMMA, (TWO[0], TWO[0], TWO[1]), None, "user and assistant must take turns"),
        (THINKS, THOUGHT, ThinkingMode.OFF, "does not begin with its prompt"),
        (CHATML, (("user", "Hi"), ("assistant", "Hello.<|im_end|>\n")), None, "holds <|im_end|>, which ends a turn"),
        (
            MISTRAL,
            (*TWO, ("system", "Stop."), ("user", "Hm"), ("assistant", "Hm.")),
            None,
            "leaves the system message out",
        ),
    ],
)
def test_a_conversation_that_the_template_does_not_take_is_a_failure(
    template: str, chat: Chat, mode: ThinkingMode | None, reason: str
) -> None:
    """The template can be learnt, so it is the row that is named."""
    failures = [each for each in encode(template, chat, mode) if isinstance(each, Failure)]
    assert failures
    assert reason in failures[0].message


@pytest.mark.parametrize("last", [("system", ""), ("system", "Stop."), ("user", " ")])
@pytest.mark.parametrize("template", [GEMMA, MISTRAL, SYSTEM_LAST, THINKS, MARKED])
def test_no_odd_last_message_is_a_bug(template: str, last: tuple[str, str]) -> None:
    """Whatever stands before the answer, it is learnt or a Failure."""
    for mode in (None, ThinkingMode.OFF) if template == THINKS else (None,):
        answer = "<think>Hm</think>Yes." if template == THINKS else "Yes."
        found = encode(template, (TWO[0], TWO[1], last, ("assistant", answer)), mode)
        assert len(found) == 2
        assert isinstance(found[0], LearntTurn | Failure)


def test_thinking_that_a_template_has_no_switch_for_is_refused() -> None:
    with pytest.raises(ModelError, match="the chat template has no switch for the thinking"):
        encode(CHATML, TWO, ThinkingMode.OFF)
