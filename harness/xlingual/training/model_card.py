"""What the model card of an export takes from the folder of the base: its licence, and the class that loads it."""

from collections.abc import Mapping
from pathlib import Path

from ..decoder.loading import auto_class, quiet_loading
from ..decoder.thinking_switch import thinking_variables
from ..files import write_atomically
from ..thinking import ThinkingMode
from ..tune.card import CARD, CardFacts, model_card
from ..tune.licenses import OTHER, UNKNOWN, hub_identifier
from ..tune.records import TuneRecord

_LONGEST = 200
"""Characters of a licence's name; what is longer is none."""


def write_card(folder: Path, record: TuneRecord, weights: Path, *, is_adapter: bool) -> None:
    """Write the card of a model or adapter in `folder`, whose base lies in `weights`."""
    facts = CardFacts(
        record=record,
        is_adapter=is_adapter,
        auto_class=_auto_class_name(weights),
        template_variables=_template_variables(folder, record.thinking),
    )
    write_atomically(folder / CARD, model_card(facts))


def _template_variables(folder: Path, thinking: ThinkingMode | None) -> Mapping[str, bool | str]:
    """Return what switches the thinking of the chat template in `folder` as in training; {} where nothing did."""
    if thinking is None:
        return {}
    from transformers import AutoTokenizer  # noqa: PLC0415 - slow to import

    with quiet_loading():
        template = AutoTokenizer.from_pretrained(folder, local_files_only=True).chat_template
    return thinking_variables(template, thinking)


def base_license(weights: Path) -> str | None:
    """Return the licence that the model card beside the base's weights names; None where it names none."""
    from huggingface_hub.repocard import metadata_load  # noqa: PLC0415 - slow to import
    from yaml import YAMLError  # noqa: PLC0415 - comes with huggingface_hub

    path = weights / CARD
    try:
        found = metadata_load(path) if path.is_file() else None
    except (OSError, ValueError, YAMLError):  # a card of others, which may hold anything
        return None
    if not isinstance(found, Mapping):
        return None
    named, name = found.get("license"), found.get("license_name")
    if isinstance(named, list):
        named = ", ".join(map(str, named))
    if isinstance(named, str) and named.strip().lower() == OTHER and isinstance(name, str):
        named = name
    if not isinstance(named, str) or not named.isprintable() or len(named) > _LONGEST:
        return None
    word = named.strip()
    return None if word.lower() in ("", UNKNOWN, OTHER) else hub_identifier(word) or word


def _auto_class_name(weights: Path) -> str:
    from transformers import AutoConfig  # noqa: PLC0415 - slow to import

    with quiet_loading():
        return auto_class(AutoConfig.from_pretrained(weights, local_files_only=True)).__name__
