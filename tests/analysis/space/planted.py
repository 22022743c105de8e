"""A tiny model that is made so that its middle layer knows no language: every weight is set by hand.

A token is a concept in one of three languages. Its embedding holds the concept in a block of its language's own, the
language as one dimension of three, and noise of the token's own. Layer 1 does nothing. Layer 2 moves the block of the
language to one that all share, and makes the noise 50 times smaller. Layer 3 moves it back, layer 4 does nothing. The
gates of the MLPs are opened by the dimension of the language; attention is switched off.
"""

from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from xlingual.analysis.space.sentences import ParallelText, make_parallel

LANGUAGES = ("en", "el", "zh")
NEUTRAL_LAYER = 2
CONCEPTS, DIMENSIONS, NOISE = 40, 12, 14
NOISE_LENGTH, SHRUNK = 3.0, 0.02
MARK = 0.1
"""Of the dimension of the language."""
OPEN = 1.2784645  # silu of it is 1
SHARED, OWN, TONGUE, REST = 0, 12, 48, 51
"""Where the parts of the hidden state begin: the shared block, one of each language, languages, noise."""
WIDTH = REST + NOISE - 1
_ALPHABETS = ("abcdefghij", "αβγδεζηθικ", "的一是不了人我在有他")


def word(language: int, concept: int) -> str:
    """Return the word for a concept."""
    letters = _ALPHABETS[language]
    return letters[concept // 10] + letters[concept % 10] + letters[(3 * concept + 1) % 10]


def planted_text(sentences: int = 60, words: int = 8) -> ParallelText:
    """Return parallel sentences of random concepts; the words stand in the same order."""
    concepts = np.random.default_rng(9).integers(CONCEPTS, size=(sentences, words))
    lines = [[" ".join(word(each, int(one)) for one in row) for row in concepts] for each in range(3)]
    return make_parallel(LANGUAGES, lines)


def make_planted_model(folder: Path, *, neutral: bool = True) -> Path:
    """Write the model into `folder`; not `neutral`: with layers that do nothing."""
    vocabulary = {"<unk>": 0}
    for language in range(3):
        for concept in range(CONCEPTS):
            vocabulary[word(language, concept)] = len(vocabulary)
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="<unk>").save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=WIDTH, intermediate_size=3 * (DIMENSIONS + NOISE), num_hidden_layers=4,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=128, tie_word_embeddings=False,
        rms_norm_eps=1e-12,
    )  # fmt: skip
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        _set_weights(model, neutral=neutral)
    model.save_pretrained(folder)
    return folder


def _set_weights(model: LlamaForCausalLM, *, neutral: bool) -> None:
    generator = np.random.default_rng(1)
    meanings = _unit(generator.normal(size=(CONCEPTS, DIMENSIONS)))
    noise = NOISE_LENGTH * _unit(generator.normal(size=(3 * CONCEPTS, NOISE - 1)))
    embedding = np.zeros((1 + 3 * CONCEPTS, WIDTH))
    head = np.zeros_like(embedding)
    for language in range(3):
        rows = slice(1 + language * CONCEPTS, 1 + (language + 1) * CONCEPTS)
        own = slice(OWN + language * DIMENSIONS, OWN + (language + 1) * DIMENSIONS)
        embedding[rows, own] = head[rows, own] = meanings
        embedding[rows, TONGUE + language] = MARK
        embedding[rows, REST:] = noise[language * CONCEPTS : (language + 1) * CONCEPTS]
    head[1 : 1 + CONCEPTS, SHARED : SHARED + DIMENSIONS] = meanings  # the shared block is read as English
    embedding[0] = embedding[1]
    model.model.embed_tokens.weight.copy_(torch.tensor(embedding))
    model.lm_head.weight.copy_(torch.tensor(head))
    for number, layer in enumerate(model.model.layers, start=1):
        layer.self_attn.o_proj.weight.zero_()
        for part in (layer.mlp.gate_proj, layer.mlp.up_proj, layer.mlp.down_proj):
            part.weight.zero_()
        if neutral and number in (NEUTRAL_LAYER, NEUTRAL_LAYER + 1):
            _move(layer, to_shared=number == NEUTRAL_LAYER)


def _move(layer: torch.nn.Module, *, to_shared: bool) -> None:
    """Set the weights of an MLP that moves the block of the language, and scales the noise."""
    mlp: torch.nn.Module = layer.mlp  # type: ignore[assignment]  # of torch
    gate, up, down = (getattr(mlp, name).weight for name in ("gate_proj", "up_proj", "down_proj"))
    length = 1.0 + MARK**2 + (NOISE_LENGTH * (1.0 if to_shared else SHRUNK)) ** 2
    scale = float(np.sqrt(length / WIDTH))  # what the norm divides by
    for language in range(3):
        for index in range(DIMENSIONS + NOISE - 1):
            unit = language * (DIMENSIONS + NOISE) + index
            gate[unit, TONGUE + language] = OPEN * scale / MARK
            if index < DIMENSIONS:
                own, shared = OWN + language * DIMENSIONS + index, SHARED + index
                source, target = (own, shared) if to_shared else (shared, own)
                up[unit, source] = scale
                down[target, unit], down[source, unit] = 1.0, -1.0
            else:
                dimension = REST + index - DIMENSIONS
                up[unit, dimension] = scale
                down[dimension, unit] = (SHRUNK - 1.0) if to_shared else (1.0 / SHRUNK - 1.0)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
