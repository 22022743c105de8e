"""What an adapter's configuration may say: peft makes matrices of any rank in it, before it reads the weights."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from xlingual.errors import ModelError
from xlingual.identity import Json

from .files import read_config
from .named_faults import check_kinds
from .sizes import WIDTH, check_size
from .weight_headers import WeightSummary

CONFIG = "adapter_config.json"
KINDS: Mapping[str, tuple[str, ...]] = {
    "peft_type": ("a text",),
    "task_type": ("a text", "null"),
    "base_model_name_or_path": ("a text", "null"),
    "target_modules": ("a text", "a list", "null"),
    "modules_to_save": ("a list", "null"),
    "bias": ("a text", "true or false", "null"),
    "lora_alpha": ("a number",),
    "lora_dropout": ("a number",),
    "rank_pattern": ("an object", "null"),
    "alpha_pattern": ("an object", "null"),
    "layers_to_transform": ("a whole number", "a list", "null"),
    "fan_in_fan_out": ("true or false",),
    "use_dora": ("true or false",),
    "use_rslora": ("true or false",),
}
"""What the fields may be; others are peft's affair."""
RANKS = ("r", "init_r", "target_r", "num_virtual_tokens")
LOW_RANK = ("LORA", "ADALORA", "LOHA", "VERA")
"""Kinds of adapters of which a tensor has the rank as a dimension."""


def check_adapter_config(folder: Path, weights: WeightSummary) -> None:
    """Raise ModelError naming the file and the first field that is nonsense, or a rank that the weights do not have."""
    path = folder / CONFIG
    config = read_config(path)
    check_kinds(config, KINDS, str(path))
    bounded = str(config.get("peft_type")).upper() in LOW_RANK
    for name, rank in _ranks(config):
        where = f"{path}: {name}"
        check_size(name, rank, where, WIDTH, least=1)
        if bounded and isinstance(rank, int) and rank > weights.largest:
            what = f"is {rank:,}, and no tensor of the adapter has a dimension over {weights.largest:,}"
            raise ModelError(what, where=where, hint="is the configuration that of these weights?")


def _ranks(config: Mapping[str, Json]) -> Iterator[tuple[str, Json]]:
    yield from ((name, config[name]) for name in RANKS if config.get(name) is not None)
    pattern = config.get("rank_pattern")
    if isinstance(pattern, dict):
        yield from ((f"rank_pattern.{name:.80}", rank) for name, rank in pattern.items())
