"""Chat templates of many kinds: which one, on which day, in which form, and what ends a turn."""

import json
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.utils import chat_template_utils

from xlingual.errors import ModelError, UsageError
from xlingual.plugin import ModelOptions, Trainable
from xlingual.records import Failure, Finish, Form, Message, Request, Role
from xlingual.registry import MODELS

MakeRequest = Callable[..., Request]
CUE = "{% if add_generation_prompt %}<|assistant|>{% endif %}"
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\\n' + m['content'] | trim "
    "+ '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)
LLAMA3 = (
    "{% for m in messages %}{% set content = '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n'"
    "+ m['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}"
    "{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}"
    "{% endif %}"
)
LLAMA2 = (
    "{% for m in messages %}{% if m.role == 'user' %}{{ bos_token + '[INST] ' + m.content + ' [/INST]' }}"
    "{% elif m.role == 'assistant' %}{{ ' ' + m.content + ' ' + eos_token }}{% endif %}{% endfor %}"
)
HARMONY = (
    "{% for m in messages %}{% if m.role == 'assistant' %}<|start|>assistant<|channel|>final<|message|>{{ m.content }}"
    "{% if loop.last and not add_generation_prompt %}<|return|>{% else %}<|end|>{% endif %}"
    "{% else %}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)
THINKS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)
NO_LAST = (
    "{% if messages[-1].role == 'assistant' %}{{ raise_exception('the last message must be by the user') }}{% endif %}"
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% if m.role == 'assistant' %}<|eot|>{% endif %}{% endfor %}"
)
PARTS = (
    "{% for m in messages %}<|{{ m.role }}|>{% for part in m['content'] %}{{ part['text'] }}{% endfor %}<|eot|>"
    "{% endfor %}"
) + CUE
TEXT_ONLY = "{% for m in messages %}### {{ m.role }}:\n{{ m.content }}\n\n{% endfor %}### assistant:\n"
NEXT_TURN = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}" + CUE
NEEDS_SYSTEM = (
    "{% if messages[0].role != 'system' %}{{ raise_exception('a system message first') }}{% endif %}"
    "{% for m in messages %}{{ m.content }}<|eot|>{% endfor %}"
)
EXTRA = ("<|im_start|>", "<|im_end|>", "<start_of_turn>", "<end_of_turn>", "<|start_header_id|>", "<|end_header_id|>",
         "<|eot_id|>", "<|eot|>", "<|return|>", "<|end|>", "<|start|>", "<|message|>", "<|channel|>",
         "<|im_end|><|eot|>", "\n\n")  # fmt: skip


@pytest.fixture
def copy(tiny_llama: Path, tmp_path: Path) -> Path:
    """The tiny Llama with room in its vocabulary for the markers of all templates."""
    folder = Path(shutil.copytree(tiny_llama, tmp_path / "copy"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(list(EXTRA[:7]), special_tokens=True)
    tokenizer.add_tokens(list(EXTRA[7:]))
    tokenizer.save_pretrained(folder)
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "vocab_size": 400}))
    return folder


def open_with(folder: Path, template: object, **options: Any) -> Any:  # noqa: ANN401 - of the plugin
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": template}))
    return MODELS.get("hf")(str(folder), ModelOptions(device="cpu", **options))


def end_tokens(model: Any) -> list[str]:  # noqa: ANN401 - of the plugin
    return sorted(model.spec.details["end tokens"].split(", "))


@pytest.mark.parametrize(
    ("template", "ends", "learnt"),
    [
        (CHATML, ["<|im_end|>"], "<|im_end|>"),
        (GEMMA, ["<end_of_turn>"], "<end_of_turn>"),
        (LLAMA3, ["<|eot_id|>"], "<|eot_id|>"),
        (LLAMA2, [], "</s>"),
        (HARMONY, ["<|return|>"], "<|return|>"),
        (THINKS, ["<|im_end|>"], "<|im_end|>"),
        (NO_LAST, ["<|eot|>"], "<|eot|>"),
        (PARTS, ["<|eot|>"], "<|eot|>"),
        (NEEDS_SYSTEM, ["<|eot|>"], "<|eot|>"),
        (TEXT_ONLY, [], "</s>"),
        (NEXT_TURN, ["<|user|>"], "</s>"),
        ("{% for m in messages %}{{ m.content }}{% endfor %}", [], "</s>"),
        ("{% for m in messages %}{{ m.content }}\n\n<|eot|>{% endfor %}", ["<|eot|>"], "<|eot|>"),
        ("{% for m in messages %}{{ m.content }}<s>{% endfor %}", [], "</s>"),
        ("{{ raise_exception('never') }}", [], "</s>"),
        ("{% for %}", [], "</s>"),
        ("{{ ''.__class__.__mro__ }}", [], "</s>"),
    ],
)
def test_what_ends_a_turn_ends_answers_and_is_learnt(copy: Path, template: str, ends: list[str], learnt: str) -> None:
    model = open_with(copy, template)
    assert end_tokens(model) == sorted(["</s>", *ends])
    assert isinstance(model, Trainable)
    assert model.text_of(model.answer_ids(["Wisla"])[0]).endswith(f"Wisla{learnt}")


