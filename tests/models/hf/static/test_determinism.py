"""`--deterministic`, `--engine`, and when they are part of a model's fingerprint."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from xlingual.errors import UsageError
from xlingual.plugin import ModelOptions
from xlingual.records import Request
from xlingual.registry import MODELS

WORDS = [f"the {'quick brown fox ' * (number % 3)}jumps {number}" for number in range(7)]


def opened(tiny_llama: Path, **options: Any) -> Any:  # noqa: ANN401 - of the plugin
    return MODELS.get("hf")(str(tiny_llama), ModelOptions(device="cpu", **options))


def test_in_half_precision_no_answer_depends_on_the_others(
    tiny_llama: Path, text_request: Callable[..., Request]
) -> None:
    model = opened(tiny_llama, dtype="bfloat16", deterministic=True)
    requests = [text_request(word, max_new_tokens=12) for word in WORDS]
    together = {each.key: each for each in model.answer(requests)}
    shapes: list[tuple[int, ...]] = []
    embedding = model.loaded.model.get_input_embeddings()
    embedding.register_forward_pre_hook(lambda _module, args: shapes.append(tuple(args[0].shape)))
    for request in reversed(requests):
        assert list(model.answer([request])) == [together[request.key]]
    assert {shape[0] for shape in shapes} == {1}
    assert not torch.are_deterministic_algorithms_enabled()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"]


def test_it_is_part_of_the_fingerprint_where_it_changes_answers(tiny_llama: Path) -> None:
    def fingerprint(**options: Any) -> str:  # noqa: ANN401 - options of a model
        return str(opened(tiny_llama, **options).spec.fingerprint)

    plain = fingerprint()
    # In float32 no text depends on the engine.
    assert {fingerprint(engine=each) for each in ("packed", "static", "paged")} == {plain}
    assert fingerprint(deterministic=True) == plain
    halves = [
        fingerprint(dtype="bfloat16", **options)
        for options in ({}, {"engine": "static"}, {"engine": "paged"}, {"deterministic": True})
    ]
    assert len({plain, *halves}) == 5
    assert fingerprint(dtype="bfloat16", engine="packed") == halves[0]


def test_an_unknown_engine_is_refused(tiny_llama: Path) -> None:
    with pytest.raises(UsageError, match="no such engine"):
        opened(tiny_llama, engine="pack")
