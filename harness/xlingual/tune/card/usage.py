"""The snippet of a card: it loads the model with transformers, or peft, and asks it as its training asked.

tests/training/test_card.py runs it, and compares its prompt and answer with those of `xlingual eval`.
"""

import json
from collections.abc import Mapping

from ...prompt import ALPACA_WITHOUT_INPUT
from .texts import plain

QUESTION = "What is the capital of France?"
_LOAD_MODEL = """\
from transformers import {auto_class}, AutoTokenizer

MODEL = "."  # this folder, or the name of its repository on the hub
tokenizer = AutoTokenizer.from_pretrained(MODEL)
model = {auto_class}.from_pretrained(MODEL)
"""
_LOAD_ADAPTER = """\
from peft import PeftModel
from transformers import {auto_class}, AutoTokenizer

ADAPTER = "."  # this folder, or the name of its repository on the hub
BASE = {base}{base_note}
tokenizer = AutoTokenizer.from_pretrained(ADAPTER)
base = {auto_class}.from_pretrained(BASE{revision})
model = PeftModel.from_pretrained(base, ADAPTER)
"""
_ASK_CHAT = """
messages = [{{"role": "user", "content": {question}}}]
prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True{variables})
inputs = tokenizer(prompt, add_special_tokens=False, return_token_type_ids=False, return_tensors="pt")
"""
_ASK_ALPACA = """
instruction = {question}
prompt = (
{template}
)
inputs = tokenizer(prompt.format(instruction=instruction), return_token_type_ids=False, return_tensors="pt")
"""
_ASK_RAW = """
prompt = {question}
inputs = tokenizer(prompt, return_token_type_ids=False, return_tensors="pt")
"""
_ANSWER = """\
output = model.generate(**inputs, max_new_tokens=128, do_sample=False)
print(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
"""


def usage_snippet(
    *,
    template: str,
    auto_class: str,
    base: str | None,
    revision: str | None,
    name: str,
    template_variables: Mapping[str, bool | str],
) -> str:
    """Return the Python lines; `base` is None for a whole model, else the adapter's base on the hub or its bare name.

    `name` is what the base is called where it has no name on the hub: the reader has to fill in its folder.
    `template_variables` go to the chat template.
    """
    if base is None:
        load = _LOAD_MODEL.format(auto_class=auto_class)
    else:
        load = _LOAD_ADAPTER.format(
            auto_class=auto_class,
            base=_text(base if revision is not None else plain(name)),
            base_note="" if revision is not None else "  # the folder of the base: it has no name on the hub",
            revision=f", revision={_text(revision)}" if revision is not None else "",
        )
    question = _text(QUESTION)
    if template == "chat":
        given = "".join(f", {key}={_literal(value)}" for key, value in template_variables.items())
        ask = _ASK_CHAT.format(question=question, variables=given)
    elif template == "alpaca":
        lines = "\n".join(f"    {_text(line)}" for line in ALPACA_WITHOUT_INPUT.splitlines(keepends=True))
        ask = _ASK_ALPACA.format(question=question, template=lines)
    else:
        ask = _ASK_RAW.format(question=_text(f"{QUESTION}\n"))  # a line of its own, as in training
    return load + ask + _ANSWER


def _literal(value: bool | str) -> str:
    return str(value) if isinstance(value, bool) else _text(value)


def _text(value: str) -> str:
    """Return a text as Python writes it in double quotes: on one line, whatever it holds, and no markup."""
    return json.dumps(value).replace("<", "\\u003c").replace("`", "\\u0060")
