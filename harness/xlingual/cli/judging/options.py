"""The options of `xlingual judge`, and the records that they make."""

from dataclasses import dataclass

import click

from ...errors import UsageError
from ...judging.asking import JudgeSettings, JudgingBudget
from ...judging.cases import Screening
from ...judging.prompts import JudgePrompt, VerdictForm
from ...judging.records import JudgeKind
from ...plugin import ModelOptions
from ...pricing import read_prices
from ...prompt import TEMPLATES
from ...question_settings import QuestionSettings, SamplingChoice
from ...thinking import ThinkingMode
from ..options import MOST, FiniteRange, data_option, json_option, offline_option
from ..progress import MODES

AUTO = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeOptions:
    """The words of the command line."""

    runs: tuple[str, ...]
    judge: str
    kind: str
    against: str | None
    prompt: str | None
    tasks: str
    limit: int | None
    data: str | None
    language_gate: bool
    longest: int
    calibration: str | None
    template: str
    max_new_tokens: int | None
    temperature: float | None
    top_p: float | None
    sample_seed: int | None
    thinking: str
    max_thinking_tokens: int | None
    price: str | None
    budget: float | None
    dry_run: bool
    fresh: bool
    max_errors: int | None
    revision: str | None
    dtype: str | None
    device: str | None
    batch_size: int | None
    concurrency: int | None
    timeout: float | None
    key_env: str | None
    header: tuple[str, ...]
    extra_body: str | None
    max_model_len: int | None
    offline: bool
    as_json: bool
    progress: str


def model_options(options: JudgeOptions) -> ModelOptions:
    """Return how the judge is to be loaded."""
    return ModelOptions(
        revision=options.revision,
        dtype=options.dtype,
        device=options.device,
        batch_size=options.batch_size,
        offline=options.offline,
        max_model_len=options.max_model_len,
        extra_body=options.extra_body,
        headers=options.header,
        timeout=options.timeout,
        concurrency=options.concurrency,
        key_env=options.key_env,
    )


def judge_settings(options: JudgeOptions, prompt: JudgePrompt, judge: str) -> JudgeSettings:
    """Return how the judge, a model of that name, is asked; UsageError for a budget without prices."""
    if options.budget is not None and options.price is None:
        raise UsageError(
            "without prices nobody knows what a verdict costs", where="--budget", hint="give --price as well"
        )
    if prompt.form is VerdictForm.CHOICE:
        _refuse_generation(options, prompt)
    budget = None
    if options.price is not None:
        budget = JudgingBudget(price=read_prices(options.price).price_of(judge), most=options.budget)
    choice = SamplingChoice(temperature=options.temperature, top_p=options.top_p, seed=options.sample_seed)
    return JudgeSettings(
        prompt=prompt,
        screening=Screening(language_gate=options.language_gate, longest=options.longest),
        question=QuestionSettings(
            sampling=choice,
            thinking=None if options.thinking == AUTO else ThinkingMode(options.thinking),
            max_thinking_tokens=options.max_thinking_tokens,
        ),
        template=options.template,
        max_new_tokens=options.max_new_tokens,
        fresh=options.fresh,
        max_errors=options.max_errors,
        budget=budget,
    )


def _refuse_generation(options: JudgeOptions, prompt: JudgePrompt) -> None:
    """Raise UsageError for an option of what is generated: it would change nothing where the judge chooses."""
    given = {
        "--max-new-tokens": options.max_new_tokens,
        "--temperature": options.temperature,
        "--top-p": options.top_p,
        "--sample-seed": options.sample_seed,
        "--thinking": None if options.thinking == AUTO else options.thinking,
        "--max-thinking-tokens": options.max_thinking_tokens,
    }
    for word, value in given.items():
        if value is not None:
            what = f"with the prompt {prompt.name} nothing is generated: the likelier verdict counts"
            raise UsageError(what, where=word, hint=f"leave {word} out")


