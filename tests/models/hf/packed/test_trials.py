"""What the trials of the packed engine catch: layers that do not call attention, and windows that it is not told of."""

import importlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from ..architectures import WINDOW, Architecture, build, dense, load, windowed

attention: Any = importlib.import_module("xlingual.plugins.models.hf.packed.attention")
exchange: Any = importlib.import_module("xlingual.plugins.models.hf.packed.exchange")
forward: Any = importlib.import_module("xlingual.plugins.models.hf.packed.forward")
plan: Any = importlib.import_module("xlingual.plugins.models.hf.packed.batch_plan")
prefill: Any = importlib.import_module("xlingual.plugins.models.hf.packed.chunked_prefill")
cache: Any = importlib.import_module("xlingual.plugins.models.hf.packed.kv_cache")
verification: Any = importlib.import_module("xlingual.plugins.models.hf.packed.verification")


def architecture(name: str) -> Architecture:
    return next(each for each in (*dense(), *windowed()) if each.name == name)


def windows_of(model: Any) -> list[object]:  # noqa: ANN401 - of transformers
    return [getattr(each, "sliding_window", None) for each in (model.config, *model.modules())]


def watched(monkeypatch: pytest.MonkeyPatch, change: Callable[[dict[str, object]], None]) -> None:
    """Let every call of attention have other keywords."""
    own = attention.attend

    def attend(*arguments: object, **named: object) -> object:
        change(named)
        return own(*arguments, **named)

    monkeypatch.setattr(attention, "attend", attend)


@pytest.mark.parametrize("name", ["Mistral", "Gemma 3", "Gemma 2", "gpt-oss"])
def test_windows_that_attention_is_not_told_of_are_found_and_limit_the_texts(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    model = build(architecture(name))
    before = windows_of(model)
    told = verification.try_packed(load(model))
    assert (told.verified, told.longest) == (True, None)
    assert windows_of(model) == before, "the windows of the trial are gone"
    watched(monkeypatch, lambda named: named.update(sliding_window=None))
    blind = verification.try_packed(load(build(architecture(name))))
    assert (blind.verified, blind.longest) == (True, WINDOW)
    assert verification.takes_length(blind, WINDOW)
    assert not verification.takes_length(blind, WINDOW + 1)


@pytest.mark.parametrize(("name", "keyword"), [("Gemma 2", "softcap"), ("gpt-oss", "s_aux"), ("Granite SWA", "s_aux")])
def test_what_changes_scores_is_noticed_where_it_is_left_out(
    monkeypatch: pytest.MonkeyPatch, name: str, keyword: str
) -> None:
    model = build(architecture(name))
    with torch.no_grad():
        for each, parameter in model.named_parameters():
            if each.endswith("sinks"):
                parameter.fill_(2.0)  # as large as scores are
    assert verification.try_packed(load(model)).verified
    watched(monkeypatch, lambda named: named.update({keyword: None}))
    found = verification.try_packed(load(model))
    assert (found.verified, found.refusal) == (False, "its scores are not those of the model's own forward pass")


@pytest.mark.parametrize("keyword", attention.NOT_COMPUTED)
def test_a_keyword_that_is_not_computed_is_a_refusal(monkeypatch: pytest.MonkeyPatch, keyword: str) -> None:
    watched(monkeypatch, lambda named: named.update({keyword: torch.zeros(1)}))
    found = verification.try_packed(load(build(architecture("Qwen3"))))
    assert not found.verified
    assert found.refusal == f"the trial failed: TypeError: attention with {keyword}"


def test_a_pass_in_which_a_layer_does_not_call_attention_is_an_error() -> None:
    ready = verification.try_packed(load(build(architecture("Qwen3"))))
    spec = exchange.cache_spec_of(ready)
    chunk = prefill.PrefillChunk([5, 6, 7], 0, (), cache.new_prefix_kv(spec, 3), 0, None)

    def run(loaded: Any) -> Any:  # noqa: ANN401 - of the plugin
        with exchange.packed_attention(loaded.model):
            return forward.forward(loaded, [5, 6, 7], [0, 1, 2], keep=[2], metadata=plan.plan_prefill(spec, [chunk]))

    assert run(ready).shape == (1, 320)
    with pytest.raises(RuntimeError, match="a forward pass called attention 4 times, not 5"):
        run(replace(ready, calls=(*ready.calls, ready.calls[0])))


def test_attention_outside_of_a_step_is_an_error() -> None:
    """Nothing is computed by the metadata of another pass."""
    model = build(architecture("Qwen3"))
    with exchange.packed_attention(model), pytest.raises(LookupError):
        model(input_ids=torch.tensor([[1, 2]]))
    assert model(input_ids=torch.tensor([[1, 2]])).logits.shape == (1, 2, 320)