def test_an_answer_ends_where_its_turn_does(tiny_llama: Path, tmp_path: Path, text_request: MakeRequest) -> None:
    """A model whose tokenizer ends with `</s>` says `<|eot|>`: whatever token it says first takes its place here."""
    request = text_request("Where does the fox run?", form=Form.CHAT, max_new_tokens=40)
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    [prompt] = MODELS.get("hf")(str(tiny_llama), ModelOptions(device="cpu")).prompt_ids([request])  # type: ignore[attr-defined]  # Trainable
    model = AutoModelForCausalLM.from_pretrained(tiny_llama)
    model.generation_config = GenerationConfig()
    whole = model.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=40, pad_token_id=0)
    said = whole[0, len(prompt) :].tolist()
    end = next(each for each in said[3:] if each > 10 and each not in said[:3] and each not in prompt)
    name = tokenizer.convert_ids_to_tokens(end)
    folder = Path(shutil.copytree(tiny_llama, tmp_path / "copy"))
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    token = {"id": end, "content": name, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    content["added_tokens"].append({**token, "special": True})
    path.write_text(json.dumps(content))
    for engine in ("packed", "static", "paged"):
        opened = open_with(
            folder, "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}"
            f"{{% if m.role == 'assistant' %}}{name}{{% else %}}</s>{{% endif %}}{{% endfor %}}{CUE}", engine=engine,
        )  # fmt: skip
        [found] = opened.answer([request])
        assert found.finish is Finish.EOS
        assert found.tokens == said.index(end)


def test_a_tuned_model_with_another_template_learns_the_tokenizers_end(copy: Path) -> None:
    (copy / "provenance.json").write_text(json.dumps({"template": "alpaca", "parent": "org/base"}))
    model = open_with(copy, CHATML)
    assert model.text_of(model.answer_ids(["Wisla"])[0]).endswith("</s>")


@pytest.mark.parametrize(
    ("template", "shown", "date"),
    [
        ("{{ strftime_now('%d %B %Y') }}", "26 July 2024", "2024-07-26"),
        ("{{ strftime_now('%Y-%m-%d') }}", "2024-07-26", "2024-07-26"),
        ("{{ strftime_now(\"%A, %-d %b '%y, 100%%d\") }}", "Friday, 26 Jul '24, 100%d", "2024-07-26"),
        ("{% set f = '%B ' ~ '%d, %Y' %}{{ strftime_now(f) }}", "July 26, 2024", "2024-07-26"),
        ("{% if strftime_now is defined %}{{ strftime_now('%H:%M %j') }}{% endif %}", "00:00 208", "2024-07-26"),
        ("{%- if not date_string is defined %}{%- set date_string = '01 Dec 2025' %}{%- endif %}{{ date_string }}",
         "01 Dec 2025", "2025-12-01"),
        ("{%- if not date_string is defined %}{%- if strftime_now is defined %}"
         "{%- set date_string = strftime_now('%d %b %Y') %}{%- else %}{%- set date_string = '26 Jul 2023' %}{% endif %}"
         "{%- endif %}{{ date_string }}", "26 Jul 2023", "2023-07-26"),
        ("{% macro day() %}{{ strftime_now('%d') }}{% endmacro %}{{ day() }}", "26", "2024-07-26"),
        ("\n  {{ strftime_now('%d') }}", "\n  26", "2024-07-26"),
        ("  {% if true %}{{ strftime_now('%d') }}{% endif %}", "26", "2024-07-26"),
        ("Today.", "Today.", None),
    ],
)  # fmt: skip
def test_today_is_the_same_day_every_day(
    copy: Path, text_request: MakeRequest, monkeypatch: pytest.MonkeyPatch, template: str, shown: str, date: str | None
) -> None:
    seen = set()
    for year in (2025, 2031):

        class Clock(datetime):
            @classmethod
            def now(cls, tz: object = None, year: int = year) -> "Clock":
                return cls(year, 3, 4)

        monkeypatch.setattr(chat_template_utils, "datetime", Clock)
        model = open_with(copy, template + "|{{ messages[0]['content'] }}")
        ids = model.prompt_ids([text_request("fox", form=Form.CHAT)])[0]
        seen.add((model.text_of(ids), model.spec.fingerprint, model.spec.details.get("date in the chat template")))
    [(text, _, recorded)] = seen
    assert (text, recorded) == (f"{shown}|fox", date)


@pytest.mark.parametrize("template", [5, [{"name": "a"}], ["x"], {"a": 5}])
def test_a_template_that_is_no_text(copy: Path, text_request: MakeRequest, template: object) -> None:
    with pytest.raises(ModelError):
        open_with(copy, template).count_tokens([text_request("fox", form=Form.CHAT)])


SEVERAL = {"tool_use": "T" + NEXT_TURN, "rag": "R" + NEXT_TURN}


def test_of_several_chat_templates_one_is_chosen(copy: Path, text_request: MakeRequest) -> None:
    request = text_request("fox", form=Form.CHAT)
    undecided = open_with(copy, SEVERAL)
    with pytest.raises(ModelError, match="rag, tool_use") as caught:
        undecided.count_tokens([request])
    assert "--template rag" in caught.value.hint
    assert undecided.count_tokens([text_request("fox")]) == [2], "a text needs no chat template"
    rag, tool = (open_with(copy, SEVERAL, chat_template=name) for name in ("rag", "tool_use"))
    assert [each.text_of(each.prompt_ids([request])[0])[0] for each in (rag, tool)] == ["R", "T"]
    assert rag.spec.details["chat template"] == "rag"
    assert len({each.spec.fingerprint for each in (undecided, rag, tool)}) == 3
    with pytest.raises(UsageError) as wrong:
        open_with(copy, SEVERAL, chat_template="rug")
    assert "rag" in wrong.value.hint
    assert wrong.value.where == "--template"


def test_the_default_is_used_where_there_is_one(copy: Path, text_request: MakeRequest) -> None:
    request = text_request("fox", form=Form.CHAT)
    forms: list[object] = [
        {**SEVERAL, "default": NEXT_TURN},
        [{"name": name, "template": text} for name, text in {**SEVERAL, "default": NEXT_TURN}.items()],
    ]
    for form in forms:
        model = open_with(copy, form)
        assert model.text_of(model.prompt_ids([request])[0]) == "<|user|>fox<|assistant|>"
        assert open_with(copy, form, chat_template="default").spec.fingerprint == model.spec.fingerprint
        assert open_with(copy, form, chat_template="rag").spec.fingerprint != model.spec.fingerprint
    only = open_with(copy, {"rag": SEVERAL["rag"]})
    assert only.text_of(only.prompt_ids([request])[0])[0] == "R"


def test_templates_in_files_of_their_own(copy: Path, text_request: MakeRequest) -> None:
    open_with(copy, None)
    (copy / "additional_chat_templates").mkdir()
    for name, text in SEVERAL.items():
        (copy / "additional_chat_templates" / f"{name}.jinja").write_text(text)
    options = ModelOptions(device="cpu")
    with pytest.raises(ModelError, match="rag, tool_use"):
        MODELS.get("hf")(str(copy), options).count_tokens([text_request("fox", form=Form.CHAT)])
    (copy / "chat_template.jinja").write_text(NEXT_TURN)
    assert MODELS.get("hf")(str(copy), options).count_tokens([text_request("fox", form=Form.CHAT)]) == [4]


@pytest.mark.parametrize("template", [None, NEXT_TURN])
def test_a_name_where_there_is_nothing_to_choose(copy: Path, template: str | None) -> None:
    with pytest.raises(UsageError, match="chat template") as caught:
        open_with(copy, template, chat_template="rag")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (PARTS, "<|user|>a fox<|eot|><|assistant|>"),
        ("{% for m in messages %}{% for part in m.content %}{% if part.type == 'text' %}{{ part.text }}{% endif %}"
         "{% endfor %}{% endfor %}", "a fox"),
        ("{% for m in messages %}{{ m.content[0].text }}{% endfor %}", "a fox"),
        ("{% for m in messages %}{{ m.content[0]['text'] + '!' }}{% endfor %}", "a fox!"),
        ("{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}parts{% endif %}{% endfor %}",
         "a fox"),
        ("{{ messages | tojson }}", '[{"role": "user", "content": "a fox"}]'),
        ("{% for m in messages %}{{ m.content | trim }}{% endfor %}", "a fox"),
        ("{% for m in messages %}{{ m.content.split() | join('  ') }}{% endfor %}", "a  fox"),
    ],
)  # fmt: skip
def test_a_template_gets_messages_in_the_form_that_it_reads(
    copy: Path, text_request: MakeRequest, template: str, expected: str
) -> None:
    model = open_with(copy, template)
    assert model.text_of(model.prompt_ids([text_request("a fox", form=Form.CHAT)])[0]) == expected