OPTIONS: list[click.Parameter] = [
    click.Argument(["runs"], nargs=-1, required=True, metavar="RUN..."),
    click.Option(["--judge"], required=True, metavar="MODEL", help="The judge: any word that eval --model takes."),
    click.Option(
        ["--kind"],
        required=True,
        type=click.Choice(tuple(each.value for each in JudgeKind)),
        help="Is the answer right; which of two is better; how good is the translation.",
    ),
    click.Option(["--against"], default=None, metavar="RUN", help="With pairwise: run or model to compare with."),
    click.Option(
        ["--prompt"], default=None, metavar="NAME|FILE.toml", help="Instead of the kind's first: docs/judging.md."
    ),
    click.Option(["--tasks", "-t"], default="", help="Judge only runs of these tasks; globs, comma-separated."),
    click.Option(
        ["--limit"], type=click.IntRange(1, MOST), default=None, metavar="N", help="Only the first N examples."
    ),
    data_option("For translations, whose sources are shown: folder of the run's data, or 'sample'."),
    click.Option(
        ["--language-gate/--no-language-gate"],
        default=True,
        show_default=True,
        help="Mark answers in the wrong language as wrong without asking.",
    ),
    click.Option(
        ["--max-answer-chars", "longest"],
        type=click.IntRange(100, MOST),
        default=Screening().longest,
        show_default=True,
        metavar="N",
        help="Show the judge so much of an answer; it is told of the rest.",
    ),
    click.Option(
        ["--calibration"], default=None, metavar="FILE.jsonl", help="Items with labels of people, asked as well."
    ),
    click.Option(
        ["--max-new-tokens"],
        type=click.IntRange(1, MOST),
        default=None,
        help="Of a verdict; default: the prompt's.",
    ),
    click.Option(
        ["--template"],
        type=click.Choice(("auto", *TEMPLATES)),
        default="auto",
        show_default=True,
        help="Form of the question; auto: the judge's own.",
    ),
    click.Option(["--temperature"], type=FiniteRange(0, 100), default=None, help="Default: greedy."),
    click.Option(["--top-p"], type=FiniteRange(0, 1, min_open=True), default=None, help="With a temperature."),
    click.Option(["--sample-seed"], type=click.IntRange(0, MOST), default=None, help="Of the sampling."),
    click.Option(
        ["--thinking"],
        type=click.Choice((AUTO, *(each.value for each in ThinkingMode))),
        default=AUTO,
        show_default=True,
        help="Whether a judge that can think does.",
    ),
    click.Option(["--max-thinking-tokens"], type=click.IntRange(1, MOST), default=None, help="Ends its thinking."),
    click.Option(
        ["--price"],
        default=None,
        metavar="IN,OUT|FILE",
        help="Of a million tokens read and written, or a TOML table.",
    ),
    click.Option(
        ["--budget"],
        type=FiniteRange(0, min_open=True),
        default=None,
        metavar="MONEY",
        help="Stop before this command can cost more; the same command again goes on.",
    ),
    click.Option(["--dry-run"], is_flag=True, help="Show counts, costs and the first question; ask nothing."),
    click.Option(["--fresh"], is_flag=True, help="Ask everything again; earlier verdicts are kept aside."),
    click.Option(["--max-errors"], type=click.IntRange(0, MOST), default=None, help="Stop after so many failures."),
    click.Option(["--revision"], default=None, help="Of a judge on the hub."),
    click.Option(["--dtype"], default=None, help="Of a local judge: auto, float32, bfloat16, float16."),
    click.Option(["--device"], default=None, help="Of a local judge: cpu, cuda, cuda:1."),
    click.Option(["--batch-size"], type=click.IntRange(1, MOST), default=None, help="Rows of a local judge."),
    click.Option(["--concurrency"], type=click.IntRange(1, MOST), default=None, help="Requests at once to a server."),
    click.Option(["--timeout"], type=FiniteRange(0, min_open=True), default=None, help="Seconds for one verdict."),
    click.Option(["--key-env"], default=None, metavar="VARIABLE", help="Environment variable of a server's key."),
    click.Option(["--header"], multiple=True, metavar="'NAME: VALUE'", help="Sent to a server. Repeatable."),
    click.Option(["--extra-body"], default=None, metavar="JSON", help="Merged into every question to a server."),
    click.Option(["--max-model-len"], type=click.IntRange(2, MOST), default=None, help="Window of the judge."),
    offline_option(),
    json_option(),
    click.Option(["--progress"], type=click.Choice(MODES), default="auto", show_default=True, help="How to show it."),
]
