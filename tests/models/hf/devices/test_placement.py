"""Which layers go to which device: by the memory that is free, everything placed once, nothing that cannot be cut."""

import itertools
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers

from xlingual.cli import run_command
from xlingual.errors import EnvironmentFault, ModelError, UsageError
from xlingual.plugin import ModelOptions
from xlingual.registry import MODELS

from ..architectures import Architecture, build, dense, experts_and_wrappers, static, windowed
from ..paged.machines import part

GIB = 2**30
EVERY = [*dense(), *windowed(), *experts_and_wrappers(), *static()]
UNCUT = {"BioGPT": "transformers does not say between which of its modules it may be cut"}
"""Architectures that are not sharded, and why."""


def parts(layers: list[int], others: int) -> Any:  # noqa: ANN401 - of the plugin
    names = tuple(f"model.layers.{index}" for index in range(len(layers)))
    return part("devices.placement").ModelParts(names, tuple(layers), ("model.embed", "head"), others)


def place(layers: list[int], others: int, *free: int) -> Any:  # noqa: ANN401 - of the plugin
    named = [(f"cuda:{index}", each) for index, each in enumerate(free)]
    return part("devices.placement").place(parts(layers, others), named, "org/model")


def test_equal_devices_get_equal_shares_and_the_first_whatever_is_no_layer() -> None:
    """Llama 3.3 70B in bfloat16: 80 layers of 1.59 GiB, embedding and head of 1.96 GiB each."""
    found = place([int(1.594 * GIB)] * 80, int(3.914 * GIB), *[79 * GIB] * 2)
    assert [each.layers for each in found.shares] == [range(39), range(39, 80)]
    assert found.words == "layers 0-38 and what is no layer on cuda:0; layers 39-79 on cuda:1"
    assert found.memory_words == (
        "layers 0-38 and what is no layer on cuda:0: 66.1 GiB of 79.0 GiB free; "
        "layers 39-79 on cuda:1: 65.4 GiB of 79.0 GiB free"
    )
    assert found.device_map["head"] == found.device_map["model.layers.38"] == "cuda:0"
    assert found.device_map["model.layers.39"] == "cuda:1"


def test_a_device_gets_as_much_as_it_has_memory_and_none_that_would_hold_nothing() -> None:
    found = place([10] * 9, 0, 100, 200)
    assert [len(each.layers) for each in found.shares] == [3, 6]
    found = place([10, 10], 0, 1000, 1000, 1000)
    assert found.devices == ("cuda:0", "cuda:1")
    found = place([10] * 4, 80, 100, 100)
    assert [(len(each.layers), each.weights) for each in found.shares] == [(0, 80), (4, 40)]
    assert found.words == "what is no layer on cuda:0; layers 0-3 on cuda:1"


def test_the_fullest_device_is_as_empty_as_it_can_be() -> None:
    """Held against all ways to cut."""
    generator = random.Random(4)
    for _ in range(60):
        layers = [generator.randint(1, 9) for _ in range(generator.randint(2, 7))]
        others, free = generator.randint(0, 9), [generator.randint(60, 200) for _ in range(3)]
        found = place(layers, others, *free)
        fullest = max(each.weights / each.free for each in found.shares)

        def filled(
            cuts: tuple[int, ...], layers: list[int] = layers, others: int = others, free: list[int] = free
        ) -> float:
            ends = [0, *cuts, len(layers)]
            sums = [sum(layers[start:end]) for start, end in itertools.pairwise(ends)]
            return max(float(each + (0 if number else others)) / free[number] for number, each in enumerate(sums))

        best = min(filled(cuts) for cuts in itertools.combinations_with_replacement(range(len(layers) + 1), 2))
        assert fullest == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize(
    ("layers", "others", "free", "lacking"),
    [([10] * 10, 0, (50, 40), "30.0 GiB"), ([10] * 2, 60, (50, 50), "15.0 GiB"), ([100], 0, (50, 50), "100.0 GiB")],
)
def test_a_refusal_says_how_much_memory_is_missing(
    layers: list[int], others: int, free: tuple[int, int], lacking: str
) -> None:
    with pytest.raises(EnvironmentFault, match="the weights have") as caught:
        place([each * GIB for each in layers], others * GIB, *(each * GIB for each in free))
    assert f"{lacking} find no place" in caught.value.what
    assert f"{free[0]}.0 GiB on cuda:0, {free[1]}.0 GiB on cuda:1" in caught.value.what
    assert caught.value.hint == "name more devices, or a smaller dtype"


@pytest.mark.parametrize("architecture", EVERY, ids=lambda each: each.name)
def test_every_weight_of_an_architecture_has_one_place(architecture: Architecture) -> None:
    """The bytes of all parts are those of the model, and the device map names every tensor once."""
    with torch.device("meta"):
        model = build(architecture)
    module = part("devices.placement")
    try:
        found = module.parts_of(model, 4, 4)
    except ValueError as error:
        assert str(error) == UNCUT[architecture.name]  # noqa: PT017 - the others have parts
        return
    assert architecture.name not in UNCUT
    tensors = {id(each): each for each in [*model.parameters(), *model.buffers()]}.values()
    assert found.other_bytes + sum(found.layer_bytes) == sum(
        each.numel() * (4 if each.is_floating_point() else each.element_size()) for each in tensors
    )
    assert len(found.layers) == len(found.layer_bytes) == 4
    placed = module.place(found, [("cuda:0", 10**8), ("cuda:1", 10**8)], "x").device_map
    for name in model.state_dict():
        assert sum(f"{name}.".startswith(f"{each}.") for each in placed) == 1, name


