"""Models of random weights in the shapes of real ones, made on the device, and a tokenizer for them made on the spot.

Random weights do as much work as trained ones. Only where an answer ends would be left to chance; so it is: some words
of the vocabulary hold a line break or a section mark, one of so many that answers are about as long on average as real
ones. What a layer adds is scaled down, as GPT-2 begins, and embeddings are not small: else rounding errors grow from
layer to layer as they do in no trained model, and answers in bfloat16 could not be compared.
"""

import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

PAD, UNKNOWN, END = 0, 1, 2
SPECIAL = ("<pad>", "<unknown>", "<end>")
STOPS = {"\n": 36, "§": 150}
"""Stop strings, and one of how many words ends with each."""
CONTEXT = 8192
EMBEDDING_SCALE = 50.0
"""Of weights with a deviation of 0.02: it becomes 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """The sizes of a Llama."""

    name: str
    layers: int
    width: int
    heads: int
    kv_heads: int
    inner: int
    vocabulary: int = 128_256

    @property
    def head_size(self) -> int:
        """Of a head."""
        return self.width // self.heads

    @property
    def layer_weights(self) -> int:
        """Weights of all layers."""
        attention = self.width * self.head_size * (2 * self.heads + 2 * self.kv_heads)
        return self.layers * (attention + 3 * self.width * self.inner)

    @property
    def head_weights(self) -> int:
        """Weights of the head; the embeddings are looked up, not multiplied."""
        return self.width * self.vocabulary

    @property
    def kv_bytes(self) -> int:
        """Of a token in half precision."""
        return 2 * 2 * self.layers * self.kv_heads * self.head_size


SHAPES = {
    each.name: each
    for each in (
        ModelShape(name="tiny", layers=2, width=64, heads=4, kv_heads=2, inner=128, vocabulary=1024),
        ModelShape(name="1B", layers=16, width=2048, heads=32, kv_heads=8, inner=8192),
        ModelShape(name="8B", layers=32, width=4096, heads=32, kv_heads=8, inner=14336),
        ModelShape(name="70B", layers=80, width=8192, heads=64, kv_heads=8, inner=28672),
    )
}
"""Llama 3's sizes; heads and embeddings are not tied, for random ones that are tied repeat their last token."""


def part(name: str) -> ModuleType:
    """Return a module of the backend `hf`, which is none of the public names."""
    return importlib.import_module(f"xlingual.plugins.models.hf.{name}")


def make_tokenizer(vocabulary: int) -> Any:  # noqa: ANN401 - of transformers
    """Return a tokenizer of `vocabulary` words, told apart by spaces."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast

    words = [*SPECIAL, *(f"w{number}{_mark(number)}" for number in range(len(SPECIAL), vocabulary))]
    core = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}, unk_token=SPECIAL[UNKNOWN]))
    core.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=SPECIAL[PAD],
        unk_token=SPECIAL[UNKNOWN],
        eos_token=SPECIAL[END],
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def prompt_tokens(vocabulary: int) -> list[int]:
    """Return the tokens that prompts are made of: words without a mark."""
    return [number for number in range(len(SPECIAL), vocabulary) if not _mark(number)]


def _mark(number: int) -> str:
    # Primes would not matter; that both marks on one word are rare does.
    return "".join(mark for place, (mark, share) in enumerate(STOPS.items()) if number % share == place + 1)


def make_model(shape: ModelShape, device: str, dtype: "torch.dtype") -> Any:  # noqa: ANN401 - of the backend
    """Return a loaded model of random weights, the same for the same device and dtype."""
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=shape.vocabulary, hidden_size=shape.width, intermediate_size=shape.inner,
        num_hidden_layers=shape.layers, num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads,
        max_position_embeddings=CONTEXT, rope_theta=500_000.0, tie_word_embeddings=False,
        pad_token_id=PAD, bos_token_id=None, eos_token_id=END,
    )  # fmt: skip
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = LlamaForCausalLM(config).eval()
    finally:
        torch.set_default_dtype(before)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.mul_((2 * shape.layers) ** -0.5)
            layer.mlp.down_proj.weight.mul_((2 * shape.layers) ** -0.5)
        model.model.embed_tokens.weight.mul_(EMBEDDING_SCALE)
    model.generation_config = GenerationConfig()
    return part("loaded_model").LoadedModel(
        model=model,
        tokenizer=make_tokenizer(shape.vocabulary),
        device=device,
        end_ids=(END,),
        pad_id=PAD,
        context_length=CONTEXT,
        markers=(),
    )
