"""Pooled states against transformers' own `output_hidden_states`, one text at a time, pooled here by hand."""

import importlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    MambaConfig,
    MambaForCausalLM,
)

from xlingual.errors import EnvironmentFault, ModelError
from xlingual.plugin import LogitLens, ModelOptions, SupportsHiddenStates, SupportsNotes, TextStates
from xlingual.registry import MODELS

from ..architectures import build, windowed

TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    "fox",
    "中国的首都是北京。",
    "Warszawa is the capital of Poland, and the Vistula runs through it.\n\nQuestion: where?",
    "a",
]
LENS = LogitLens(positions=3, top_k=4)


def _folder(kind: str, tiny_llama: Path, folder: Path) -> Path:
    """Return a tiny model of a kind, with the tokenizer of the tiny Llama."""
    if kind == "llama":
        return tiny_llama
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    vocabulary = len(tokenizer)
    torch.manual_seed(3)
    made: dict[str, torch.nn.Module] = {
        "gemma3": Gemma3ForCausalLM(
            Gemma3TextConfig(
                vocab_size=vocabulary, hidden_size=32, intermediate_size=48, num_hidden_layers=3,
                num_attention_heads=2, num_key_value_heads=1, head_dim=16, sliding_window=64, pad_token_id=0,
            )
        ),
        "gpt2": GPT2LMHeadModel(
            GPT2Config(vocab_size=vocabulary, n_positions=128, n_embd=32, n_layer=2, n_head=2, eos_token_id=2)
        ),
        "gpt_neox": GPTNeoXForCausalLM(
            GPTNeoXConfig(
                vocab_size=vocabulary, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
                intermediate_size=64, max_position_embeddings=128,
            )
        ),
        "mamba": MambaForCausalLM(
            MambaConfig(vocab_size=vocabulary, hidden_size=32, num_hidden_layers=2, state_size=8, pad_token_id=0)
        ),
    }  # fmt: skip
    made[kind].save_pretrained(folder)  # type: ignore[operator]  # of transformers
    tokenizer.save_pretrained(folder)
    return folder


def _open(folder: Path, **options: object) -> SupportsHiddenStates:
    model = MODELS.get("hf")(str(folder), ModelOptions(device="cpu", **options))  # type: ignore[arg-type]  # of a test
    assert isinstance(model, SupportsHiddenStates)
    return model


@lru_cache(maxsize=2)
def _load(folder: Path) -> tuple[Any, Any]:
    return AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


def _expected(folder: Path, text: str) -> tuple[NDArray[np.float32], NDArray[np.float32], list[NDArray[np.float32]]]:
    """Return mean, last token and all states of one text, by transformers."""
    model, tokenizer = _load(folder)
    ids = tokenizer(text, return_tensors="pt").input_ids
    with torch.inference_mode():
        states = model(input_ids=ids, output_hidden_states=True, use_cache=False).hidden_states
    layers = [each[0].float().numpy() for each in states]
    means = np.stack([each[1:].mean(0) if len(each) > 1 else each[0] for each in layers])
    return means, np.stack([each[-1] for each in layers]), layers


@pytest.mark.parametrize("engine", ["packed", "static"])
@pytest.mark.parametrize("kind", ["llama", "gemma3", "gpt2", "gpt_neox", "mamba"])
def test_states_are_those_of_transformers(kind: str, engine: str, tiny_llama: Path, tmp_path: Path) -> None:
    folder = _folder(kind, tiny_llama, tmp_path / kind)
    found = list(_open(folder, engine=engine).hidden_states(TEXTS, None))
    assert [each.predictions for each in found] == [None] * len(TEXTS)
    for text, states in zip(TEXTS, found, strict=True):
        mean, last, _ = _expected(folder, text)
        scale = np.abs(mean).max()
        assert states.mean.dtype == states.last.dtype == np.float32
        np.testing.assert_allclose(states.mean, mean, atol=2e-5 * scale)
        np.testing.assert_allclose(states.last, last, atol=2e-5 * scale)
        assert list(states.ids) == _load(folder)[1](text).input_ids


