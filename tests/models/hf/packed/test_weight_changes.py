"""A fused forward that does not match the reference is rejected, and the model is as it was, to the last bit."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest
import torch
from torch import nn
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from xlingual.errors import Interrupted
from xlingual.plugin import ModelOptions
from xlingual.records import Request
from xlingual.registry import MODELS

IDS = torch.tensor([[5, 60, 7, 80, 9, 100, 11, 12, 13, 14, 15]])


def part(name: str) -> ModuleType:
    """Return a module of the plugin, which is none of the public names."""
    return importlib.import_module(f"xlingual.plugins.models.hf.{name}")


@pytest.fixture(scope="module")
def biased(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model built like Llama whose projections have biases."""
    folder = tmp_path_factory.mktemp("models") / "biased"
    torch.manual_seed(3)
    config = Qwen2Config(
        vocab_size=320, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, initializer_range=0.6, max_position_embeddings=256, tie_word_embeddings=True,
        bos_token_id=None, eos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    model = Qwen2ForCausalLM(config).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_llama).save_pretrained(folder)
    return folder


def load(folder: Path, *, mapped: bool = True) -> Any:  # noqa: ANN401 - of the plugin
    """Return a loaded model whose weights lie in the mapped file, or in memory of their own."""
    opened: Any = MODELS.get("hf")(str(folder), ModelOptions(device="cpu", dtype="float32"))
    loaded = part("checkpoint.loading").load(opened.description, opened.options)
    if not mapped:
        for parameter in loaded.model.parameters():
            parameter.data = parameter.data.clone()
    return loaded


def logits_of(loaded: Any) -> torch.Tensor:  # noqa: ANN401 - of the plugin
    with torch.inference_mode():
        return torch.as_tensor(loaded.model(input_ids=IDS).logits)


def bits(weight: torch.Tensor) -> torch.Tensor:
    return weight.detach().view(torch.int32)


@dataclass(frozen=True, slots=True)
class State:
    """All that a model is made of, so that two moments can be compared."""

    modules: list[tuple[str, nn.Module]]
    hooks: list[int]
    parameters: list[tuple[str, nn.Parameter]]
    layouts: list[tuple[bool, tuple[int, ...], tuple[int, ...]]]
    addresses: list[int]
    weights: dict[str, torch.Tensor]
    attention: str

    @classmethod
    def of(cls, model: Any) -> "State":  # noqa: ANN401 - of transformers
        parameters = list(model.named_parameters())
        return cls(
            modules=list(model.named_modules()),
            hooks=[len(each._forward_hooks) + len(each._forward_pre_hooks) for each in model.modules()],
            parameters=parameters,
            layouts=[(each.requires_grad, tuple(each.shape), each.stride()) for _, each in parameters],
            addresses=[each.data_ptr() for _, each in parameters],
            weights={name: weight.clone() for name, weight in model.state_dict().items()},
            attention=model.config._attn_implementation,
        )


def check_unchanged(model: Any, before: State, *, mapped: bool) -> None:  # noqa: ANN401 - of transformers
    after = State.of(model)
    assert [name for name, _ in after.modules] == [name for name, _ in before.modules]
    assert all(now is then for (_, now), (_, then) in zip(after.modules, before.modules, strict=True))
    assert all(now is then for (_, now), (_, then) in zip(after.parameters, before.parameters, strict=True))
    assert (after.hooks, after.layouts, after.attention) == (before.hooks, before.layouts, before.attention)
    assert list(after.weights) == list(before.weights)
    for name, weight in before.weights.items():
        assert torch.equal(bits(after.weights[name]), bits(weight)), name
    # Mapped weights are those of the file again, not copies.
    assert not mapped or after.addresses == before.addresses


def swap_queries_and_keys(_loaded: object, patch: pytest.MonkeyPatch) -> None:
    fused_llama = part("packed.fused_llama")
    own = fused_llama.fuse_linear

    def swapped(parent: object, names: tuple[str, ...], *rest: object) -> object:
        return own(parent, (names[1], names[0], *names[2:]) if "q_proj" in names else names, *rest)

    patch.setattr(fused_llama, "fuse_linear", swapped)


