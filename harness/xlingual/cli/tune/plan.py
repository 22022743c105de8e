"""`xlingual tune plan`: the mixture, steps and packs, hours and memory on a GPU, and the decontamination."""

from dataclasses import dataclass
from pathlib import Path

import click

from ...files import pretty_json
from ...gpus import GPUS, find_gpu
from ...plugin import Model, Trainable
from ...serial import to_json
from ...tune.cost import Cost, MemorySavers, estimate_cost, read_shape
from ...tune.plan import PackLayout
from ...tune.prepare import store_plan
from ...tune.records import BenchmarkCheck, MixPlan, OnRepetition, SourceReport
from .. import printable
from ..display import show_table
from ..options import FolderName, json_option, takes
from .audit import audit_lines, dropped_lines, show_audit, truncation_lines
from .chats import chat_lines
from .held_out import held_out_lines, show_held_out
from .options import MixOptions, make_or_load_plan, mix_parameters
from .savers import TOO_LARGE, host_words, saver_options, schedule_lines, vocabulary_lines

DEFAULT_GPU = "H100"
"""The cost is estimated for it where no GPU is named."""
_HEADER = (
    *("source", "language", "available", "used", "epochs", "tokens", "supervised", "share", "cut"),
    *("dropped", "skipped", "duplicates", "contaminated", "chars/token"),
)
_LEGEND = (
    "available: rows that can be trained on; used: rows of an epoch, repeats included; supervised: tokens of answers, "
    "which alone are learnt; cut: used rows that lose their end; left out are rows that are dropped (too long), "
    "skipped (without a question or an answer), duplicates of earlier rows, contaminated (they repeat test data)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions:
    """Arguments and options of `tune plan`."""

    recipe: str
    overrides: tuple[str, ...]
    base: str | None
    data: str | None
    offline: bool
    contamination: str | None
    out: str | None
    gpu: str | None
    pack_length: int | None
    activation_checkpointing: bool
    cpu_offload: bool
    as_json: bool


def run_plan(options: PlanOptions) -> int:
    """Plan, store where asked to, and show.

    With `--gpu 8xA100`, packs are those of a training on these GPUs: 8 ranks, and the pack length of a GPU.
    """
    gpu = options.gpu or DEFAULT_GPU
    count, _ = find_gpu(gpu)
    mix = MixOptions(
        recipe=options.recipe,
        overrides=options.overrides,
        base=options.base,
        data=options.data,
        offline=options.offline,
        contamination=options.contamination,
    )
    layout = PackLayout(pack_length=options.pack_length, ranks=count, on_gpu=options.gpu is not None)
    prepared, model = make_or_load_plan(mix, layout)
    if options.out is not None:
        prepared = store_plan(prepared, Path(options.out))
    plan = prepared.plan
    savers = MemorySavers(activation_checkpointing=options.activation_checkpointing, cpu_offload=options.cpu_offload)
    cost = _estimate(plan, model, gpu, savers)
    if options.as_json:
        folder = None if prepared.folder is None else str(prepared.folder)
        document = {"schema": 1, "plan": to_json(plan), "cost": to_json(cost), "folder": folder}
        click.echo(pretty_json(document), nl=False)
        return 0
    _show(plan, cost, gpu)
    if prepared.folder is not None:
        click.echo(printable(f"stored in {prepared.folder}"))
    return 0


def _estimate(plan: MixPlan, model: Model, gpu: str, savers: MemorySavers) -> Cost | None:
    shape = read_shape(model.tokenizer_files()) if isinstance(model, Trainable) else None
    return None if shape is None else estimate_cost(plan, shape, gpu, savers)


def _show(plan: MixPlan, cost: Cost | None, gpu: str) -> None:
    rows = [_source_row(source, plan) for source in plan.sources]
    show_table(f"{plan.recipe.name}: one epoch of the mix", _HEADER, [*rows, _total_row(plan)])
    click.echo(_LEGEND)
    show_audit(plan)
    show_held_out(plan)
    click.echo("")
    too_long = (*truncation_lines(plan), *dropped_lines(plan))
    for line in (*chat_lines(plan), *audit_lines(plan), *too_long, *held_out_lines(plan)):
        click.echo(printable(line))
    for line in (*_size_lines(plan), *_cost_lines(cost, gpu), "", *contamination_lines(plan)):
        click.echo(printable(line))


def _source_row(source: SourceReport, plan: MixPlan) -> list[str]:
    return [
        source.name,
        source.language,
        f"{source.available:,}",
        f"{source.draws:,}",
        f"{source.draws / source.available:.2f}",
        f"{source.tokens:,}",
        f"{source.supervised:,}",
        f"{100 * source.tokens / plan.tokens:.1f}%",
        f"{100 * source.truncated / source.distinct:.1f}%",
        *(f"{count:,}" for count in (source.dropped, source.skipped, source.duplicates, source.contaminated)),
        "" if source.characters_per_token is None else f"{source.characters_per_token:.2f}",
    ]


def _total_row(plan: MixPlan) -> list[str]:
    sources = plan.sources
    cut = sum(each.truncated for each in sources) / sum(each.distinct for each in sources)
    return [
        "all",
        "",
        f"{sum(each.available for each in sources):,}",
        f"{plan.rows:,}",
        "",
        f"{plan.tokens:,}",
        f"{plan.supervised:,}",
        "100.0%",
        f"{100 * cut:.1f}%",
        f"{sum(each.dropped for each in sources):,}",
        f"{sum(each.skipped for each in sources):,}",
        f"{sum(each.duplicates for each in sources):,}",
        f"{sum(each.contaminated for each in sources):,}",
        "",
    ]


def _size_lines(plan: MixPlan) -> list[str]:
    schedule, method = plan.recipe.schedule, plan.recipe.method
    step = (
        f"{schedule.rows_per_step} rows" if schedule.rows_per_step else f"at most {schedule.tokens_per_step:,} tokens"
    )
    a_step = tokens_of_a_step(plan)
    rank = f" of rank {method.rank}" if method.rank else ""
    return [
        f"base: {plan.base.name}, {method.kind.value}{rank}, rows of at most {plan.recipe.length} tokens",
        f"steps: {plan.steps:,} in {schedule.epochs:g} epochs, each {step}: about {a_step:,.0f} tokens",
        f"packs: {plan.packs:,} of {plan.pack_length:,} tokens in the first epoch, {100 * plan.fill:.1f}% full"
        + _ranks_words(plan),
        *vocabulary_lines(plan),
        *schedule_lines(plan.recipe),
        f"supervised: {100 * plan.supervised / plan.tokens:.1f}% of the tokens",
        f"id: {plan.id}",
    ]


def tokens_of_a_step(plan: MixPlan) -> float:
    """Return the tokens of a whole step, on average; an epoch may have fewer rows than a step."""
    schedule = plan.recipe.schedule
    if schedule.rows_per_step is not None:
        return plan.tokens * min(schedule.rows_per_step, plan.rows) / plan.rows
    if schedule.epochs < 1.0:  # less than an epoch has too few steps for a mean
        return min(schedule.tokens_per_step or plan.tokens, plan.tokens)
    return plan.tokens * schedule.epochs / plan.steps


def _ranks_words(plan: MixPlan) -> str:
    """Return what several ranks do with the packs; nothing for one process, where no rank waits for another."""
    if plan.ranks is None or plan.wait_share is None:
        return ""
    return f", {plan.packs // plan.ranks:,} on each of {plan.ranks} ranks, {100 * plan.wait_share:.1f}% waiting"


def _cost_lines(cost: Cost | None, gpu: str) -> list[str]:
    if cost is None:
        return [f"cost on {gpu}: not estimated, the base is not shaped like Llama"]
    minutes = 60 * cost.hours
    time = "under 1 minute" if minutes < 1 else f"about {minutes:,.0f} minutes"
    time = time if minutes < 60 else f"about {cost.hours:,.1f} hours"
    too_large = "" if cost.fits else f": does not fit, take {TOO_LARGE}"
    rate = f"{100 * cost.utilization:.0f}% of its peak ({cost.tokens_per_second:,.0f} tokens/s)"
    return [f"cost: {time} on {cost.gpus} at {rate}, {cost.memory / 1e9:,.1f} GB on each{host_words(cost)}{too_large}"]


def contamination_lines(plan: MixPlan) -> list[str]:
    """Return lines on the benchmarks that were compared, on those not on this machine, and on what rows repeat."""
    lines = ["compared with what leaderboards test on:"]
    sampled = {check.family for check in plan.checks if "sample" in check.origins}
    for check in plan.checks:
        languages = ", ".join(check.languages)
        if check.origins:
            more = f" and {len(check.others)} more languages" if check.others else ""
            where = f"{languages}{more}".removeprefix(" and ")
            found = _found_words(check, plan)
            lines.append(f"  {check.family} ({', '.join(check.origins)}): {check.texts:,} texts in {where}: {found}")
        else:
            beyond = " beyond the packaged sample" if check.family in sampled else ""
            why = "no test data here, or none that can be read"
            lines.append(f"  {check.family}: NOT compared in {languages}{beyond}: {why}")
    for count in plan.repetitions:
        is_kept = count.left_out < count.rows
        kept = f", {count.rows - count.left_out:,} of them trained on{_but(plan)}" if is_kept else ""
        lines.append(f"  {count.source}: {count.rows:,} {count.kind.value} of {count.family}{kept}")
        for row in count.examples:
            lines.append(f"    {row.row}: {row.excerpt}")
            lines.append(f"      {100 * row.share:.0f}% of {row.text}")
    return lines


def _but(plan: MixPlan) -> str:
    """Return which of the rows that are not left out are not trained on either."""
    return "" if plan.learns_all else ", but for those held out or not drawn"


def _found_words(check: BenchmarkCheck, plan: MixPlan) -> str:
    if not check.rows:
        return "nothing found"
    if plan.on_repetition is OnRepetition.REPORT:
        return f"{check.rows:,} rows REPEAT THEM AND ARE TRAINED ON{_but(plan)}"
    return f"{check.rows:,} rows left out"


COMMAND = click.Command(
    "plan",
    params=[
        *mix_parameters(),
        click.Option(
            ["--out", "-o"],
            type=FolderName(),
            default=None,
            metavar="DIR",
            help="Keep plan and rows below this folder.",
        ),
        click.Option(
            ["--gpu"],
            default=None,
            show_default=DEFAULT_GPU,
            metavar="[Nx]NAME",
            help=f"Estimate for: {', '.join(GPUS)}. Packs are counted for so many ranks.",
        ),
        click.Option(
            ["--pack-length"],
            type=click.IntRange(1),
            default=None,
            help="Tokens a pack; default: 4 rows, with --gpu at least 8192.",
        ),
        *saver_options(),
        json_option(),
    ],
    callback=takes(PlanOptions, run_plan),
    help="Show what a recipe would train, before any weight is loaded: rows, tokens and epochs of every source, steps, "
    "an estimate of hours and memory, and which rows are left out because a leaderboard tests on them.",
    epilog="Example: xlingual tune plan x-llama-zh --data DIR --gpu 8xA100",
)
