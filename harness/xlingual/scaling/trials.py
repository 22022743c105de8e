"""The points of a sweep on this machine: rows are encoded once, each point is planned, trained and scored."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import DataError, ModelError
from ..planning import RunSettings
from ..plugin import Model, ModelOptions, Task
from ..prompt import require_room
from ..records import RunRecord
from ..run import RunObserver, evaluate
from ..selection import open_model, select_tasks
from ..text import did_you_mean
from ..training.settings import CHECKPOINTS, PROVENANCE
from ..tune.prepare import Encoded, Prepared, encode_mix, open_base, plan_encoded, plan_folder, store_plan
from ..tune.recipe_records import Amount, Recipe, SourceUse, Unit
from ..tune.records import MixPlan
from .points import Point
from .sweep import SweepPoint, SweepSpec, recipe_of

BENCHMARK = "flores101"
SPLIT = "dev"
"""Of Flores-101; what a leaderboard tests on has no part in a law."""


@dataclass(slots=True, kw_only=True, eq=False)
class Trials:
    """Trains and scores points; the PointScorer of a machine with data, a base and a trainer."""

    spec: SweepSpec
    base: str | None
    """Model word, instead of the recipe's."""
    settings: RunSettings
    """Of the evaluation: where data come from, and the folder that everything of the sweep goes to."""
    options: ModelOptions
    """Of the tuned models."""
    train: Callable[[Path], Path]
    """From a run folder with a stored plan to the folder of the whole model."""
    observer: RunObserver
    _recipes: dict[str, Recipe] = field(default_factory=dict, init=False)
    """By language, read once: the file may change while a sweep runs, the sweep must not."""
    _encoded: dict[str, Encoded] = field(default_factory=dict, init=False)
    """By language."""
    _model: Model | None = field(default=None, init=False)

    def origin(self) -> str:
        """Return the origin of this sweep's points."""
        return self.spec.origin(self._open().spec.fingerprint, sample=self.settings.data_source.sample)

    def check(self, points: Sequence[SweepPoint]) -> list[MixPlan]:
        """Return the plan of every point; nothing is written.

        So it is known before hours of training that all recipes, amounts, tasks and metrics hold. DataError for a
        metric that the task does not have, and what planning raises.
        """
        for point in points:
            task = self._task(point)
            if point.metric not in task.spec.metrics:
                hint = did_you_mean(point.metric, task.spec.metrics)
                raise DataError(f"{task.spec.name} has no metric {point.metric!r}", where="metric", hint=hint)
        for task in {point.language: self._task(point) for point in points}.values():
            limit = self.settings.max_new_tokens or task.spec.max_new_tokens
            require_room(self._open().spec, limit, where=task.spec.name)
            task.examples(SPLIT, self.settings.data_source)
        return [self._prepare(point).plan for point in points]

    def score(self, point: SweepPoint) -> Point:
        """Train the model of `point`, or find it trained, and score it."""
        folder = store_plan(self._prepare(point), self.settings.out)
        trained = self.train(_folder_of(folder))
        settings = replace(self.settings, split=SPLIT)
        model = open_model(str(trained), self.options)
        try:
            [record] = evaluate(model, [self._task(point)], settings, self.observer)
        finally:
            model.close()
        return _point(point, record, folder.plan)

    def forget(self, point: SweepPoint) -> None:
        """Remove the whole model of a point that is in the table: plan, log, provenance, adapter and answers stay."""
        folder = plan_folder(self._prepare(point).plan, self.settings.out)
        model = folder / self._name(point)
        if (model / PROVENANCE).is_file():
            (model / PROVENANCE).replace(folder / PROVENANCE)
        for weights in (model, folder / CHECKPOINTS):
            shutil.rmtree(weights, ignore_errors=True)

    def close(self) -> None:
        """Free the base."""
        if self._model is not None:
            self._model.close()

    def _open(self) -> Model:
        if self._model is None:
            word = self._recipe(self.spec.languages[0]).base
            self._model = open_base(word, offline=self.settings.data_source.offline)
        return self._model

    def _prepare(self, point: SweepPoint) -> Prepared:
        recipe = self._recipe(point.language)
        use = _source(recipe, point, self.spec)
        amount = replace(use, amount=Amount(unit=Unit.ROWS, value=float(point.pairs)), max_epochs=1.0)
        chosen = replace(
            recipe,
            name=self._name(point),
            seed=point.seed,
            sources=tuple(amount if each is use else each for each in recipe.sources),
        )
        try:
            prepared = plan_encoded(chosen, self._encode(point.language))
        except DataError as error:
            where = f"{point.language}, {point.pairs:,} pairs: {error.where}"
            raise DataError(error.what, where=where, hint=error.hint) from error
        return replace(prepared, plan=replace(prepared.plan, overrides=self.spec.overrides or None))

    def _name(self, point: SweepPoint) -> str:
        return f"{self._recipe(point.language).name}-{point.pairs}-seed{point.seed}"

    def _recipe(self, language: str) -> Recipe:
        if language not in self._recipes:
            recipe = recipe_of(self.spec, language)
            if recipe.vocabulary is not None:
                what = "a sweep does not give its base new tokens"
                raise DataError(what, where=str(self.spec.recipe), hint="leave [vocabulary] out")
            self._recipes[language] = recipe if self.base is None else replace(recipe, base=self.base)
        return self._recipes[language]

    def _encode(self, language: str) -> Encoded:
        """Read and encode the rows of a language once for all of its points."""
        if language not in self._encoded:
            place, note = self.settings.data_source, self.observer.note
            self._encoded[language] = encode_mix(self._recipe(language), self._open(), place, note)
        return self._encoded[language]

    def _task(self, point: SweepPoint) -> Task:
        """Return the translation task of the direction that the point's pairs go in."""
        source, target = _source(self._recipe(point.language), point, self.spec).direction or ("", "")
        [task] = select_tasks([f"{BENCHMARK}/{source}-{target}"], [])
        return task


