"""The YAML block of a card, made by the hub's own class, so that the hub reads it."""

import re
from collections.abc import Iterable

from ...languages import LANGUAGES
from ..licenses import license_fields
from ..recipe_records import Tuning
from ..records import MixPlan
from .texts import plain

_COMMIT_PATH = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+|[\w.-]+)@[0-9a-f]{40}:")
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?")
_HUB_CODES = {"zho": "zh"}
"""Ours with a script to the hub's, which has none."""


def front_matter(plan: MixPlan, *, is_adapter: bool) -> str:
    """Return the block without its `---` lines; keys that nothing is known of are left out."""
    from huggingface_hub import ModelCardData  # noqa: PLC0415 - slow to import

    tuning = plan.recipe.method.kind
    base = hub_name(plan) or _origin(plan)
    data = ModelCardData(
        language=hub_languages(plan),
        base_model=base,
        datasets=hub_datasets(plan) or None,
        library_name="peft" if is_adapter else "transformers",
        pipeline_tag="text-generation",
        tags=["xlingual", "cross-lingual", "sft", *([] if tuning is Tuning.FULL else [tuning.value])],
    )
    for name, value in license_fields(plan.recipe.license).items():
        data[name] = value
    if base is not None:
        data["base_model_relation"] = "adapter" if is_adapter else "finetune"
    return data.to_yaml()


def hub_name(plan: MixPlan) -> str | None:
    """Return the base's repository on the hub; None for a folder or file of this machine, whatever it is called."""
    base = plan.base
    return base.name if base.revision is not None and _REPOSITORY.fullmatch(base.name) else None


def _origin(plan: MixPlan) -> str | None:
    """Return the repository of the base that got new tokens: the base with them is a folder of this machine."""
    report = plan.vocabulary
    is_of_hub = report is not None and report.revision is not None and _REPOSITORY.fullmatch(report.base)
    return report.base if report is not None and is_of_hub else None


def hub_languages(plan: MixPlan) -> list[str]:
    """Return the codes of all languages of the mix, source sides included, each once."""
    uses = plan.recipe.sources
    return list(dict.fromkeys(_hub_code(code) for use in uses for code in (*(use.direction or ()), use.language)))


def _hub_code(code: str) -> str:
    known = LANGUAGES[code].code if code in LANGUAGES else code
    stem = known.partition("_")[0]
    return _HUB_CODES.get(stem, stem)


def hub_datasets(plan: MixPlan) -> list[str]:
    """Return the repositories of the sources that came from the hub; other data have no name there."""
    found = (_COMMIT_PATH.match(use.path) for use in plan.recipe.sources if use.reader.replace("_", "-") == "hub")
    return _unique(plain(each["repository"]) for each in found if each is not None)


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
