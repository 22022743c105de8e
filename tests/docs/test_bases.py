"""docs/tuning.md says which models can be tuned: what it says is what the tests of the bases try."""

import re
from pathlib import Path

from ..training.test_bases import PACKED, PADDED, REFUSED

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tuning.md"
NAMES = {
    "cohere": "Cohere", "granite": "Granite", "gpt2": "GPT-2", "stablelm": "StableLM", "nemotron": "Nemotron",
    "gpt_neox": "GPT-NeoX", "opt": "OPT", "gemma3": "Gemma 3", "mistral3": "Mistral 3", "bloom": "BLOOM",
    "falcon": "Falcon, rotary", "falcon, alibi": "Falcon, alibi", "mamba": "Mamba",
}  # fmt: skip
REFUSED_NAMES = {
    "experts": "mixtures of experts", "too short": "too few positions", "skipped layers": "layers left out at random",
    "attends to later tokens": "BERT", "attends to all tokens": "XLM", "encoder": "T5",
}  # fmt: skip


def _section() -> str:
    return PAGE.read_text(encoding="utf-8").partition("## Which models can be tuned")[2].partition("\n## ")[0]


def test_every_family_that_is_tried_is_in_the_table_and_no_other() -> None:
    rows = re.findall(r"^\| ([^|]+) \| (packed sequences|padded batches) \|", _section(), re.MULTILINE)
    written = {name: how for names, how in rows for name in (re.split(r", (?=[A-Z])", names))}
    tried = {
        NAMES.get(family, NAMES.get(family.partition(",")[0], family)): how
        for how, families in (("packed sequences", PACKED), ("padded batches", PADDED))
        for family in families
    }
    plain = {name.removesuffix(", scaled logits").removesuffix(", with images"): how for name, how in written.items()}
    assert plain.pop("Llama") == "packed sequences"  # tests/training/test_exactness.py
    assert plain == tried


def test_every_refusal_that_is_tried_is_in_the_table() -> None:
    assert REFUSED_NAMES.keys() == REFUSED.keys()
    for name in REFUSED_NAMES.values():
        assert name in _section()