def scale_kernels(_loaded: object, patch: pytest.MonkeyPatch) -> None:
    """The kernels of projections compute something else: views of them agree with the fused forward."""
    linear = part("packed.linear")
    dense, prepacked = linear.DenseLinear.__call__, linear.PrepackedLinear.__call__
    patch.setattr(linear.DenseLinear, "__call__", lambda kernel, tokens: dense(kernel, tokens) * 1.25)
    # The weight of the head is not prepacked.
    scale = {True: 1.25, False: 1.0}
    patch.setattr(
        linear.PrepackedLinear, "__call__",
        lambda kernel, tokens: prepacked(kernel, tokens) * scale[kernel.weight.is_mkldnn],
    )  # fmt: skip


def scale_a_projection(loaded: Any, _patch: pytest.MonkeyPatch) -> None:  # noqa: ANN401 - of the plugin
    """A model that looks like Llama: the weights are all that fusing sees of a linear module."""
    projection = loaded.model.model.layers[1].self_attn.q_proj
    projection.forward = lambda tokens: nn.functional.linear(tokens, projection.weight, projection.bias) * 1.5


def clip_an_mlp(loaded: Any, _patch: pytest.MonkeyPatch) -> None:  # noqa: ANN401 - of the plugin
    mlp = loaded.model.model.layers[0].mlp
    own = mlp.forward
    mlp.forward = lambda tokens: own(tokens).clamp(-0.5, 0.5)


def hook_an_attention(loaded: Any, _patch: pytest.MonkeyPatch) -> None:  # noqa: ANN401 - of the plugin
    attention = loaded.model.model.layers[0].self_attn
    attention.register_forward_hook(lambda _module, _inputs, output: (output[0] * 0.5, *output[1:]))


def fail_in_the_second_layer(_loaded: object, patch: pytest.MonkeyPatch, error: BaseException | None = None) -> None:
    fused_llama = part("packed.fused_llama")
    own, calls = fused_llama.fuse_linear, []

    def fail(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == 6:
            raise error or torch.OutOfMemoryError("no room")
        return own(*arguments)

    patch.setattr(fused_llama, "fuse_linear", fail)


BREAKAGES: list[Callable[[Any, pytest.MonkeyPatch], None]] = [
    swap_queries_and_keys, scale_kernels, scale_a_projection, clip_an_mlp, hook_an_attention, fail_in_the_second_layer,
]  # fmt: skip


@pytest.mark.parametrize("mapped", [True, False], ids=["mapped", "unmapped"])
@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda each: each.__name__)
@pytest.mark.parametrize("name", ["tiny_llama", "biased"])
def test_a_fusion_that_computes_something_else_is_rejected_and_undone(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    prepacked: bool,
    name: str,
    breakage: Callable[[Any, pytest.MonkeyPatch], None],
    mapped: bool,
) -> None:
    loaded = load(request.getfixturevalue(name), mapped=mapped)
    breakage(loaded, monkeypatch)
    before, expected = State.of(loaded.model), logits_of(loaded)
    found = part("packed.verification").verify(loaded, 100)
    # Its own modules are right, whatever they compute.
    assert (found.fused, found.verified, found.model) == (None, True, loaded.model)
    check_unchanged(loaded.model, before, mapped=mapped)
    assert torch.equal(bits(logits_of(loaded)), bits(expected))
    # A copy that nobody tried to fuse computes the same, where the breakage is not its own.
    if breakage in (swap_queries_and_keys, scale_kernels, fail_in_the_second_layer):
        assert torch.equal(bits(logits_of(load(request.getfixturevalue(name)))), bits(expected))


def test_a_signal_while_fusing_leaves_the_model_as_it_was(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch, prepacked: bool
) -> None:
    loaded = load(tiny_llama)
    fail_in_the_second_layer(loaded, monkeypatch, Interrupted(2))
    before = State.of(loaded.model)
    with pytest.raises(Interrupted):
        part("packed.verification").verify(loaded, 100)
    check_unchanged(loaded.model, before, mapped=True)


