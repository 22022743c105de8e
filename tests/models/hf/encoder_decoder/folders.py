"""Tiny random encoder-decoders of several families, each with a tokenizer of its own class, made here."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import sentencepiece
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    GenerationConfig,
    M2M100Config,
    M2M100ForConditionalGeneration,
    M2M100Tokenizer,
    MBart50Tokenizer,
    MBartConfig,
    MBartForConditionalGeneration,
    MBartTokenizer,
    MT5Config,
    MT5ForConditionalGeneration,
    NllbTokenizer,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

TEXTS = [f"The quick brown fox number {number} jumps over the lazy dogs of Warszawa." for number in range(9)]
LETTERS = sorted(set("".join(TEXTS)) - {" "})
SPACE = "\N{LOWER ONE EIGHTH BLOCK}"


def _bpe(special: list[str]) -> Tokenizer:
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    trained.train_from_iterator(TEXTS, trainer)
    end = special.index("</s>")
    trained.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", end)])
    return trained


def _t5(folder: Path, kind: type, config: type, special: list[str]) -> None:
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_bpe(["<pad>", "</s>", *special]), eos_token="</s>", pad_token="<pad>", model_max_length=512
    )
    tokenizer.save_pretrained(folder)
    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4}
    _save(folder, kind, config(
        vocab_size=len(tokenizer), **sizes, feed_forward_proj="gated-gelu", tie_word_embeddings=False,
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=1, initializer_factor=1.0,
    ))  # fmt: skip


def mt5(folder: Path) -> None:
    """Like mT0 and Aya-101: instructions as they stand."""
    _t5(folder, MT5ForConditionalGeneration, MT5Config, [])


def madlad(folder: Path) -> None:
    """A T5 that reads the target language before the sentence."""
    _t5(folder, T5ForConditionalGeneration, T5Config, ["<2en>", "<2zh>", "<2de>", "<2iw>", "<2fil>"])


SIZES = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "init_std": 0.6,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 160,
    "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2,
}  # fmt: skip


def nllb(folder: Path) -> None:
    """With its own names of languages."""
    pieces = ["<s>", "<pad>", "</s>", "<unk>", SPACE, *LETTERS]
    tokenizer = NllbTokenizer(
        vocab={piece: index for index, piece in enumerate(pieces)}, merges=[],
        extra_special_tokens=["eng_Latn", "zho_Hans", "zho_Hant", "deu_Latn", "pes_Arab", "kor_Hang"],
    )  # fmt: skip
    tokenizer.save_pretrained(folder)
    _save(folder, M2M100ForConditionalGeneration, M2M100Config(vocab_size=len(tokenizer), **SIZES))


def m2m(folder: Path) -> None:
    """With sentencepiece and the languages outside of the vocabulary."""
    folder.mkdir(parents=True, exist_ok=True)
    model = BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS), model_writer=model, vocab_size=len(LETTERS) + 4, model_type="char",
        hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    (folder / "sentencepiece.bpe.model").write_bytes(model.getvalue())
    pieces = ["<s>", "<pad>", "</s>", "<unk>", SPACE, *LETTERS]
    (folder / "vocab.json").write_text(json.dumps({piece: index for index, piece in enumerate(pieces)}))
    tokenizer = M2M100Tokenizer(str(folder / "vocab.json"), str(folder / "sentencepiece.bpe.model"))
    tokenizer.save_pretrained(folder)
    _save(
        folder,
        M2M100ForConditionalGeneration,
        M2M100Config(vocab_size=max(tokenizer.lang_code_to_id.values()) + 9, **SIZES),
    )


def mbart50(folder: Path) -> None:
    """With the language first on both sides."""
    pieces = [(piece, 0.0) for piece in ("<s>", "<pad>", "</s>", "<unk>")]
    tokenizer = MBart50Tokenizer(vocab=[*pieces, *((piece, -2.0) for piece in (SPACE, *LETTERS))])
    tokenizer.save_pretrained(folder)
    _save(folder, MBartForConditionalGeneration, MBartConfig(vocab_size=len(tokenizer), **SIZES))


def mbart(folder: Path) -> None:
    """The first mBART: the language ends the source and begins the target."""
    pieces = [(piece, 0.0) for piece in ("<s>", "<pad>", "</s>", "<unk>")]
    tokenizer = MBartTokenizer(vocab=[*pieces, *((piece, -2.0) for piece in (SPACE, *LETTERS))])
    tokenizer.save_pretrained(folder)
    _save(folder, MBartForConditionalGeneration, MBartConfig(vocab_size=len(tokenizer), **SIZES))


def _save(folder: Path, kind: Callable[..., torch.nn.Module], config: object) -> None:
    torch.manual_seed(3)
    model = kind(config).eval()
    model.save_pretrained(folder)  # type: ignore[operator]  # of transformers
    start, end = config.decoder_start_token_id, config.eos_token_id  # type: ignore[attr-defined]  # of transformers
    GenerationConfig(decoder_start_token_id=start, eos_token_id=end, num_beams=5, max_length=200).save_pretrained(
        folder
    )
