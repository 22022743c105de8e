"""Norms and rotations in one kernel each, run by triton's interpreter, compute what transformers' modules do."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from transformers.models.llama import modeling_llama

from ...machines import Reference, answer, check, make_loaded, make_model, part, prompt_of, with_engine

FUSED = part("paged.fused_operations")
ADDS_ONE = {"Llama": False, "Qwen3": False, "Gemma2": True, "Olmo2": False, "GptOss": False, "Phi3": False}
"""Whether the norms of an architecture multiply by 1 + weight."""


def names_of(model: Any) -> set[str]:  # noqa: ANN401 - of transformers
    return {type(module).__name__ for module, _ in FUSED.find_operations(model).norms}


@pytest.mark.parametrize("architecture", list(ADDS_ONE))
def test_norms_and_rotations_are_found_and_answers_stay(architecture: str) -> None:
    model = make_model(architecture)
    for name, tensor in model.named_parameters():
        if "norm" in name:
            nn.init.normal_(tensor, mean=0.7)
    found = FUSED.find_operations(model)
    assert {adds_one for _, adds_one in found.norms} == {ADDS_ONE[architecture]}
    norms = [each for each in model.modules() if type(each).__name__.endswith("RMSNorm")]
    assert [module for module, _ in found.norms] == norms
    reference = Reference(make_loaded(model, ()), longest=5)
    prompts = [prompt_of([11, 12, 13, 20 + each], str(each), limit=5) for each in range(3)]
    wanted = [reference.answer(prompt) for prompt in prompts]
    responses = answer(with_engine(make_loaded(model, ()), page_size=8, pages=40), prompts, 3, speculate=False)
    assert [(each.text, each.tokens, each.finish) for each in map(responses.__getitem__, "012")] == wanted
    check(reference, prompts, responses)


@pytest.mark.parametrize("architecture", ["Gemma2", "GptOss"])
def test_the_whole_engine_over_the_triton_kernel(architecture: str) -> None:
    """Windows, softcap and sinks as the models ask for them, prompts in chunks, a shared prefix, decode steps."""
    reference = Reference(make_loaded(make_model(architecture), ()), longest=6)
    loaded = with_engine(make_loaded(reference.loaded.model, ()), page_size=16, pages=40, max_tokens=24)
    loaded.paged.choice = replace(loaded.paged.choice, kernel=part("paged.kernels").TritonKernel())
    prompts = [prompt_of([*range(10, 40), 50 + each, 60], str(each), limit=6) for each in range(3)]
    check(reference, prompts, answer(loaded, prompts, 3))


def test_the_rotation_of_llama_is_replaced_and_that_of_gpt_oss_is_not() -> None:
    assert [each.__name__.rpartition(".")[2] for each in FUSED.find_operations(make_model("Llama")).rotations] == [
        "modeling_llama"
    ]
    assert FUSED.find_operations(make_model("GptOss")).rotations == ()


def test_everything_is_as_before_afterwards() -> None:
    model = make_model("Llama")
    [place] = FUSED.find_operations(model).rotations
    own = getattr(place, FUSED.ROTATION)
    with FUSED.fused_operations(model), FUSED.fused_operations(model):
        assert getattr(place, FUSED.ROTATION) is not own
        assert sum("forward" in vars(each) for each in model.modules()) == 5
    assert getattr(place, FUSED.ROTATION) is own
    assert not any("forward" in vars(each) for each in model.modules())


class OddRMSNorm(nn.Module):
    """A norm of another kind."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(32)), 1e-6

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        return given / (given.abs().mean(-1, keepdim=True) + self.eps) * self.weight


def test_another_norm_is_left_alone() -> None:
    model = make_model("Llama")
    model.model.norm = OddRMSNorm()
    assert names_of(model) == {"LlamaRMSNorm"}


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("layout", ["heads first", "tokens first"])
def test_rotations(dtype: torch.dtype, layout: str) -> None:
    own: Callable[..., Any] = modeling_llama.apply_rotary_pos_emb
    torch.manual_seed(0)
    q, k = torch.randn(1, 12, 5, 24).to(dtype), torch.randn(1, 3, 5, 24).to(dtype)
    if layout == "tokens first":
        q, k = (each.transpose(1, 2).contiguous().transpose(1, 2) for each in (q, k))
    cos, sin = torch.randn(1, 5, 24).to(dtype), torch.randn(1, 5, 24).to(dtype)
    found, wanted = FUSED.rotate_or_own(None, q, k, cos, sin), own(q, k, cos, sin)
    for ours, theirs in zip(found, wanted, strict=True):
        assert torch.equal(ours, theirs) if dtype == torch.float16 else torch.allclose(ours, theirs)
    assert FUSED.rotate_or_own(lambda *_: "own", q, k, cos[..., :12], sin[..., :12]) == "own"
