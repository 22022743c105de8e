"""`tune preview --tokens`: what each token adds to the text, also where a character is of several tokens."""

from dataclasses import dataclass

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from xlingual.cli.tune.preview import _pieces

TEXTS = (
    "按升序排列以下的数字。\n2, 4",
    "Gỡ bỏ khỏi từ điển",
    "नमस्ते दुनिया 😀👩\u200d👩\u200d👧 e\u0301",
    " a  b\n\n c \ufffd\ufffd x\ufffd",
    "yes yes",
)


@dataclass(frozen=True)
class Decoder:
    """The part of a model that a preview needs."""

    tokenizer: Tokenizer

    def text_of(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=False))


def _bytes() -> Tokenizer:
    """Tokens are pieces of UTF-8, as of GPT-2, Llama 3 and Qwen."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(["按升 yes yes"], trainers.BpeTrainer(vocab_size=262, initial_alphabet=alphabet))
    return made


def _words() -> Tokenizer:
    """Words with a space in front, and bytes for what is in none of them, as of Llama 2, Mistral and Gemma."""
    vocabulary = {"<unk>": 0, **{f"<0x{byte:02X}>": byte + 1 for byte in range(256)}}
    for word in ("▁", "y", "e", "s", "▁y", "es", "▁yes", "a", "b", "c", "x"):
        vocabulary[word] = len(vocabulary)
    merges = [("▁", "y"), ("e", "s"), ("▁y", "es")]
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", byte_fallback=True))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    made.decoder = decoders.Sequence(steps)
    return made


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("make", [_bytes, _words])
def test_pieces_are_the_text_and_no_part_of_a_character_is_shown(make: object, text: str) -> None:
    assert callable(make)
    base = Decoder(make())
    ids = base.tokenizer.encode(text).ids
    for part in (ids, ids[1:], ids[:-1]):
        pieces = _pieces(base, part)  # type: ignore[arg-type]
        assert len(pieces) == len(part)
        assert "".join(pieces) == base.text_of(part)
    assert "".join(_pieces(base, ids)).count("\ufffd") == text.count("\ufffd")  # type: ignore[arg-type]


def test_a_character_stands_in_the_last_of_its_tokens() -> None:
    base = Decoder(_bytes())
    pieces = _pieces(base, base.tokenizer.encode("数字 x").ids)  # type: ignore[arg-type]
    assert [each for each in pieces if each] == ["数", "字", " ", "x"]
    assert pieces[0] == ""
    words = Decoder(_words())
    assert _pieces(words, words.tokenizer.encode("yes yes").ids) == ("yes", " yes")  # type: ignore[arg-type]