def test_a_system_text_beside_parts(copy: Path) -> None:
    template = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}|{% else %}{% for part in m.content %}"
        "{{ part.text }}{% endfor %}{% endif %}{% endfor %}"
    )
    messages = (Message(role=Role.SYSTEM, text="Be brief."), Message(role=Role.USER, text="a fox"))
    request = Request(key="", form=Form.CHAT, messages=messages, stop=(), max_new_tokens=1)
    model = open_with(copy, template)
    assert model.text_of(model.prompt_ids([request])[0]) == "Be brief.|a fox"


@pytest.mark.parametrize(
    "template", ["Hello.", "{{ messages[0].role }}", "{% for m in messages %}{{ m.text }}{% endfor %}",
                 "{% for m in messages %}{{ m.content[:3] }}{% endfor %}"]
)  # fmt: skip
def test_a_chat_without_its_question_is_never_asked(copy: Path, text_request: MakeRequest, template: str) -> None:
    with pytest.raises(ModelError, match="leaves the question out") as caught:
        open_with(copy, template).count_tokens([text_request("Where does the fox run?", form=Form.CHAT)])
    assert caught.value.exit_code == 3
    assert "raw" in caught.value.hint


def test_a_system_message_is_not_dropped_in_silence(copy: Path) -> None:
    template = "{% for m in messages %}{% if m.role != 'system' %}{{ m.content }}{% endif %}{% endfor %}"
    messages = (Message(role=Role.SYSTEM, text="Be brief."), Message(role=Role.USER, text="a fox"))
    request = Request(key="", form=Form.CHAT, messages=messages, stop=(), max_new_tokens=1)
    with pytest.raises(ModelError, match="system message"):
        open_with(copy, template).count_tokens([request])


