"""Sweeps: which sizes of which languages are trained and scored for a law, and the table that keeps what is done."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..errors import DataError, UsageError, XlingualError
from ..files import read_text, write_atomically
from ..identity import content_hash
from ..lease import lock_folder
from ..toml_table import TomlTable, read_toml
from ..tune.overrides import OPTION, read_override
from ..tune.recipe import find_recipe, shipped_recipe, shipped_recipes
from ..tune.recipe_records import Recipe
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
    overrides: tuple[str, ...] = ()
    """What the command line sets in the recipe, each KEY=VALUE."""

    def origin(self, base: str, *, sample: bool) -> str:
        """Return the hash of what must be the same for points of one law; `base` is the fingerprint of the base model.

        Languages, sizes and seeds can be added to a sweep that has begun.
        """
        same = [read_text(self.recipe), self.source, self.metric, self.limit, self.max_new_tokens, base, sample]
        return content_hash([*same, *([list(self.overrides)] if self.overrides else [])])[:12]


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


def read_sweep(path: Path, overrides: tuple[str, ...] = ()) -> SweepSpec:
    """Read a sweep whose recipe is used with `overrides`, each KEY=VALUE.

    Raises DataError naming file, line and key for anything unknown, missing or wrong, UsageError for an override of
    what the sweep sets itself.
    """
    top = read_toml(path)
    top.allow(_KEYS)
    source, metric = top.text("source"), top.text("metric")
    languages = _read_languages(top)
    recipe = _find_recipe_file(top)
    if len(languages) > 1 and _LANGUAGE not in source and not read_toml(recipe).has("x"):
        what = f"'source' must hold {_LANGUAGE}, for there are {len(languages)} languages"
        raise top.fault("source", what, hint="or take a recipe of one model for each language, with x = [...]")
    _refuse_varied(overrides, source, read_toml(recipe))
    sizes = top.counts("sizes", least=1)
    if top.has("available"):
        _check_available(top.table("available"), languages, sizes[-1])
    return SweepSpec(
        recipe=recipe,
        source=source,
        metric=metric,
        languages=languages,
        sizes=sizes,
        seeds=top.counts("seeds", least=0),
        limit=top.count("limit") if top.has("limit") else None,
        max_new_tokens=top.count("max_new_tokens") if top.has("max_new_tokens") else None,
        overrides=overrides,
    )


def _refuse_varied(overrides: Sequence[str], source: str, recipe: TomlTable) -> None:
    """Raise UsageError for an override of what differs from point to point: the seed, and the amount of `source`."""
    tables = recipe.table("sources").values if overrides else ()
    written = max((name for name in tables if f"{source}-".startswith(f"{name}-")), key=len, default=source)
    for override in map(read_override, overrides):
        place = override.place
        is_amount = place[:2] == ("sources", written) and place[2:] in (("use",), ("max_epochs",))
        if place == ("seed",) or is_amount:
            raise UsageError("a sweep sets it itself, for each of its points", where=override.option)


def _read_languages(top: TomlTable) -> tuple[str, ...]:
    codes = tuple(top.language("languages", word) for word in top.texts("languages"))
    if len(set(codes)) < len(codes):
        raise top.fault("languages", "'languages' names a language twice")
    return codes


def _find_recipe_file(top: TomlTable) -> Path:
    word = top.text("recipe")
    path = top.path.parent / word if word.endswith(".toml") else shipped_recipe(word)
    if path is None or not path.is_file():
        hint = f"a path relative to the sweep's file, or one of {', '.join(shipped_recipes())}"
        raise top.fault("recipe", f"no such recipe: {word!r}", hint=hint)
    return path


def _check_available(table: TomlTable, languages: Sequence[str], largest: int) -> None:
    """Refuse a language that has fewer pairs than the largest size."""
    for word in table.values:
        code, pairs = table.language(word, word), table.count(word)
        if code not in languages:
            raise table.fault(word, f"{word!r} is not among the languages", hint=f"they are {', '.join(languages)}")
        if pairs < largest:
            what = f"{pairs} pairs of {code} are fewer than the largest size, {largest}"
            raise table.fault(word, what, hint="take smaller sizes, or leave the language out")


def recipe_of(spec: SweepSpec, language: str) -> Recipe:
    """Return the sweep's recipe for `language`.

    Raises DataError naming file, line and key for whatever is wrong in it, and where it is not for that language.
    """
    each = read_toml(spec.recipe).has("x")
    try:
        return find_recipe(f"{spec.recipe}:{language}" if each else str(spec.recipe), spec.overrides)
    except UsageError as error:
        if error.where.startswith(OPTION):
            raise
        # No word of the command line: the sweep names the language.
        raise DataError(error.what, where=error.where, hint=f"leave {language} out of the sweep") from error


def sweep_points(spec: SweepSpec, origin: str) -> tuple[SweepPoint, ...]:
    """Return the points of a sweep with this origin, smallest first, so that a table is of use from early on."""
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
    with lock_folder(table.parent) as lease:
        done = list(read_points(table)) if table.exists() else []
        places = {point.place for point in done}
        for point in points:
            if point.place in places:
                continue
            scored = scorer.score(point)
            if scored.place != point.place:
                raise XlingualError(f"asked for {point.place}, scored {scored.place}", where=str(table))
            done.append(scored)
            lease.check()
            write_atomically(table, points_csv(done))
            yield scored
