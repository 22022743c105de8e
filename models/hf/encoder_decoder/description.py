"""What a decoder begins its answers with, and how a translator is told its languages."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from xlingual.errors import ModelError
from xlingual.identity import Json

from .languages import find_code

TRANSLATORS = ("m2m_100", "mbart", "nllb-moe")
"""Model types, with NLLB's dense models under M2M-100's."""
NLLB_CODE = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")
MADLAD_CODE = re.compile(r"<2(\w+)>")
FEWEST_PREFIXES = 2
"""A T5 with so many language tokens translates."""


class TargetToken(StrEnum):
    """Where a translator is told the target language."""

    FORCED = "forced"
    """The first token that the decoder says, as in NLLB, M2M-100 and mBART-50."""
    START = "start"
    """The token that the decoder begins with, as in the first mBART."""
    PREFIX = "prefix"
    """Before the sentence, `<2zh> ...`, as in MADLAD."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Translator:
    """How a translator is told its languages."""

    codes: Mapping[str, int]
    """Its codes, with the token of each."""
    target: TargetToken

    def source_code(self, language: str) -> str | None:
        """Return the code that its tokenizer is told for our code of the source language; None where it is not told.

        Raises ModelError for a language that it does not have.
        """
        return None if self.target is TargetToken.PREFIX else self.code(language)

    def code(self, language: str) -> str:
        """Return its code of our `language`; ModelError where it has none."""
        if (found := find_code(language, self.codes)) is None:
            some = ", ".join(sorted(self.codes)[:8])
            raise ModelError(f"the model does not translate {language}", hint=f"it has {len(self.codes)}: {some}, ...")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderDecoder:
    """What an encoder-decoder says an answer after."""

    start: int
    """The token that the decoder begins with."""
    forced: int | None
    """The first token of every answer, where the model's configuration forces one."""
    translator: Translator | None
    """None: it answers instructions."""

    def decoder_prompt(self, target: str | None) -> tuple[int, ...]:
        """Return the tokens that the decoder is given, for an answer in our code `target` of a language.

        Raises ModelError for a language that a translator does not have.
        """
        if self.translator is None or target is None:
            return (self.start,) if self.forced is None else (self.start, self.forced)
        token = self.translator.codes[self.translator.code(target)]
        match self.translator.target:
            case TargetToken.FORCED:
                return (self.start, token)
            case TargetToken.START:
                return (token,)
            case TargetToken.PREFIX:
                return (self.start,)


def describe_encoder_decoder(
    config: object, generation: Mapping[str, Json], tokenizer: object
) -> EncoderDecoder | None:
    """Return what an encoder-decoder says an answer after; None for any other architecture.

    Raises ModelError where no file says what its decoder begins with.
    """
    if not getattr(config, "is_encoder_decoder", False):
        return None
    shipped = (generation.get("decoder_start_token_id"), getattr(config, "decoder_start_token_id", None),
               getattr(config, "bos_token_id", None))  # fmt: skip
    start = next((each for each in shipped if isinstance(each, int)), None)
    if start is None:
        raise ModelError("no decoder_start_token_id says what the decoder begins with", where="config.json",
                         hint="add it")  # fmt: skip
    forced = generation.get("forced_bos_token_id", getattr(config, "forced_bos_token_id", None))
    return EncoderDecoder(
        start=start, forced=forced if isinstance(forced, int) else None, translator=_translator(config, tokenizer)
    )


def _translator(config: object, tokenizer: object) -> Translator | None:
    kind = getattr(config, "model_type", None)
    if kind in TRANSLATORS and (codes := _language_tokens(tokenizer)):
        # The first mBART writes the language behind a sentence, and begins with it.
        first = kind == "mbart" and type(tokenizer).__name__ == "MBartTokenizer"
        return Translator(codes=codes, target=TargetToken.START if first else TargetToken.FORCED)
    vocabulary: Mapping[str, int] = tokenizer.get_vocab() if hasattr(tokenizer, "get_vocab") else {}
    prefixes = {match[1]: token for text, token in vocabulary.items() if (match := MADLAD_CODE.fullmatch(text))}
    if len(prefixes) >= FEWEST_PREFIXES:
        return Translator(codes=prefixes, target=TargetToken.PREFIX)
    return None


def _language_tokens(tokenizer: object) -> dict[str, int]:
    """Return the tokens of languages: the tokenizer's own table, or its added tokens that look like NLLB's codes."""
    table: Mapping[str, int] = getattr(tokenizer, "lang_code_to_id", None) or {}
    if table:  # a vocabulary that was cut holds the unknown token for the languages that it lost
        unknown = getattr(tokenizer, "unk_token_id", None)
        return {code: token for code, token in table.items() if token != unknown}
    added: Mapping[int, object] = getattr(tokenizer, "added_tokens_decoder", {})
    return {str(text): token for token, text in added.items() if NLLB_CODE.fullmatch(str(text))}
