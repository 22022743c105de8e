"""A pack has the loss and the gradients that transformers computes for the same rows as a padded batch."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from xlingual.errors import ModelError
from xlingual.training import attention, loss
from xlingual.training.batches import Batch, build_batch, loss_normalizer
from xlingual.training.linear import use_onednn_linear
from xlingual.training.loading import matches_reference
from xlingual.training.loss import ModelWithLoss
from xlingual.training.obstacles import refuse_unknown
from xlingual.tune.recipe_records import Norm
from xlingual.tune.records import EncodedRows

CPU = torch.device("cpu")
SHAPE: dict[str, Any] = {
    "vocab_size": 96, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "initializer_range": 0.12, "bos_token_id": 1,
    "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
FAMILIES: dict[str, Callable[[], PreTrainedConfig]] = {
    "llama": lambda: LlamaConfig(**SHAPE),
    "llama, tied": lambda: LlamaConfig(**SHAPE, tie_word_embeddings=True),
    "llama, scaled rotary": lambda: LlamaConfig(
        **SHAPE, rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}
    ),
    "qwen2": lambda: Qwen2Config(**SHAPE),
    "qwen2, sliding": lambda: Qwen2Config(**SHAPE, use_sliding_window=True, sliding_window=5, max_window_layers=1),
    "qwen3": lambda: Qwen3Config(**SHAPE, head_dim=8),
    "mistral, sliding": lambda: MistralConfig(**SHAPE, sliding_window=6),
    "gemma2": lambda: Gemma2Config(
        **SHAPE, head_dim=8, query_pre_attn_scalar=8, sliding_window=5, attn_logit_softcapping=2.0,
        final_logit_softcapping=3.0,
    ),
    "gemma3": lambda: Gemma3TextConfig(**SHAPE, head_dim=8, query_pre_attn_scalar=8, sliding_window=5),
}  # fmt: skip


def _model(config: PreTrainedConfig, implementation: str) -> Any:  # noqa: ANN401 - of transformers
    torch.manual_seed(5)
    return AutoModelForCausalLM.from_config(copy.deepcopy(config), attn_implementation=implementation)


def _ours(config: PreTrainedConfig) -> ModelWithLoss:
    attention.register()
    model = ModelWithLoss(_model(config, attention.NAME))
    use_onednn_linear(model)
    return model


def _rows() -> EncodedRows:
    lengths = np.array([9, 17, 4, 12, 23])
    return EncodedRows(
        tokens=np.random.default_rng(2).integers(3, 96, lengths.sum()).astype(np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        answer_starts=np.array([4, 6, 3, 0, 20]),
        sources=np.array([0, 1, 0, 1, 1]),
        draws=np.ones(5, dtype=np.int64),
    )


def _padded(rows: EncodedRows) -> dict[str, torch.Tensor]:
    """The rows as transformers' default collator makes them: padded on the right, prompts masked in the labels."""
    longest = int(rows.lengths.max())
    ids, mask = torch.zeros(len(rows), longest, dtype=torch.long), torch.zeros(len(rows), longest, dtype=torch.long)
    labels = torch.full((len(rows), longest), -100)
    for row in range(len(rows)):
        piece = torch.from_numpy(rows.tokens[rows.offsets[row] : rows.offsets[row + 1]].astype(np.int64))
        ids[row, : len(piece)], mask[row, : len(piece)] = piece, 1
        labels[row, rows.answer_starts[row] : len(piece)] = piece[rows.answer_starts[row] :]
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def _batch(rows: EncodedRows, chosen: list[int], norm: Norm = Norm.TOKEN) -> Batch:
    counts = [5, 11, 1, 11, 3]
    return build_batch(rows, chosen, loss_normalizer(counts, norm, 2), CPU)


def _backward(model: torch.nn.Module, losses: list[torch.Tensor]) -> tuple[float, dict[str, torch.Tensor]]:
    total = torch.stack(losses).sum()
    torch.autograd.backward(total)
    return float(total.detach()), {
        name.removeprefix("lm."): each.grad for name, each in model.named_parameters() if each.grad is not None
    }


def _expect_equal(ours: tuple[float, dict[str, torch.Tensor]], theirs: tuple[float, dict[str, torch.Tensor]]) -> None:
    assert ours[0] == pytest.approx(theirs[0], abs=1e-6, rel=1e-6)
    assert ours[1].keys() == theirs[1].keys()
    assert max(float(each.abs().max()) for each in theirs[1].values()) > 0.05
    for name, gradient in theirs[1].items():
        assert float((ours[1][name] - gradient).abs().max()) <= 1e-6, name