@pytest.mark.parametrize("kept", ["loop.last", "m.role == 'user'", "m.role != 'user' or loop.last"])
def test_a_demonstration_is_not_dropped_in_silence(copy: Path, kept: str) -> None:
    """A model asked with five demonstrations would have been asked with none."""
    template = f"{{% for m in messages %}}{{% if {kept} %}}{{{{ m.content }}}}<|eot|>{{% endif %}}{{% endfor %}}"
    texts = ((Role.USER, "Where is the fox?"), (Role.ASSISTANT, "In the wood."), (Role.USER, "Where is the dog?"))
    messages = tuple(Message(role=role, text=text) for role, text in texts)
    request = Request(key="", form=Form.CHAT, messages=messages, stop=(), max_new_tokens=1)
    with pytest.raises(ModelError, match="the rendered chat lacks the message"):
        open_with(copy, template).count_tokens([request])


UPPER = "{% for m in messages %}{{ m.role | upper }}: {{ m.content }}\n{% endfor %}"
TURNS = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|eot|>{% endfor %}"


@pytest.mark.parametrize(
    ("template", "behind"),
    [
        (TURNS, "<|assistant|>"),
        (UPPER, "ASSISTANT:"),
        (TURNS + "{% if add_generation_prompt %}<|assistant|>{% endif %}", "<|assistant|>"),
        (TURNS + "<|assistant|>", "<|assistant|>"),
        ("{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %} {{ m.content }}</s>"
         "{% endif %}{% endfor %}", "[/INST]"),
        (TURNS.replace("|>{{", "|>{{ '<think></think>' if m.role == 'assistant' }}{{"), "<|eot|>"),
    ],
)  # fmt: skip
def test_a_template_without_a_generation_prompt_gets_the_beginning_of_its_answers(
    copy: Path, text_request: MakeRequest, template: str, behind: str
) -> None:
    model = open_with(copy, template)
    text = model.text_of(model.prompt_ids([text_request("a fox", form=Form.CHAT)])[0])
    assert text.endswith(behind)
    assert text.count(behind) == 1
    said = (model.spec.details or {}).get("put behind every chat")
    assert said == (behind if template in (TURNS, UPPER) else None)


def test_a_question_that_a_template_alters_fails_alone(copy: Path, text_request: MakeRequest) -> None:
    template = "{% for m in messages %}{{ m.content | replace('secret', '') }}{% endfor %}"
    odd, fine = text_request("the secret fox", form=Form.CHAT), text_request("the fox", form=Form.CHAT)
    failure, ids = open_with(copy, template).prompt_ids([odd, fine])
    assert isinstance(failure, Failure)
    assert "lacks" in failure.message
    assert isinstance(ids, tuple)
