"""Options that the commands of `xlingual tune` share, and the way from them to a plan."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import click

from ...errors import ModelError, UsageError
from ...plugin import DataSource, Model
from ...tune.overrides import read_override
from ...tune.plan import ONE_PROCESS, PackLayout, repack
from ...tune.prepare import PLAN, Prepared, load_plan, open_base, open_recipe_base, plan_mix, trainable
from ...tune.recipe import find_recipe
from ...tune.recipe_records import Recipe
from ...tune.records import OnRepetition
from .. import printable
from ..options import data_option, offline_option, read_data_source


@dataclass(frozen=True, slots=True, kw_only=True)
class MixOptions:
    """A recipe, or a stored plan, with its base and its data."""

    recipe: str
    base: str | None
    data: str | None
    offline: bool
    contamination: str | None = None
    """None: drop, or of a stored plan what was done when it was made."""
    overrides: tuple[str, ...] = ()
    """What is set in the recipe's file, each KEY=VALUE."""


def mix_parameters() -> list[click.Parameter]:
    """RECIPE, `--set`, `--base`, `--data`, `--offline` and `--contamination`."""
    return [
        click.Argument(["recipe"], metavar="RECIPE|FOLDER"),
        override_option(),
        click.Option(["--base"], default=None, help="Model word of the base, instead of the recipe's."),
        data_option(
            "Folder that the recipe's paths are below and that holds the benchmarks to compare with, or 'sample'."
        ),
        offline_option(),
        click.Option(
            ["--contamination"],
            type=click.Choice([each.value for each in OnRepetition]),
            default=None,
            show_default=OnRepetition.DROP.value,
            help="Rows that repeat test data of a leaderboard: drop, report (and train on them), refuse.",
        ),
    ]


def override_option(recipe: str = "the recipe") -> click.Option:
    """`--set KEY=VALUE`, which may be given again."""
    return click.Option(
        ["--set", "overrides"],
        multiple=True,
        metavar="KEY=VALUE",
        help=f"Set a key of {recipe} as if it were written in the file: schedule.learning_rate=1e-4. Repeatable.",
    )


def make_or_load_plan(
    options: MixOptions, layout: PackLayout | None = None, refuse: Callable[[Recipe], None] = lambda _: None
) -> tuple[Prepared, Model]:
    """Return the plan of a recipe or of a run folder, with its base; what is being done is shown on stderr.

    Packs are counted for `layout`: None means one process for a recipe, and no change of a stored plan. `refuse` is
    called with the recipe before anything is encoded, to raise where it cannot be used. Nothing is written.
    """
    if (folder := Path(options.recipe)).joinpath(PLAN).is_file():
        if options.overrides:
            what = "a stored plan is trained as it is"
            raise UsageError(what, where="--set", hint="name the recipe that it was made of instead of its folder")
        prepared, model = _load_plan(folder, options)
        _refuse_other_repetition(prepared, options.contamination)
        refuse(prepared.plan.recipe)
        plan = prepared.plan if layout is None else repack(prepared.plan, prepared.rows, layout)
        return replace(prepared, plan=plan), model
    recipe = find_recipe(options.recipe, options.overrides)
    refuse(recipe)
    data_source = read_data_source(options.data, offline=options.offline)
    if options.base is None:
        model = _open_named_base(recipe, options)
    else:
        recipe = replace(recipe, base=options.base)
        model = open_base(options.base, offline=options.offline)
    refuse_untunable(recipe, model)
    make = partial(
        plan_mix,
        data_source=data_source,
        layout=layout or ONE_PROCESS,
        on_repetition=OnRepetition(options.contamination or OnRepetition.DROP),
        note=lambda line: click.echo(printable(line), err=True),
    )
    prepared = make(recipe, model)
    if recipe.vocabulary is not None:
        prepared, model = _extend_vocabulary(prepared, model, data_source, make)
    return replace(prepared, plan=replace(prepared.plan, overrides=options.overrides or None)), model


def _extend_vocabulary(
    before: Prepared, model: Model, data_source: DataSource, plan: Callable[[Recipe, Model], Prepared]
) -> tuple[Prepared, Model]:
    """Return the plan of a mix for its base with new tokens, and that base; `before` is for the base as it is."""
    from ...training.vocabulary import extend_base, report_vocabulary  # noqa: PLC0415 (torch)

    recipe = before.plan.recipe
    if recipe.vocabulary is None:
        return before, model
    click.echo("the base gets new tokens, and the mix is encoded with them", err=True)
    folder = extend_base(recipe.vocabulary, model, before, data_source)
    extended = open_base(str(folder), offline=data_source.offline)
    after = plan(replace(recipe, base=str(folder)), extended)
    report = report_vocabulary(before, model, after, extended)
    return replace(after, plan=replace(after.plan, vocabulary=report)), extended


def _open_named_base(recipe: Recipe, options: MixOptions) -> Model:
    """Open the base that the recipe names; a wrong word of `--set base` is one of the command line."""
    if all(read_override(word).place != ("base",) for word in options.overrides):
        return open_recipe_base(recipe, offline=options.offline)
    try:
        return open_base(recipe.base, offline=options.offline)
    except UsageError as error:
        raise UsageError(error.what, where="--set base", hint=error.hint) from error


def _load_plan(folder: Path, options: MixOptions) -> tuple[Prepared, Model]:
    """Return a stored plan and its base; ModelError where the base is another now."""
    prepared = load_plan(folder)
    model = open_base(options.base or prepared.plan.recipe.base, offline=options.offline)
    if model.spec.fingerprint != prepared.plan.base.fingerprint:
        what = f"{model.spec.name} is not the base of the plan, {prepared.plan.base.name}, to the byte"
        raise ModelError(what, where=str(folder), hint="--base names the model that it was planned with")
    refuse_untunable(prepared.plan.recipe, model)
    return prepared, model


def _refuse_other_repetition(prepared: Prepared, wanted: str | None) -> None:
    """Raise UsageError where a stored plan has rows that repeat test data, and did with them not what is `wanted`."""
    plan = prepared.plan
    if wanted is None or wanted == plan.on_repetition or not any(check.rows for check in plan.checks):
        return
    what = f"the stored plan was made with {plan.on_repetition.value}, and {wanted} would be another"
    hint = "name the recipe that it was made of instead of its folder"
    raise UsageError(what, where="--contamination", hint=hint)


def refuse_untunable(recipe: Recipe, model: Model) -> None:
    """Raise ModelError where the configuration of the base tells that a training by `recipe` would refuse it."""
    folder = trainable(model).tokenizer_files()
    if not (folder / "config.json").is_file():  # of a plugin that keeps it elsewhere: the training will say
        return
    from ...training.obstacles import refuse_base  # noqa: PLC0415 (torch)

    refuse_base(folder, recipe, model.spec.name)
