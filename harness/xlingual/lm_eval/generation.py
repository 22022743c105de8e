"""The `generation_kwargs` of lm-eval's tasks: how an answer is generated."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import UsageError
from ..sampling import Sampling

DEFAULT_TOKENS = 256
"""lm-eval's own limit where a task sets none."""
LIMITS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
"""Names of the limit, the strongest first."""
_KNOWN = frozenset({*LIMITS, "until", "do_sample", "temperature", "top_p", "top_k", "min_p", "seed", "use_cache"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """How an answer is to be generated."""

    stop: tuple[str, ...]
    most: int
    """New tokens."""
    sampling: Sampling | None
    """None: greedy. The seed is 0 where the settings have none."""


def read_generation(given: object, where: str) -> Generation:
    """Return what `generation_kwargs` say; UsageError naming `where` for a way of generating that there is not here."""
    if not isinstance(given, Mapping | None):
        raise UsageError(f"generation settings must be a mapping, got {given!r:.80}", where=where)
    settings = given or {}
    endless = [name for name, value in settings.items() if isinstance(value, float) and not math.isfinite(value)]
    if endless:
        raise UsageError(f"{endless[0]!r} must be a finite number, got {settings[endless[0]]}", where=where)
    unknown = sorted(str(name) for name, value in settings.items() if name not in _KNOWN and value not in (None, 1))
    if unknown:
        what = f"there is no setting {unknown[0]!r} of generation here"
        raise UsageError(what, where=where, hint=f"known: {', '.join(sorted(_KNOWN))}")
    until = settings.get("until") or []
    return Generation(
        stop=tuple([until] if isinstance(until, str) else [str(each) for each in until if each]),
        most=next((int(settings[key]) for key in LIMITS if settings.get(key) is not None), DEFAULT_TOKENS),
        sampling=_read_sampling(settings),
    )


def _read_sampling(settings: Mapping[str, object]) -> Sampling | None:
    """Return lm-eval's rule: drawn where `do_sample` says so, or where only a temperature above 0 is given."""
    temperature = settings.get("temperature")
    does_sample = settings.get("do_sample")
    if does_sample is None:
        does_sample = _number(temperature, 0.0) > 0.0
    heat = _number(temperature, 1.0)
    if not does_sample or heat <= 0.0:
        return None
    top_k, top_p, min_p = (
        int(_number(settings.get("top_k"), 0)),
        _number(settings.get("top_p"), 1.0),
        settings.get("min_p"),
    )
    return Sampling(
        temperature=heat,
        top_k=top_k if top_k > 0 else None,
        top_p=top_p if top_p < 1.0 else None,
        min_p=_number(min_p, 0.0) or None,
        seed=int(_number(settings.get("seed"), 0)),
    )


def _number(value: object, default: float) -> float:
    return float(value) if isinstance(value, int | float) else default
