"""What a model ships about its own generation: which tokens end answers, which are barred, how to sample.

eos_token_id, the chat template's turn end     end an answer
suppress_tokens, bad_words_ids, ...            hold for every answer, greedy or not
do_sample, temperature, top_k, top_p, min_p    recommended: only asked for do they change an answer
repetition_penalty, num_beams, ...             dropped, and said: greedy means the likeliest token
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from xlingual.errors import ModelError
from xlingual.identity import Json
from xlingual.sampling import Sampling

from .files import read_config

FILE = "generation_config.json"
CONSTRAINTS = ("suppress_tokens", "begin_suppress_tokens", "bad_words_ids", "sequence_bias")
"""Fields that bar tokens: part of what the model can say, as `generate` of transformers has it."""
TOKEN_LISTS = ("suppress_tokens", "begin_suppress_tokens")
"""Those that are plain lists of tokens."""
MOST_TOKENS = 2**31
"""No vocabulary is larger: what is above means all."""
DROPPED: dict[str, Json] = {
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_repetition_penalty": 1.0,
    "encoder_no_repeat_ngram_size": 0,
    "num_beams": 1,
    "length_penalty": 1.0,
    "min_length": 0,
    "min_new_tokens": 0,
    "exponential_decay_length_penalty": None,
    "penalty_alpha": None,
}
"""Fields that steer the search, with the values that do nothing."""


def read_generation_config(folder: Path) -> Mapping[str, Json]:
    """Return what the model ships about generation; in older folders it stands in the configuration."""
    path = folder / FILE
    return read_config(path if path.is_file() else folder / "config.json")


def end_tokens(generation: Mapping[str, Json], configured: object, others: Sequence[int | None]) -> tuple[int, ...]:
    """Return the tokens that end an answer: those that are shipped, else those `configured`, and `others`.

    Raises ModelError where they are not token ids.
    """
    found: set[int] = set()
    shipped = generation.get("eos_token_id")
    for each in (configured if shipped is None else shipped, *others):
        ids = each if isinstance(each, list | tuple) else () if each is None else (each,)
        if not all(_is_whole(token) for token in ids):
            raise ModelError(f"must be a token id or a list of them, got {each!r:.80}", where=f"{FILE}: eos_token_id")
        # Some write -1 where there is none.
        found.update(int(token) for token in ids if isinstance(token, int | float) and token >= 0)
    return tuple(sorted(found))


def _is_whole(value: object) -> bool:
    return not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))


def constraints(generation: Mapping[str, Json], vocabulary: int) -> dict[str, Json]:
    """Return the shipped fields that bar tokens, as `GenerationConfig` takes them; `vocabulary` tokens are known.

    Raises ModelError for one that is no such field: every answer would fail by it.
    """
    found = {name: generation[name] for name in CONSTRAINTS if generation.get(name)}
    for name, value in found.items():
        if not _is_constraint(name, value, vocabulary):
            must = "token ids"
            if name not in TOKEN_LISTS:
                must = "lists of token ids" if name == "bad_words_ids" else "pairs of a list of token ids and a number"
            raise ModelError(f"must be {must} below {vocabulary}, got {value!r:.80}", where=f"{FILE}: {name}")
    return found


def _is_constraint(name: str, value: Json, vocabulary: int) -> bool:
    if not isinstance(value, list):
        return False
    if name in TOKEN_LISTS:  # transformers compares with these, so that others do no harm
        return all(_is_whole(each) for each in value)
    if name == "bad_words_ids":
        words = value
    else:
        pairs = [each for each in value if isinstance(each, list) and len(each) == len(("tokens", "bias"))]
        if len(pairs) < len(value) or not all(isinstance(bias, float) for _, bias in pairs):
            return False
        words = [tokens for tokens, _ in pairs]
    return all(
        isinstance(word, list) and word and all(_is_whole(each) and 0 <= each < vocabulary for each in word)
        for word in words
    )


def dropped_fields(generation: Mapping[str, Json]) -> str | None:
    """Return the shipped fields that are not followed, "repetition_penalty 1.2, num_beams 5", or None."""
    found = [
        f"{name} {generation[name]}"
        for name, idle in DROPPED.items()
        if generation.get(name) is not None and generation[name] != idle
    ]
    return ", ".join(found) or None


def recommended_sampling(generation: Mapping[str, Json]) -> Sampling | None:
    """Return the sampling that the model recommends, None where it recommends none.

    A temperature of 0 is greedy; fields that are not shipped, or do nothing (top_k 0, top_p 1), are None. Raises
    ModelError for a field that is no number, which would be drawn by without a word.
    """
    does_sample = generation.get("do_sample")
    if does_sample is not None and not isinstance(does_sample, bool):
        raise ModelError(f"must be true or false, got {does_sample!r:.80}", where=f"{FILE}: do_sample")
    if not does_sample:
        return None
    temperature = _number(generation, "temperature")
    if temperature is not None and temperature <= 0:
        return None
    top_k, top_p, min_p = (_number(generation, name) or 0.0 for name in ("top_k", "top_p", "min_p"))
    return Sampling(
        temperature=temperature or 1.0,
        top_k=int(top_k) if 1 <= top_k < MOST_TOKENS else None,
        top_p=top_p if 0 < top_p < 1 else None,
        min_p=min(min_p, 1.0) if min_p > 0 else None,
    )


def _number(generation: Mapping[str, Json], name: str) -> float | None:
    value = generation.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ModelError(f"must be a finite number, got {value!r:.80}", where=f"{FILE}: {name}")
    return float(value)