@pytest.mark.parametrize("refused", [False, True], ids=["taken", "refused"])
def test_states_on_a_gpu_come_of_the_packed_engine_only_after_its_trial(
    refused: bool, tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There the paged engine answers prompts, and it takes models that the packed one does not: Gemma 4."""
    module: Any = importlib.import_module("xlingual.plugins.models.hf")
    monkeypatch.setattr(module, "default_engine", lambda _device: "paged")
    folder = tiny_llama
    if refused:
        folder = tmp_path / "gemma4"
        model = build(next(each for each in windowed() if each.name == "Gemma 4"))
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(tiny_llama).save_pretrained(folder)
    asked: Any = _open(folder)
    assert len(list(asked.hidden_states(TEXTS, None))) == len(TEXTS)
    assert asked.loaded.verified is not refused
    for text, states in zip(TEXTS, asked.hidden_states(TEXTS, None), strict=True):
        mean, _, _ = _expected(folder, text)
        np.testing.assert_allclose(states.mean, mean, atol=1e-4 * np.abs(mean).max())


def test_engines_that_do_not_take_the_model_are_not_asked(tiny_llama: Path, tmp_path: Path) -> None:
    model = _open(_folder("mamba", tiny_llama, tmp_path / "mamba"))
    notes: list[str] = []
    assert isinstance(model, SupportsNotes)
    model.on_note(notes.append)
    list(model.hidden_states(TEXTS[:1], None))
    assert any("static batches answer" in each for each in notes)


@pytest.mark.parametrize("kind", ["llama", "gemma3", "gpt2", "gpt_neox"])
def test_the_lens_is_norm_and_head(kind: str, tiny_llama: Path, tmp_path: Path) -> None:
    folder = _folder(kind, tiny_llama, tmp_path / kind)
    model = _load(folder)[0]
    norm = {"llama": "norm", "gemma3": "norm", "gpt2": "ln_f", "gpt_neox": "final_layer_norm"}[kind]
    found = list(_open(folder).hidden_states(TEXTS, LENS))
    places = importlib.import_module("xlingual.plugins.models.hf.hidden_states.logit_lens").lens_positions
    for text, states in zip(TEXTS, found, strict=True):
        layers = _expected(folder, text)[2]
        assert states.predictions is not None
        assert states.predictions.shape == (len(layers), 3, 4)
        for layer, values in enumerate(layers):
            hidden = torch.tensor(values[places(len(values), 3)])
            with torch.inference_mode():
                normed = hidden if layer == len(layers) - 1 else getattr(model.base_model, norm)(hidden)
                logits = model.get_output_embeddings()(normed)
            chosen = torch.tensor(states.predictions[layer])
            # The tokens may change places where logits are equal up to rounding.
            torch.testing.assert_close(logits.gather(1, chosen), logits.topk(4).values, atol=1e-4, rtol=1e-4)
    last = found[0].predictions
    assert last is not None
    with torch.inference_mode():
        own = model(input_ids=torch.tensor([found[0].ids])).logits[0, -1]
    assert int(last[-1, -1, 0]) == int(own.argmax())


def test_without_a_norm_that_proves_itself_there_is_no_lens(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        importlib.import_module("xlingual.plugins.models.hf.hidden_states.logit_lens"), "NORM_NAMES", ()
    )
    model = _open(_folder("gpt2", tiny_llama, tmp_path / "gpt2"))
    notes: list[str] = []
    assert isinstance(model, SupportsNotes)
    model.on_note(notes.append)
    assert next(model.hidden_states(TEXTS[:1], LENS)).predictions is None
    assert any("no logit lens" in each for each in notes)


@pytest.mark.parametrize(
    ("tokens", "count", "places"),
    [(1, 4, [0, 0, 0, 0]), (2, 2, [1, 1]), (8, 4, [1, 3, 5, 7]), (100, 2, [49, 99]), (3, 4, [1, 1, 1, 2])],
)
def test_places_of_the_lens(tokens: int, count: int, places: list[int]) -> None:
    found = importlib.import_module("xlingual.plugins.models.hf.hidden_states.logit_lens").lens_positions(tokens, count)
    assert found == places


def test_a_text_does_not_depend_on_its_neighbours(tiny_llama: Path) -> None:
    together = list(_open(tiny_llama).hidden_states(TEXTS, None))
    model = _open(tiny_llama)
    alone = [next(model.hidden_states([each], None)) for each in TEXTS]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one.mean, other.mean, atol=1e-6 * np.abs(other.mean).max(), rtol=1e-4)


def test_sums_are_in_float32_in_half_precision(tiny_llama: Path) -> None:
    text = " ".join(TEXTS[:1] * 5)
    full = next(_open(tiny_llama, dtype="float32").hidden_states([text], None))
    half = next(_open(tiny_llama, dtype="bfloat16").hidden_states([text], None))
    assert half.mean.dtype == np.float32
    # Of the embedding every state is rounded, but not their sum: the mean has more digits than bfloat16.
    rounded = torch.tensor(half.mean[0]).bfloat16().float().numpy()
    assert (rounded != half.mean[0]).mean() > 0.5
    np.testing.assert_allclose(half.mean[0], full.mean[0], rtol=0.02, atol=0.01)


class OutOfMemory:
    """Stands for a forward pass that holds no more than so many texts."""

    def __init__(self, run: object, most: int) -> None:
        self.run, self.most = run, most
        self.sizes: list[int] = []

    def __call__(self, loaded: object, texts: Sequence[tuple[int, ...]], plan: object) -> list[TextStates]:
        if len(texts) > self.most:
            raise torch.OutOfMemoryError("out of memory")
        self.sizes.append(len(texts))
        found: list[TextStates] = self.run(loaded, texts, plan)  # type: ignore[operator]  # the engine's own
        return found


@pytest.mark.slow
def test_short_memory_halves_the_passes(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = importlib.import_module("xlingual.plugins.models.hf.hidden_states.passes")
    whole = list(_open(tiny_llama).hidden_states(TEXTS * 2, None))
    short = OutOfMemory(passes._run_pass, most=3)
    monkeypatch.setattr(passes, "_run_pass", short)
    found = list(_open(tiny_llama).hidden_states(TEXTS * 2, None))
    assert [each.ids for each in found] == [each.ids for each in whole]
    assert max(short.sizes) <= 3
    short.most = 0
    with pytest.raises(EnvironmentFault, match="does not hold the states of a text"):
        list(_open(tiny_llama).hidden_states(TEXTS, None))


def test_what_the_model_cannot_take(tiny_llama: Path) -> None:
    model = _open(tiny_llama)
    with pytest.raises(ModelError, match="text 2 of 2 has 3000 tokens, and the model takes 256"):
        list(model.hidden_states(["a", "a " * 1500], None))
    with pytest.raises(ModelError, match="text 1 of 1 has no tokens"):
        list(model.hidden_states([""], None))
    assert list(model.hidden_states([], None)) == []


def test_memory_holds_one_pass(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts are taken as they come: what was yielded is all that was computed, up to a pass."""
    passes = importlib.import_module("xlingual.plugins.models.hf.hidden_states.passes")
    monkeypatch.setattr(passes, "MAX_PASS_TOKENS", 40)
    computed: list[int] = []
    run = passes._run_pass

    def counted(loaded: object, texts: Sequence[tuple[int, ...]], plan: object) -> object:
        computed.append(len(texts))
        return run(loaded, texts, plan)

    monkeypatch.setattr(passes, "_run_pass", counted)
    stream: Iterator[TextStates] = _open(tiny_llama).hidden_states(["The fox"] * 200, None)
    next(stream)
    assert sum(computed) < 20