def _source(recipe: Recipe, point: SweepPoint, spec: SweepSpec) -> SourceUse:
    """Return the source whose amount varies; DataError where there is none, or it holds no translations."""
    names = [use.name for use in recipe.sources]
    use = next((use for use in recipe.sources if use.name == point.source), None)
    if use is None:
        what = f"the recipe {recipe.name} has no source {point.source!r}"
        raise DataError(what, where=str(spec.recipe), hint=did_you_mean(point.source, names))
    if use.direction is None or point.language not in use.direction:
        what = f"the source {use.name!r} does not translate from or to {point.language}"
        raise DataError(what, where=str(spec.recipe), hint="a sweep varies a source with a direction")
    return use


def _folder_of(prepared: Prepared) -> Path:
    if prepared.folder is None:
        raise DataError("the plan was not stored", where=prepared.plan.recipe.name)
    return prepared.folder


def _point(point: SweepPoint, record: RunRecord, plan: MixPlan) -> Point:
    """Return the measured point; ModelError where sentences have no translation or there is no score."""
    unanswered = record.counts.failed + record.counts.missing
    if unanswered:
        what = f"{unanswered} of {record.protocol.n} sentences have no translation"
        raise ModelError(what, where=record.model.name, hint="the same command again asks them")
    estimate = next((each for each in record.estimates if each.metric == point.metric), None)
    if estimate is None or estimate.value is None:
        reason = "no such metric" if estimate is None else estimate.reason
        raise ModelError(f"{point.metric} was not computed: {reason}", where=record.protocol.task)
    return Point(
        language=point.language,
        pairs=point.pairs,
        tokens=sum(each.supervised for each in plan.sources if each.name == point.source),
        seed=point.seed,
        metric=point.metric,
        score=estimate.value,
        low=estimate.low,
        high=estimate.high,
        origin=point.origin,
    )
