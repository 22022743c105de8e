"""What a model's layers make of parallel text, kept where memory does not grow with it.

The pooled vectors of all sentences lie in a temporary file, 4 bytes a number: languages x sentences x layers x width x
poolings. Seven languages of 1,000 sentences through 33 layers of width 4,096 take 3.8 GB of disk a pooling. In memory
are one batch of the model, and later the vectors of one layer.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from ...errors import ModelError
from ...files import disk_fault
from ...plugin import LogitLens, Model, StateArray, SupportsHiddenStates, TextStates, TokenArray
from .sentences import ParallelText

POOLINGS = ("mean", "last")


@dataclass(frozen=True, slots=True)
class PooledVectors:
    """The vectors of all sentences, mapped from a file."""

    mapped: "np.memmap[tuple[int, ...], np.dtype[np.float32]]"
    """(poolings, layers + 1, languages, sentences, width)."""
    poolings: tuple[str, ...]

    @property
    def layers(self) -> int:
        """Layers, the embedding included."""
        return int(self.mapped.shape[1])

    def layer(self, pooling: str, layer: int) -> StateArray:
        """Return the vectors of one layer in memory, (languages, sentences, width)."""
        return np.array(self.mapped[self.poolings.index(pooling), layer], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Collected:
    """All that was read from a model."""

    vectors: PooledVectors
    ids: tuple[tuple[tuple[int, ...], ...], ...]
    """The tokens of each sentence, by language."""
    predictions: "TokenArray | None"
    """(layers + 1, languages, lens sentences, positions, top k); None where there is no lens."""

    @property
    def tokens(self) -> int:
        """Of all sentences."""
        return sum(len(each) for lines in self.ids for each in lines)


@contextmanager
def collect(
    model: Model,
    text: ParallelText,
    poolings: Sequence[str],
    lens: tuple[LogitLens, int] | None,
    done: Callable[[int], None],
) -> Iterator[Collected]:
    """Read the states of every sentence, and hand them out until the end of the `with`.

    `lens` is what to decode and of how many sentences a language; `done` is called with the sentences read so far.
    Raises ModelError for a model that shows no states, or some that are not finite, EnvironmentFault for a full disk.
    """
    if not isinstance(model, SupportsHiddenStates):
        hint = "models on one device of this machine do: hf:NAME, smollm2, a folder"
        raise ModelError("does not show its hidden states", where=model.spec.name, hint=hint)
    folder = Path(tempfile.gettempdir())
    try:
        with tempfile.TemporaryDirectory(prefix="xlingual-space-") as name:
            folder = Path(name)
            yield _read(model, text, poolings, lens, _Progress(folder / "vectors", done))
    except OSError as error:
        raise disk_fault(error, folder) from error


@dataclass(frozen=True, slots=True)
class _Progress:
    path: Path
    done: Callable[[int], None]


def _read(
    model: SupportsHiddenStates,
    text: ParallelText,
    poolings: Sequence[str],
    lens: tuple[LogitLens, int] | None,
    progress: _Progress,
) -> Collected:
    mapped: np.memmap[tuple[int, ...], np.dtype[np.float32]] | None = None
    ids: list[list[tuple[int, ...]]] = [[] for _ in text.languages]
    predictions: list[list[TokenArray]] = [[] for _ in text.languages]
    count = len(text.sentences[0])
    for language, lines in enumerate(text.sentences):
        for number, states in enumerate(_stream(model, lines, lens)):
            if mapped is None:
                layers, width = states.mean.shape
                shape = (len(poolings), layers, len(text.languages), count, width)
                mapped = np.memmap(progress.path, dtype=np.float32, mode="w+", shape=shape)
            if states.mean.shape != (mapped.shape[1], mapped.shape[4]):
                what = f"shows {states.mean.shape} states, and {mapped.shape[1::3]} of the first sentence"
                raise ModelError(what, where=_name(model))
            _check(model, states, f"sentence {number + 1} in {text.languages[language]}")
            for index, pooling in enumerate(poolings):
                mapped[index, :, language, number] = states.mean if pooling == "mean" else states.last
            ids[language].append(states.ids)
            if lens is not None and number < lens[1] and states.predictions is not None:
                predictions[language].append(states.predictions)
            progress.done(language * count + number + 1)
    return Collected(
        vectors=PooledVectors(cast("np.memmap[tuple[int, ...], np.dtype[np.float32]]", mapped), tuple(poolings)),
        ids=tuple(tuple(each) for each in ids),
        predictions=np.stack([np.stack(each, 1) for each in predictions], 1) if all(predictions) else None,
    )


def _stream(
    model: SupportsHiddenStates, lines: Sequence[str], lens: tuple[LogitLens, int] | None
) -> Iterator[TextStates]:
    """Yield the states of all lines, with the lens for the first ones only: the head costs more than the layers."""
    decoded = 0 if lens is None else min(lens[1], len(lines))
    if decoded:
        yield from model.hidden_states(lines[:decoded], lens[0] if lens is not None else None)
    if decoded < len(lines):
        yield from model.hidden_states(lines[decoded:], None)


def _check(model: SupportsHiddenStates, states: TextStates, what: str) -> None:
    for values in (states.mean, states.last):
        if not np.isfinite(values).all():
            layer = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
            hint = "compute in another dtype: --dtype float32"
            raise ModelError(f"{what}: the states of layer {layer} are not finite", where=_name(model), hint=hint)


def _name(model: SupportsHiddenStates) -> str:
    return cast(Model, model).spec.name