def test_what_the_engine_rejects_altogether_is_answered_as_if_it_had_never_been_tried(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch, prepacked: bool, text_request: Callable[..., Request]
) -> None:
    requests = [text_request(f"the quick brown fox {number}", max_new_tokens=12) for number in range(3)]
    model: Any = MODELS.get("hf")(str(tiny_llama), ModelOptions(device="cpu"))
    untouched: Any = MODELS.get("hf")(str(tiny_llama), ModelOptions(device="cpu", engine="static"))
    tried: list[bool] = []

    def reject(loaded: Any, _reference: object) -> bool:  # noqa: ANN401 - of the plugin
        tried.append(loaded.fused is not None)
        return False

    monkeypatch.setattr(part("packed.verification"), "_matches_reference", reject)
    assert list(model.answer(requests)) == list(untouched.answer(requests))
    assert tried == [True, False]
    assert torch.equal(bits(logits_of(model.loaded)), bits(logits_of(untouched.loaded)))


def test_a_layout_that_rounds_weights_is_not_used_to_rebuild_them(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As oneDNN may on processors that compute float32 in bfloat16; then the old weights are kept until verified."""
    linear = part("packed.linear")
    own = linear.PrepackedLinear.dense
    monkeypatch.setattr(linear, "prepacking_is_faster", lambda _weight: True)
    monkeypatch.setattr(linear.PrepackedLinear, "dense", lambda kernel: own(kernel).bfloat16().float())
    swap_queries_and_keys(None, monkeypatch)
    loaded = load(tiny_llama, mapped=False)
    before = State.of(loaded.model)
    assert part("packed.verification").verify(loaded, 100).fused is None
    check_unchanged(loaded.model, before, mapped=False)


@pytest.mark.parametrize("shape", [(1, 1), (7, 13), (40, 24), (64, 32), (960, 576), (1536, 577)])
def test_prepacking_moves_numbers_and_changes_none(shape: tuple[int, int]) -> None:
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]  # of torch
        pytest.skip("torch was built without oneDNN")
    torch.manual_seed(1)
    weight = torch.randn(shape)
    odd = torch.tensor([float("nan"), float("inf"), -0.0, 1e-42])[: weight.numel()]
    weight.view(-1)[: len(odd)] = odd
    kernel = part("packed.linear").prepack(weight, None)
    assert torch.equal(bits(kernel.dense().contiguous()), bits(weight))


@pytest.fixture(scope="module")
def larger(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model of 96 MiB."""
    folder = tmp_path_factory.mktemp("models") / "larger"
    config = LlamaConfig(
        vocab_size=320, hidden_size=512, intermediate_size=1536, num_hidden_layers=8, num_attention_heads=8,
        num_key_value_heads=4, max_position_embeddings=256, bos_token_id=None, eos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(3)
    LlamaForCausalLM(config).eval().save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_llama).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("mapped", [True, False], ids=["mapped", "unmapped"])
@pytest.mark.parametrize("accepted", [True, False], ids=["accepted", "rejected"])
def test_the_weights_are_never_in_memory_twice(
    larger: Path, monkeypatch: pytest.MonkeyPatch, prepacked: bool, mapped: bool, accepted: bool
) -> None:
    """The process grows by a layer and what the allocator keeps for later, far from the weights of the model."""
    loaded, process = load(larger, mapped=mapped), psutil.Process()
    weights = sum(each.nbytes for each in loaded.model.parameters())
    logits_of(loaded)  # reads every page of the file
    before = process.memory_info().rss
    sizes: list[int] = []
    fused_llama, verification = part("packed.fused_llama"), part("packed.verification")
    for module, name in ((fused_llama, "fuse_linear"), (verification, "_matches_reference")):
        monkeypatch.setattr(module, name, partial(_measured, getattr(module, name), sizes, process))
    if not accepted:
        swap_queries_and_keys(None, monkeypatch)
    found = verification.verify(loaded, 100)
    assert (found.fused is not None) == accepted
    assert max(sizes) - before < 0.75 * weights
    assert process.memory_info().rss - before < 0.75 * weights


def _measured(call: Callable[..., Any], sizes: list[int], process: psutil.Process, *arguments: object) -> Any:  # noqa: ANN401 - of the plugin
    found = call(*arguments)
    sizes.append(process.memory_info().rss)
    return found


def test_a_shared_model_is_never_fused(tiny_llama: Path) -> None:
    """Other adapters may still be merged into its modules."""
    loaded = replace(load(tiny_llama), shared=True)
    before = State.of(loaded.model)
    assert part("packed.verification").verify(loaded, 100).fused is None
    check_unchanged(loaded.model, before, mapped=True)
