"""The page: front matter, sections, and the section of scores that can be written anew."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ...errors import DataError
from ..records import TuneRecord
from .front_matter import front_matter, hub_name
from .scores import BEGIN, END, CardScore, eval_results, scores_section
from .sections import (
    audit_section,
    contamination_section,
    license_section,
    limits_section,
    mix_section,
    provenance_section,
    summary,
    training_section,
)
from .texts import markdown
from .usage import usage_snippet

CARD = "README.md"
"""File of the card, where the hub looks for it."""
_TEMPLATES = {
    "alpaca": "Ask it with the template of Stanford Alpaca, which it was trained with. A question with an input has "
    "the template's other form.",
    "chat": "Ask it with the chat template of its tokenizer, which it was trained with.",
    "raw": "Ask it without a template, as it was trained.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """What a card is made of."""

    record: TuneRecord
    is_adapter: bool
    """Whether the folder holds an adapter, not a whole model."""
    auto_class: str = "AutoModelForCausalLM"
    """The class of transformers that loads the model, or the adapter's base."""
    template_variables: Mapping[str, bool | str] = field(default_factory=dict)
    """What its training gave to the chat template: enable_thinking=False."""


def model_card(facts: CardFacts) -> str:
    """Return the text of README.md, without scores."""
    record = facts.record
    plan = record.plan
    sections = (
        ("How to use it", _usage(facts)),
        ("Scores", scores_section((), ())),
        ("What it is not good for", limits_section(record)),
        ("What it was trained on", mix_section(record)),
        ("How it was trained", training_section(record)),
        ("Contamination", contamination_section(plan)),
        ("What is in the data", audit_section(plan)),
        ("Licences", license_section(record)),
        ("Made with", provenance_section(record)),
    )
    head = [f"# {markdown(plan.recipe.name)}", summary(record)]
    if plan.recipe.description.strip():
        head.insert(1, markdown(plan.recipe.description))
    body = [*head, *(f"## {title}\n\n{text}" for title, text in sections)]
    return f"---\n{front_matter(plan, is_adapter=facts.is_adapter)}\n---\n\n" + "\n\n".join(body) + "\n"


def _usage(facts: CardFacts) -> str:
    plan = facts.record.plan
    snippet = usage_snippet(
        template=facts.record.template,
        auto_class=facts.auto_class,
        base=plan.base.name if facts.is_adapter else None,
        revision=plan.base.revision if hub_name(plan) is not None else None,
        name=plan.base.name,
        template_variables=facts.template_variables,
    )
    return f"{_TEMPLATES.get(facts.record.template, '')}\n\n```python\n{snippet}```"


def replace_scores(
    text: str, model: str, scores: Sequence[CardScore], left_out: Sequence[tuple[str, str]], *, where: str
) -> str:
    """Return a card with other scores: their section and the hub's results are new, all else is as it was.

    Raises DataError where the front matter cannot be read, or the section is not there.
    """
    from huggingface_hub import ModelCard  # noqa: PLC0415 - slow to import
    from yaml import YAMLError  # noqa: PLC0415 - comes with huggingface_hub

    hint = f"move {CARD} away, and the card is written anew"
    start, end = text.find(BEGIN), text.find(END)
    if start < 0 or end < start or text.count(BEGIN) > 1 or text.count(END) > 1:
        raise DataError("has no section for scores, or more than one", where=where, hint=hint)
    try:
        card = ModelCard(text)
        results = eval_results(scores) or None
        card.data["eval_results"], card.data["model_name"] = results, model if results else None
        before, after = card.text[: card.text.index(BEGIN)], card.text[card.text.index(END) + len(END) :]
        card.text = before + scores_section(scores, left_out) + after
        return str(card)
    except (ValueError, TypeError, YAMLError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"its front matter cannot be read: {reason}", where=where, hint=hint) from error
