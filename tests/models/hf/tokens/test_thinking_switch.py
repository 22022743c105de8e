"""The variable of a chat template that turns the thinking on and off, and templates that have none."""

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import AutoTokenizer, LlamaForCausalLM

from xlingual.errors import ModelError
from xlingual.plugin import ModelOptions
from xlingual.records import Form, Request
from xlingual.registry import MODELS
from xlingual.thinking import ThinkingMode

SWITCHES = [
    ("{% if enable_thinking %}a{% endif %}", {"enable_thinking": True}, {"enable_thinking": False}),
    (
        "{%- if enable_thinking is not defined -%}{%- set enable_thinking = true -%}{%- endif -%}"
        "{% generation %}{%- if enable_thinking -%}a{%- endif -%}{% endgeneration %}",
        {"enable_thinking": True}, {"enable_thinking": False},
    ),
    ("{% if not thinking is defined %}{% set thinking = false %}{% endif %}", {"thinking": True}, {"thinking": False}),
    ("{% macro f() %}{% if thinking %}a{% endif %}{% endmacro %}{{ f() }}", {"thinking": True}, {"thinking": False}),
    ("{% if reasoning is defined and not reasoning %}a{% endif %}", {"reasoning": True}, {"reasoning": False}),
    (
        '{%- if reasoning_effort is not defined %}{%- set reasoning_effort = "medium" %}{%- endif %}',
        {"reasoning_effort": "medium"}, {"reasoning_effort": "low"},
    ),
    (
        "{% if reasoning_effort not in ['none', 'high'] %}a{% endif %}",
        {"reasoning_effort": "high"}, {"reasoning_effort": "none"},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("template", "on", "off"), SWITCHES)
def test_the_switch_is_the_variable_that_the_template_looks_at(
    template: str, on: dict[str, object], off: dict[str, object]
) -> None:
    variables = importlib.import_module("xlingual.decoder.thinking_switch").thinking_variables
    assert variables(template, ThinkingMode.ON) == on
    assert variables({"default": template, "tool_use": ""}, ThinkingMode.OFF) == off
    assert variables(template, None) == {}


@pytest.mark.parametrize(
    ("template", "form", "message"),
    [
        ("{{ messages }}", Form.CHAT, "--thinking off: the chat template has no switch for the thinking"),
        (
            "{% set ns = namespace(thinking=1) %}{{ ns.thinking }}{{ messages }}",
            Form.CHAT,
            "--thinking off: the chat template has no switch for the thinking",
        ),
        (
            "{% if messages[0].content == 'c' %}{{ thinking }}{% endif %}{{ messages }}",
            Form.CHAT,
            "--thinking off: the chat template's switch changes nothing in this chat",
        ),
        (SWITCHES[0][0], Form.TEXT, "--thinking off: there is no chat template to switch the thinking"),
    ],
)
def test_a_model_without_a_switch_is_refused_once(
    tiny_llama: Path, tmp_path: Path, text_request: Callable[..., Request], template: str, form: Form, message: str
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(tmp_path)
    LlamaForCausalLM.from_pretrained(tiny_llama).save_pretrained(tmp_path)
    model = MODELS.get("hf")(str(tmp_path), ModelOptions(device="cpu"))
    asked = [replace(text_request(word, form=form), thinking=ThinkingMode.OFF) for word in ("a", "b")]
    with pytest.raises(ModelError, match=message):
        model.count_tokens(asked)
    assert model.count_tokens([replace(each, thinking=None) for each in asked])