@pytest.mark.parametrize(
    ("device", "engine", "what"),
    [
        ("cpu", None, "all CPUs share one memory"),
        ("cpu,cpu", None, "all CPUs share one memory"),
        ("cuda:0", None, "--device cuda:0 is one device"),
        ("cuda,cuda:0", None, "a device is named twice: 'cuda,cuda:0'"),
        ("cuda:0,cpu", None, "not devices of one kind: 'cuda:0,cpu'"),
        ("cuda:0,cuda:1", "packed", "the packed engine computes on one device"),
    ],
)
def test_devices_that_no_model_is_sharded_over(device: str, engine: str | None, what: str, tiny_llama: Path) -> None:
    with pytest.raises(UsageError) as caught:
        MODELS.get("hf")(str(tiny_llama), ModelOptions(device=device, shard=True, engine=engine))
    assert caught.value.what == what
    assert caught.value.hint


def test_a_device_that_this_machine_does_not_have(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(EnvironmentFault, match="this machine has no cuda:7"):
        MODELS.get("hf")(str(tiny_llama), ModelOptions(device="cuda:0,cuda:7", shard=True))
    assert part("devices.placement").shard_devices(ModelOptions(shard=True)) == ("cuda:0", "cuda:1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match="this machine is one device"):
        part("devices.placement").shard_devices(ModelOptions(shard=True))


@pytest.fixture
def two_devices(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Let this machine seem to have two GPUs with so much memory free; nothing can be loaded there."""

    def seem(first: int, second: int) -> None:
        free = {"cuda:0": first, "cuda:1": second}
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        monkeypatch.setattr(part("devices.placement"), "free_bytes", free.__getitem__)

    return seem


def test_the_doctor_says_how_a_model_would_be_placed(
    tiny_llama: Path, two_devices: Callable[[int, int], None], capsys: pytest.CaptureFixture[str]
) -> None:
    two_devices(GIB, GIB)
    words = ["doctor", "-m", str(tiny_llama), "--device", "cuda:all", "--shard", "--dtype", "float32"]
    assert run_command(words) == 0
    found = " ".join(capsys.readouterr().out.split())
    assert "placement" in found
    assert "on cuda:0: 0.0 GiB of 1.0 GiB free" in found
    two_devices(2**15, 2**14)
    assert run_command(words) == 5
    assert "find no place" in capsys.readouterr().err


def test_what_is_refused_before_it_is_loaded(
    tiny_llama: Path, two_devices: Callable[[int, int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    two_devices(GIB, GIB)
    model: Any = MODELS.get("hf")(str(tiny_llama), ModelOptions(device="cuda:0,cuda:1", shard=True))
    alone: Any = MODELS.get("hf")(str(tiny_llama), ModelOptions(device="cuda:0"))
    assert model.spec.fingerprint == alone.spec.fingerprint
    assert model.spec.details["placement"] == "over cuda:0, cuda:1"
    module = part("devices.placement")
    for change, what in (
        ({"quantized": True}, "the memory of quantized weights is not known before they are loaded"),
        ({"encoder_decoder": object()}, "an encoder-decoder has two stacks of layers"),
    ):
        with pytest.raises(ModelError, match=what):
            module.check_shardable(replace(model.description, **change))
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *_: None if name == "accelerate" else object())
    with pytest.raises(EnvironmentFault, match="the package accelerate is not installed"):
        MODELS.get("hf")(str(tiny_llama), ModelOptions(device="cuda:0,cuda:1", shard=True))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_an_adapter_is_merged_into_a_placed_model_and_taken_out_again(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On "cpu:0" and "cpu:1", which are two names of one memory; accelerate would take the weights off from there."""
    monkeypatch.setattr(transformers.modeling_utils, "accelerate_dispatch", lambda *_given, **_named: None)
    adapted = peft.get_peft_model(
        transformers.AutoModelForCausalLM.from_pretrained(tiny_llama),
        peft.LoraConfig(r=4, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM", init_lora_weights=False),
    )
    adapted.save_pretrained(tmp_path / "adapter")
    ids = torch.tensor([[5, 9, 17, 30]])
    options = ModelOptions(device="cpu", engine="static")
    expected = {}
    for name in (f"{tiny_llama}", f"{tiny_llama}+{tmp_path / 'adapter'}"):
        whole: Any = MODELS.get("hf")(name, options)
        expected[name] = whole._load().model(input_ids=ids).logits
        whole.close()
    plain, tuned = expected.values()
    assert not torch.allclose(plain, tuned, atol=0.1)
    module, loading, adapters = (
        part(f"{each}") for each in ("devices.placement", "checkpoint.loading", "checkpoint.adapters")
    )
    placed = module.place(module.read_parts(whole.description), [("cpu:0", 10**5), ("cpu:1", 10**5)], "x")
    assert placed.devices == ("cpu:0", "cpu:1")
    loaded = loading.load(whole.description, options, placed)
    assert torch.equal(loaded.model(input_ids=ids).logits, tuned)
    adapters.release_model(loaded.model)
    assert torch.equal(loaded.model(input_ids=ids).logits, plain)
    adapters.SHARED.free()
