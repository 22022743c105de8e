"""How tokens are drawn: the parameters of sampling, and the seed of each sample.

    Sampling(temperature=0.6, top_p=0.95, seed=0)      of a run: `--temperature 0.6 --top-p 0.95`
    sample_sampling(that, "xquad/zh 17", repeat=2)     of one answer: a seed of its own

A sample's seed follows from the run's seed, the example and the repeat alone. So its answer does not depend on what is
asked beside it, on the order, or on where an interrupted run was resumed.
"""

from dataclasses import dataclass, replace

from .identity import Json, content_hash

SEEDS = 2**31
"""Seeds are below this: servers take 32-bit integers with a sign."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Parameters of sampling, in the order in which they act, as in transformers; a request without one is greedy."""

    temperature: float
    """Above 0: the logits are divided by it."""
    top_k: int | None = None
    """Only so many of the likeliest tokens; None: all."""
    top_p: float | None = None
    """Only the likeliest tokens whose probabilities add up to this; None: all."""
    min_p: float | None = None
    """Only tokens at least this fraction as likely as the likeliest; None: all."""
    seed: int = 0
    """Of the run in a protocol, of the sample in a request."""


def sample_sampling(sampling: Sampling, example: str, repeat: int) -> Sampling:
    """Return the parameters for one answer: `example` is a text that names the question, `repeat` counts from 0."""
    seed = int(content_hash([sampling.seed, example, repeat])[:16], 16) % SEEDS
    return replace(sampling, seed=seed)


def sampling_content(sampling: Sampling) -> dict[str, Json]:
    """Return what identifies the parameters, for content hashes: those that are set."""
    named = {
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "seed": sampling.seed,
    }
    return {name: value for name, value in named.items() if value is not None}


def show_sampling(sampling: Sampling) -> str:
    """Return the parameters that are set in words, without the seed: "temperature 0.6, top_p 0.95"."""
    named = [(name, value) for name, value in sampling_content(sampling).items() if name != "seed"]
    return ", ".join(f"{name} {value:g}" for name, value in named if isinstance(value, int | float))
