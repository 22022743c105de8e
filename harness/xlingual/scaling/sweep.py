"""Sweeps: which sizes of which languages are trained and scored for a law, and the table that keeps what is done."""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from ..errors import DataError, UsageError, XlingualError
from ..files import read_text, write_atomically
from ..identity import content_hash
from ..languages import find_language
from ..store import lock_folder
from ..text import did_you_mean
from ..toml_table import read_toml
from ..tune.recipe import find_recipe, shipped_recipe, shipped_recipes
from ..tune.records import Recipe
from .points import Point, points_csv, read_points

_KEYS = ("recipe", "source", "metric", "languages", "sizes", "seeds", "limit", "max_new_tokens", "available")
_LANGUAGE = "{language}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSpec:
    """What a sweep measures."""

    recipe: Path
    source: str
    """Name of the recipe's source whose amount is varied; "{language}" stands for the code."""
    metric: str
    languages: tuple[str, ...]
    sizes: tuple[int, ...]
    """Pairs, rising."""
    seeds: tuple[int, ...]
    limit: int | None
    """Only the first sentences of the development set; None: all."""
    max_new_tokens: int | None
    """Longest translation; None: the task's own."""
    available: Mapping[str, int]
    """Pairs there are, where the file says so; no size above is measured."""

    def origin(self, base: str, *, sample: bool) -> str:
        """Return the hash of what must be the same for points of one law; `base` is the fingerprint of the base model.

        Languages, sizes and seeds can be added to a sweep that has begun.
        """
        same = [read_text(self.recipe), self.source, self.metric, self.limit, self.max_new_tokens, base, sample]
        return content_hash(list(same))[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPoint:
    """One model to train and score."""

    language: str
    source: str
    pairs: int
    seed: int
    metric: str
    origin: str

    @property
    def place(self) -> tuple[str, int, int | None, str, str | None]:
        """As that of the point it becomes."""
        return self.language, self.pairs, self.seed, self.metric, self.origin


class PointScorer(Protocol):
    """Trains a model for a point of a sweep and scores it on development sentences, never on a test set."""

    def score(self, point: SweepPoint) -> Point:
        """Return the score with its interval, at the same place as `point`."""
        ...


def read_sweep(path: Path) -> SweepSpec:
    """Read a sweep; DataError naming file, line and key for anything unknown, missing or wrong."""
    text = read_text(path)
    try:
        table: dict[str, object] = tomllib.loads(text)
    except ValueError as error:
        raise DataError(f"is not TOML: {error}", where=str(path)) from error
    reader = _SweepReader(table, text, str(path))
    for key in table:
        if key not in _KEYS:
            raise reader.fault(key, "is not a key of a sweep", hint=did_you_mean(key, _KEYS))
    source, metric = reader.text("source"), reader.text("metric")
    languages = reader.languages("languages")
    recipe = reader.recipe("recipe", path.parent)
    if len(languages) > 1 and _LANGUAGE not in source and not read_toml(recipe).has("x"):
        what = f"must hold {_LANGUAGE}, for there are {len(languages)} languages"
        raise reader.fault("source", what, hint="or take a recipe of one model for each language, with x = [...]")
    return SweepSpec(
        recipe=recipe,
        source=source,
        metric=metric,
        languages=languages,
        sizes=reader.wholes("sizes", least=1),
        seeds=reader.wholes("seeds", least=0),
        limit=reader.maybe_whole("limit"),
        max_new_tokens=reader.maybe_whole("max_new_tokens"),
        available=reader.available("available", languages),
    )


def recipe_of(spec: SweepSpec, language: str) -> Recipe:
    """Return the sweep's recipe for `language`; UsageError naming file, line and key for whatever is wrong in it."""
    each = read_toml(spec.recipe).has("x")
    return find_recipe(f"{spec.recipe}:{language}" if each else str(spec.recipe))


def sweep_points(spec: SweepSpec, origin: str) -> tuple[SweepPoint, ...]:
    """Return the points of a sweep with this origin, smallest first, so that a table is of use from early on.

    UsageError for a language with fewer pairs than its largest size.
    """
    for language in spec.languages:
        if spec.sizes[-1] > spec.available.get(language, spec.sizes[-1]):
            what = f"{spec.available[language]} pairs of {language} are fewer than the largest size, {spec.sizes[-1]}"
            raise UsageError(what, where=str(spec.recipe), hint="take smaller sizes, or leave the language out")
    return tuple(
        SweepPoint(
            language=language,
            source=spec.source.replace(_LANGUAGE, language),
            pairs=pairs,
            seed=seed,
            metric=spec.metric,
            origin=origin,
        )
        for pairs in spec.sizes
        for language in spec.languages
        for seed in spec.seeds
    )


def run_sweep(points: Sequence[SweepPoint], table: Path, scorer: PointScorer) -> Iterator[Point]:
    """Score the points that `table` does not hold yet, add each to it as soon as it is there, and yield it.

    The table is whole after any stop; the same call goes on where it was. Its folder is locked meanwhile.
    """
    with lock_folder(table.parent):
        done = list(read_points(table)) if table.exists() else []
        places = {point.place for point in done}
        for point in points:
            if point.place in places:
                continue
            scored = scorer.score(point)
            if scored.place != point.place:
                raise XlingualError(f"asked for {point.place}, scored {scored.place}", where=str(table))
            done.append(scored)
            write_atomically(table, points_csv(done))
            yield scored


@dataclass(frozen=True, slots=True)
class _SweepReader:
    """A TOML table and the words for complaints about it."""

    table: Mapping[str, object]
    text_of_file: str
    path: str

    def fault(self, key: str, what: str, *, hint: str = "") -> DataError:
        found = re.search(rf"^\s*\[?\s*[\"']?{re.escape(key)}[\"']?\s*[=\]]", self.text_of_file, re.MULTILINE)
        line = f":{self.text_of_file.count(chr(10), 0, found.end()) + 1}" if found else ""
        return DataError(f"{key!r} {what}", where=f"{self.path}{line}", hint=hint)

    def text(self, key: str) -> str:
        value = self.table.get(key)
        if not isinstance(value, str) or not value.strip():
            raise self.fault(key, "must be a text" if key in self.table else "is missing")
        return value

    def recipe(self, key: str, folder: Path) -> Path:
        word = self.text(key)
        path = folder / word if word.endswith(".toml") else shipped_recipe(word)
        if path is None or not path.is_file():
            hint = f"a path relative to the sweep's file, or one of {', '.join(shipped_recipes())}"
            raise self.fault(key, f"no such recipe: {word}", hint=hint)
        return path

    def maybe_whole(self, key: str) -> int | None:
        return self.whole(key, self.table[key], least=1) if key in self.table else None

    def whole(self, key: str, value: object, *, least: int) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise self.fault(key, f"must hold whole numbers from {least} up, not {value!r}")
        return value

    def wholes(self, key: str, *, least: int) -> tuple[int, ...]:
        values = [self.whole(key, each, least=least) for each in self._list(key)]
        if sorted(set(values)) != values:
            raise self.fault(key, "must rise, each number once")
        return tuple(values)

    def languages(self, key: str) -> tuple[str, ...]:
        codes = [self._language(key, word) for word in self._list(key)]
        if len(set(codes)) < len(codes):
            raise self.fault(key, "names a language twice")
        return tuple(codes)

    def available(self, key: str, languages: Sequence[str]) -> dict[str, int]:
        value = self.table.get(key, {})
        if not isinstance(value, dict):
            raise self.fault(key, "must be a table, such as zh = 10815")
        found = {self._language(key, word): self.whole(word, count, least=1) for word, count in value.items()}
        if unknown := [code for code in found if code not in languages]:
            raise self.fault(key, f"names {unknown[0]}, which is not among the languages")
        return found

    def _list(self, key: str) -> list[object]:
        value = self.table.get(key)
        if not isinstance(value, list) or not value:
            raise self.fault(key, "must be a list with something in it" if key in self.table else "is missing")
        return cast(list[object], value)

    def _language(self, key: str, word: object) -> str:
        try:
            return find_language(str(word)).code
        except UsageError as error:
            raise self.fault(key, f"names {error.what}", hint=error.hint) from error
