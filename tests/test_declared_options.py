"""Every option of models with every backend: refused where it is not declared, and read somewhere where it is."""

import ast
import random
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from xlingual.errors import UsageError
from xlingual.plugin import ModelOptions
from xlingual.registry import MODELS, used_options
from xlingual.selection import ALWAYS_FINE, OPTION_WORDS, open_model

MODELS_FOLDER = Path(__file__).resolve().parents[1] / "models"
SERVED = ("_served", "openai", "hf/checkpoint")
SOURCES = {
    "hf": ("hf",),
    "lm_eval": ("lm_eval",),
    "openai": ("openai",),
    "serve": ("serve.py", *SERVED),
    "sglang": ("sglang.py", *SERVED),
    "smollm2": ("smollm2.py", "hf"),
    "vllm": ("vllm.py", *SERVED),
}
"""Where the code of each backend that declares its options is; a served model is described as a local one is."""
OPTIONS = [each.name for each in fields(ModelOptions)]
VALUES: dict[str, Callable[[random.Random], object]] = {
    "bool": lambda _chance: True,
    "int": lambda chance: chance.randint(1, 9999),
    "float": lambda chance: chance.uniform(0.1, 900),
    "str": lambda chance: "".join(chance.choices("abcdef{}:,=0123 ", k=chance.randint(1, 12))),
    "tuple[str, ...]": lambda chance: tuple(f"--x{chance.randint(0, 9)}" for _ in range(chance.randint(1, 3))),
}


def backends() -> list[str]:
    """Return the backends that say what they use."""
    for each in MODELS.names():
        MODELS.find(each)
    return sorted(each for each in MODELS.names() if used_options(each) is not None)


def test_all_backends_are_known_here() -> None:
    assert [each for each in backends() if each in SOURCES] == sorted(SOURCES)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_not_declared_is_refused_whatever_its_value(seed: int) -> None:
    chance = random.Random(seed)
    refused = []
    for backend in SOURCES:
        MODELS.find(backend)
        declared = used_options(backend) or frozenset()
        for option in set(OPTIONS) - declared - ALWAYS_FINE:
            kind = str(ModelOptions.__annotations__[option]).removesuffix(" | None").removeprefix("<class '")
            value = VALUES[kind.removesuffix("'>")](chance)
            given: Any = {option: value}
            with pytest.raises(UsageError, match="cannot use it") as caught:
                open_model(f"{backend}:some/name", replace(ModelOptions(), **given))
            assert caught.value.where == OPTION_WORDS.get(option, f"--{option.replace('_', '-')}"), (backend, option)
            refused.append((backend, option))
    assert len(refused) > 40


@pytest.mark.parametrize("backend", SOURCES)
def test_what_is_declared_is_read(backend: str) -> None:
    """An option that is declared and read nowhere would be taken, and change nothing."""
    read: set[str] = set()
    for part in SOURCES[backend]:
        place = MODELS_FOLDER / part
        for file in [place] if place.is_file() else sorted(place.rglob("*.py")):
            read |= read_options(file.read_text(encoding="utf-8"))
    MODELS.find(backend)
    declared = (used_options(backend) or frozenset()) & set(OPTIONS)
    assert declared
    assert sorted(declared - read) == []


def read_options(code: str) -> set[str]:
    """Return the options that code reads: `options.X`, `self.options.X`, and keys of a table named OPTIONS."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Attribute) and node.attr in OPTIONS and isinstance(node.ctx, ast.Load):
            owner = node.value
            name = owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
            if name == "options":
                found.add(node.attr)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict) and _is_table(node.targets[0]):
            found |= {str(key.value) for key in node.value.keys if isinstance(key, ast.Constant)}
    return found


def _is_table(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) and target.id == "OPTIONS"


def test_readings_are_found() -> None:
    code = (
        "OPTIONS = {'dtype': 1}\ndef f(options, other):\n    other.engine\n    options.device\n    self.options.shard"
    )
    assert read_options(code) == {"dtype", "device", "shard"}
