"""`xlingual compare`: is one model better than another, or is it noise?"""

from dataclasses import dataclass
from pathlib import Path

import click

from ..comparison import Comparison, compare_runs
from ..files import pretty_json
from ..serial import to_json
from .display import show_table
from .options import json_option, takes


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareOptions:
    """The words of the command line."""

    first: str
    second: str
    metric: tuple[str, ...]
    as_json: bool


def run_compare(options: CompareOptions) -> int:
    """Compare two folders of runs and print the differences."""
    found = compare_runs(Path(options.first), Path(options.second), options.metric)
    if options.as_json:
        click.echo(pretty_json({"schema": 1, "comparisons": to_json(tuple(found))}), nl=False)
        return 0
    header = ["task", "metric", "first", "second", "difference [95%]", "p", "n"]
    show_table(f"{options.first} against {options.second}", header, [_row(each) for each in found])
    return 0


def _row(each: Comparison) -> list[str]:
    interval = "" if each.low is None or each.high is None else f" [{each.low:+.1f}, {each.high:+.1f}]"
    numbers = [f"{each.first:.1f}", f"{each.second:.1f}", f"{each.difference:+.1f}{interval}"]
    return [each.task, each.metric, *numbers, "" if each.p is None else f"{each.p:.3f}", str(each.n)]


COMMAND = click.Command(
    "compare",
    params=[
        click.Argument(["first"], metavar="RUNS"),
        click.Argument(["second"], metavar="RUNS"),
        click.Option(["--metric"], multiple=True, help="Instead of each task's main metric; repeatable."),
        json_option(),
    ],
    callback=takes(CompareOptions, run_compare),
    help="Compare two models, each a run folder or the folder of a model, on the tasks that both have: differences "
    "with 95% intervals and p-values of a paired bootstrap over paragraphs or sentences.",
    epilog="Example: xlingual compare runs/x-llama-zh-1a2b3c4d runs/alpaca-5e6f7a8b --metric mlqa_f1",
)
