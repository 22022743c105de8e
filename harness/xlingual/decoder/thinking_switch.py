"""The switch of a chat template between thinking and not thinking.

    {% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}      enable_thinking=False

A switch is a variable that the template looks at, so it is found in the template and never guessed by a model's name.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

from ..errors import ModelError
from ..thinking import ThinkingMode

SWITCHES = ("enable_thinking", "thinking", "reasoning")
"""True or False: Qwen, SmolLM3, GLM and others; DeepSeek-V3.1, Granite, Kimi; Command A."""
EFFORT = "reasoning_effort"
"""A word: gpt-oss, Mistral."""
EFFORTS = {ThinkingMode.ON: ("medium", "high"), ThinkingMode.OFF: ("none", "minimal", "low")}
"""The first of these words that the template mentions. A model without "none" is told to think as little as it can."""


def thinking_variables(template: str | Mapping[str, str] | None, mode: ThinkingMode | None) -> Mapping[str, bool | str]:
    """Return the variables that switch the thinking of a chat template on or off; none where `mode` is None.

    Raises ModelError where there is no such variable.
    """
    if mode is None:
        return {}
    text = template if isinstance(template, str) or template is None else template.get("default")
    found = {} if text is None else _find_variables(text, mode)
    if not found:
        what = "there is no chat template to switch" if text is None else "the chat template has no switch for"
        hint = "leave --thinking out, or the key thinking of a recipe: the model does as its template has it"
        raise ModelError(f"--thinking {mode.value}: {what} the thinking", hint=hint)
    return found


@lru_cache(maxsize=16)
def _find_variables(template: str, mode: ThinkingMode) -> Mapping[str, bool | str]:
    from jinja2 import Environment, TemplateError, meta  # noqa: PLC0415 - comes with transformers, heavy

    # A tag of transformers that jinja itself does not know.
    plain = re.sub(r"\{%-?\s*(end)?generation\s*-?%\}", "", template)
    try:
        environment = Environment(extensions=["jinja2.ext.loopcontrols"], autoescape=True)
        names = meta.find_undeclared_variables(environment.parse(plain))
    except TemplateError:
        # What is wrong with it is said where it renders.
        return dict.fromkeys(SWITCHES, mode is ThinkingMode.ON)
    found: dict[str, bool | str] = {name: mode is ThinkingMode.ON for name in SWITCHES if name in names}
    if not found and EFFORT in names:
        quoted = set(re.findall(r"""["'](\w+)["']""", template))
        words = EFFORTS[mode]
        found[EFFORT] = next((word for word in words if word in quoted), words[-1])
    return found
