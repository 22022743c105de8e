"""Prompts as a model reads them: proved before the first answer, and kept with every sample.

    messages       [user] Which river runs through Warszawa?
    rendered       "<|im_start|>user\\n" and "<|im_end|>\\n<|im_start|>assistant\\n"
    what is read   rendered[0], the message, rendered[1]

Only what stands around the messages is kept, some tens of letters. Where a tokenizer changes the messages themselves,
as one that folds case does, the whole text is kept, alone: `rendered` then has one part, else one more than messages.
"""

from collections.abc import Sequence

from .errors import ModelError
from .planning import TaskPlan
from .plugin import Model, SupportsPromptProof
from .records import Message, Request

Rendering = tuple[str, ...]


def prove_prompts(model: Model, plans: Sequence[TaskPlan]) -> list[str | None]:
    """Return of each plan the hash of its prompts as the model reads them, None where the model does not show them.

    Raises ModelError where the prompts do not hold what is asked.
    """
    if not isinstance(model, SupportsPromptProof):
        return [None] * len(plans)
    return [model.prove_prompts([each.request for each in plan.fitted if not each.overflow]) for plan in plans]


def render_prompts(model: Model, plan: TaskPlan) -> tuple[Rendering | None, ...]:
    """Return what stands around the messages of each request; None where the model does not show it. () for none."""
    if not isinstance(model, SupportsPromptProof):
        return ()
    known: dict[Rendering, Rendering] = {}
    found: list[Rendering | None] = []
    before: Request | None = None
    for each in plan.fitted:
        is_repeat = before is not None and (before.messages, before.choices) == (
            each.request.messages,
            each.request.choices,
        )
        if is_repeat:
            found.append(found[-1])
            continue
        before = each.request
        text = None if each.overflow else _shown(model, each.request)
        rendering = None if text is None else surround(text, each.request.messages)
        found.append(None if rendering is None else known.setdefault(rendering, rendering))
    return tuple(found)


def _shown(model: SupportsPromptProof, request: Request) -> str | None:
    try:
        return model.show_prompt(request)
    except ModelError:  # of this one request: that all are broken is found by the proof
        return None


def surround(text: str, messages: Sequence[Message]) -> Rendering:
    """Return what of `text` stands before, between and after the messages; `text` itself where it does not hold them.

    The parts hold all of the text: joined with the messages between them they are the text again.
    """
    parts, at = [], 0
    for message in messages:
        place = text.find(message.text, at)
        if place < 0:
            return (text,)
        parts.append(text[at:place])
        at = place + len(message.text)
    return (*parts, text[at:])
