"""What `tune plan` and `tune run` say of schedules, optimizers, new tokens and what saves memory; its options."""

import click

from ...tune.cost import Cost
from ...tune.recipe_records import Recipe, Schedule
from ...tune.records import MixPlan
from ...tune.schedule_records import LrScheduler

TOO_LARGE = "more GPUs, an adapter, --activation-checkpointing, --cpu-offload or a smaller --pack-length"


def saver_options() -> list[click.Parameter]:
    """`--activation-checkpointing` and `--cpu-offload`."""
    return [
        click.Option(["--activation-checkpointing"], is_flag=True, help="Less memory, a third more work."),
        click.Option(
            ["--cpu-offload"], is_flag=True, help="Keep the optimizer's state in the machine's memory: slower steps."
        ),
    ]


def schedule_lines(recipe: Recipe) -> list[str]:
    """Return what of a recipe's schedule and method differs from AdamW with a cosine over unquantized weights."""
    schedule, words = recipe.schedule, []
    if schedule.lr_scheduler or schedule.min_learning_rate:
        words.append(f"learning rate: {_describe_rate(schedule)}")
    if schedule.optimizer:
        words.append(f"optimizer: {schedule.optimizer.value}")
    if recipe.method.quantize:
        words.append(f"frozen weights: {recipe.method.quantize.value}")
    return words


def _describe_rate(schedule: Schedule) -> str:
    words = [f"{schedule.learning_rate:g}", (schedule.lr_scheduler or LrScheduler.COSINE).value]
    if schedule.warmup:
        words.append(f"{100 * schedule.warmup:g}% of the steps warm up")
    if schedule.decay_ratio is not None:
        words.append(f"the last {100 * schedule.decay_ratio:g}% decay")
    if schedule.min_learning_rate is not None:
        words.append(f"to {schedule.min_learning_rate:g}")
    return ", ".join(words)


def vocabulary_lines(plan: MixPlan) -> list[str]:
    """Return how many tokens a base got, and how many tokens a character takes before and after, by language."""
    report = plan.vocabulary
    if report is None:
        return []
    words = [f"{code} {each.before:.2f} to {each.after:.2f}" for code, each in report.fertility.items()]
    return [f"vocabulary: {report.added:,} new tokens for {report.base}; tokens a character: {', '.join(words)}"]


def host_words(cost: Cost) -> str:
    """Return how much of the machine's memory a training takes for each GPU; nothing where it takes none."""
    return "" if cost.host_memory is None else f", {cost.host_memory / 1e9:,.1f} GB of the machine's for each"
