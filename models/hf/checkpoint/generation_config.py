"""What a model ships about its own generation: which tokens end answers, which are barred, how to sample.

eos_token_id, the chat template's turn end     end an answer
suppress_tokens, bad_words_ids, ...            hold for every answer, greedy or not
do_sample, temperature, top_k, top_p, min_p    recommended: only asked for do they change an answer
repetition_penalty, num_beams, ...             dropped, and said: greedy means the likeliest token
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from xlingual.errors import ModelError
from xlingual.identity import Json
from xlingual.sampling import Sampling

from .files import read_config

FILE = "generation_config.json"
CONSTRAINTS = ("suppress_tokens", "begin_suppress_tokens", "bad_words_ids", "sequence_bias")
"""Fields that bar tokens: part of what the model can say, as `generate` of transformers has it."""
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
        if not all(isinstance(token, int) or (isinstance(token, float) and token.is_integer()) for token in ids):
            raise ModelError(f"must be a token id or a list of them, got {each!r:.80}", where=f"{FILE}: eos_token_id")
        found.update(int(token) for token in ids if isinstance(token, int | float))
    return tuple(sorted(found))


def constraints(generation: Mapping[str, Json]) -> dict[str, Json]:
    """Return the shipped fields that bar tokens, as `GenerationConfig` takes them."""
    return {name: generation[name] for name in CONSTRAINTS if generation.get(name)}


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

    A temperature of 0 is greedy; fields that are not shipped, or do nothing (top_k 0, top_p 1), are None.
    """
    if generation.get("do_sample") is not True:
        return None
    temperature = _number(generation, "temperature")
    if temperature is not None and temperature <= 0:
        return None
    top_k, top_p, min_p = (_number(generation, name) or 0.0 for name in ("top_k", "top_p", "min_p"))
    return Sampling(
        temperature=temperature or 1.0,
        top_k=int(top_k) if top_k >= 1 else None,
        top_p=top_p if 0 < top_p < 1 else None,
        min_p=min_p if min_p > 0 else None,
    )


def _number(generation: Mapping[str, Json], name: str) -> float | None:
    value = generation.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