@pytest.mark.parametrize("family", FAMILIES)
def test_loss_and_gradients_are_those_of_a_padded_batch(family: str) -> None:
    rows, config = _rows(), FAMILIES[family]()
    oracle = _model(config, "eager")
    padded = _padded(rows)
    supervised = int((padded["labels"][:, 1:] != -100).sum())
    assert supervised == 31
    expected = oracle(**padded, num_items_in_batch=supervised, use_cache=False).loss
    model = _ours(config)
    found = []
    for chosen in ([3, 0, 2], [1, 4]):  # two packs, as on two ranks or in two micro-batches
        batch = _batch(rows, chosen)
        found.append((model(batch) * batch.loss_weights).sum())
    _expect_equal(_backward(model, found), _backward(oracle, [expected]))


def test_normalisation_by_rows_is_the_mean_of_row_means() -> None:
    rows, config = _rows(), FAMILIES["llama"]()
    oracle, model = _model(config, "sdpa"), _ours(config)
    padded = _padded(rows)
    means = [oracle(**{name: each[row : row + 1] for name, each in padded.items()}).loss / 5 for row in range(5)]
    batch = _batch(rows, [0, 1, 2, 3, 4], Norm.ROW)
    _expect_equal(_backward(model, [(model(batch) * batch.loss_weights).sum()]), _backward(oracle, means))


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_the_loss_in_chunks_is_the_same(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = _rows()
    batch = _batch(rows, [0, 1, 2, 3, 4])
    whole, parts = _ours(FAMILIES[family]()), _ours(FAMILIES[family]())
    expected = _backward(whole, [(whole(batch) * batch.loss_weights).sum()])
    monkeypatch.setattr(loss, "CHUNK_LOGITS", 1)
    monkeypatch.setattr(loss, "MIN_CHUNK_TOKENS", 7)
    _expect_equal(_backward(parts, [(parts(batch) * batch.loss_weights).sum()]), expected)


def test_documents_of_a_pack_do_not_attend_to_each_other() -> None:
    """Pitfall 1: transformers' packing leaks by 0.86 in a logit where a mask or the cache is on."""
    rows, model = _rows(), _ours(FAMILIES["llama"]()).eval()
    with torch.no_grad():
        alone = torch.cat([model(_batch(rows, [row])) for row in (3, 0, 4)])
        together = model(_batch(rows, [3, 0, 4]))
    assert float((alone - together).abs().max()) < 2e-6
    leaking = _model(FAMILIES["llama"](), "sdpa")
    batch = _batch(rows, [3, 0, 4])
    mask = torch.ones_like(batch.input_ids)
    with torch.no_grad():
        logits = leaking(input_ids=batch.input_ids, position_ids=batch.position_ids, attention_mask=mask).logits
    leaked = torch.nn.functional.cross_entropy(logits[0, batch.predictors], batch.labels, reduction="none")
    assert float((leaked - together).abs().max()) > 0.01  # the test can fail


@pytest.mark.parametrize("chosen", [[], [4]])
def test_a_pack_without_supervised_tokens_has_no_gradient(chosen: list[int]) -> None:
    """Pitfall 11: empty packs keep ranks in lock-step."""
    rows, model = _rows(), _ours(FAMILIES["gemma3"]())
    rows.answer_starts[4] = 23
    batch = build_batch(rows, chosen, loss_normalizer([3], Norm.TOKEN, 2), CPU)
    assert batch.source_ids.tolist() == [2]
    total, gradients = _backward(model, [(model(batch) * batch.loss_weights).sum()])
    assert total == 0.0
    assert gradients
    assert all(float(each.abs().max()) == 0.0 for each in gradients.values())


@pytest.mark.parametrize("family", FAMILIES)
def test_packs_match_the_reference(family: str) -> None:
    assert matches_reference(_ours(FAMILIES[family]()), CPU, torch.float32)


def test_what_packs_do_not_compute_does_not_match_the_reference() -> None:
    """Documents that attend to each other."""
    leaking = _ours(FAMILIES["llama"]())
    decoder: Any = leaking.language_model.get_decoder()

    def leak(documents: attention.PackedDocuments | None = None, **others: object) -> object:
        whole = attention.pack_documents([documents.boundaries[-1]], CPU) if documents else None
        return type(decoder).forward(decoder, documents=whole, **others)

    decoder.forward = leak
    assert not matches_reference(leaking, CPU, torch.float32)


@pytest.mark.parametrize(
    ("config", "what"),
    [
        (MixtralConfig(**SHAPE), "experts"),
        (LlamaConfig(**SHAPE, quantization_config={"quant_method": "bitsandbytes"}), "quantized"),
        (LlamaConfig(**{**SHAPE, "max_position_embeddings": 16}), "16 positions"),
        (
            LlamaConfig(
                **SHAPE,
                rope_parameters={
                    "rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4, "original_max_position_embeddings": 16,
                },
            ),
            "rotary",
        ),
    ],
)  # fmt: skip
def test_configurations_that_packs_do_not_compute_are_refused(config: PreTrainedConfig, what: str) -> None:
    with pytest.raises(ModelError, match=what):
        refuse_unknown(config, 32, "here")


def test_plain_configurations_are_not_refused() -> None:
    for make in FAMILIES.values():
        refuse_unknown(make(), 64, "here")
