"""`xlingual compare`: is one model better than another, or is it noise?"""

from dataclasses import dataclass
from pathlib import Path

import click

from ..comparison import Comparison, Verdict, compare_runs, overall_verdict
from ..errors import UsageError
from ..files import pretty_json
from ..serial import to_json
from . import printable
from .display import show_table
from .options import FiniteRange, json_option, takes

EXIT_CODES = {Verdict.NOT_WORSE: 0, Verdict.WORSE: 1, Verdict.CANNOT_TELL: 6}
"""With `--fail-if-worse`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareOptions:
    """The words of the command line."""

    first: str
    second: str
    metric: tuple[str, ...]
    fail_if_worse: bool
    by: float | None
    as_json: bool


def run_compare(options: CompareOptions) -> int:
    """Compare two folders of runs, print the differences, and return the exit code."""
    if options.by is not None and not options.fail_if_worse:
        raise UsageError("--by is how much worse is still accepted", where="--by", hint="add --fail-if-worse")
    margin = options.by or 0.0
    found = compare_runs(Path(options.first), Path(options.second), options.metric, margin)
    verdict = overall_verdict(found)
    code = EXIT_CODES[verdict] if options.fail_if_worse else 0
    if options.as_json:
        gate = {"verdict": verdict.value, "by": margin, "exit_code": code} if options.fail_if_worse else {}
        click.echo(pretty_json({"schema": 1, "comparisons": to_json(tuple(found)), **gate}), nl=False)
        return code
    header = ["task", "metric", "first", "second", "difference [95%]", "p", *["p (Holm)"] * (len(found) > 1), "n"]
    rows = [_row(each, several=len(found) > 1) for each in found]
    if options.fail_if_worse:
        header.append("verdict")
        rows = [[*row, each.verdict.value] for row, each in zip(rows, found, strict=True)]
    show_table(f"{options.first} against {options.second}", header, rows)
    notes: dict[str, list[str]] = {}
    for each in found:
        notes.setdefault(_note(each), []).append(each.task)
    for note, tasks in notes.items():
        click.echo(printable(note if len(notes) == 1 else f"{', '.join(dict.fromkeys(tasks))}: {note}"))
    if options.fail_if_worse:
        by = f" by more than {margin:g} points" if margin else ""
        click.echo(printable(f"{_sentence(verdict, options.first, options.second)}{by}"))
    return code


def _sentence(verdict: Verdict, first: str, second: str) -> str:
    if verdict is Verdict.CANNOT_TELL:
        return f"cannot tell whether {first} is worse than {second}"
    return f"{first} is {verdict.value} than {second}"


def _row(each: Comparison, *, several: bool) -> list[str]:
    interval = "" if each.low is None or each.high is None else f" [{each.low:+.1f}, {each.high:+.1f}]"
    numbers = [f"{each.first:.1f}", f"{each.second:.1f}", f"{each.difference:+.1f}{interval}"]
    p_values = [show_p(each.p), *([show_p(each.p_holm)] if several else [])]
    n = str(each.n) if each.n == each.examples else f"{each.n} of {each.examples}"
    return [each.task, each.metric, *numbers, *p_values, n]


def show_p(p: float) -> str:
    """Return a p-value with three decimals, "<0.001" where they would be none."""
    return "<0.001" if p < 0.0005 else f"{p:.3f}"


def _note(each: Comparison) -> str:
    units = {"group": "articles or documents", "cluster": "paragraphs", "example": "single examples"}
    power = "" if each.detectable is None else f"; shows differences from {each.detectable:.1f} points on (chance 80%)"
    part = "" if each.limit is None else f"examples {each.limit} only; "
    lost = "" if not each.lost else f"the first failed on {each.lost} examples that the second was scored on; "
    return f"{part}{lost}{each.clusters} clusters, {units[each.clustered_by]}; {each.method}{power}"


COMMAND = click.Command(
    "compare",
    params=[
        click.Argument(["first"], metavar="RUNS"),
        click.Argument(["second"], metavar="RUNS"),
        click.Option(["--metric"], multiple=True, help="Instead of each task's main metric; repeatable."),
        click.Option(
            ["--fail-if-worse"],
            is_flag=True,
            help="Exit with 0 where the first is not worse, 1 where it is, 6 where the examples cannot tell.",
        ),
        click.Option(
            ["--by"],
            type=FiniteRange(min=0.0),
            default=None,
            metavar="POINTS",
            help="With --fail-if-worse: points that the first may lose.",
        ),
        json_option(),
    ],
    callback=takes(CompareOptions, run_compare),
    help="Compare two models, each a run folder, the folder of a model or a results file, on the tasks that both have: "
    "differences with 95% intervals and paired tests over articles, paragraphs or sentences: sign-flips for scores "
    "that are means, a bootstrap for BLEU and chrF. Limited runs are compared where both have the same limit.",
    epilog="Example: xlingual compare runs/x-llama-zh-1a2b3c4d runs/alpaca-5e6f7a8b --metric mlqa_f1",
)
