"""`xlingual scale sweep`: tune a recipe at several amounts of translation data, and score each model on dev."""

from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import click

from ...files import pretty_json
from ...planning import Limit, RunSettings
from ...plugin import ModelOptions
from ...scaling.points import Point, read_points
from ...scaling.sweep import SweepPoint, SweepSpec, read_sweep, run_sweep, sweep_points
from ...scaling.tables import point_table
from ...scaling.trials import Trials
from ...serial import to_json
from ...tune.records import MixPlan
from .. import printable
from ..display import show_table
from ..options import data_option, json_option, offline_option, out_option, read_data_source, takes
from ..progress import choose_observer, progress_option
from ..signals import orderly_signals
from ..tune.options import override_option
from ..tune.trainer import Trainer, count_processes, processes_option
from .output import show_tables

TABLE = "points.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepCommand:
    """The words of the command line."""

    sweep: str
    overrides: tuple[str, ...]
    base: str | None
    data: str | None
    offline: bool
    out: str
    processes: str
    device: str | None
    keep_models: bool
    dry_run: bool
    as_json: bool
    progress: str


def run_points(command: SweepCommand) -> int:
    """Train and score the points that the table does not hold yet, and show it."""
    spec = read_sweep(Path(command.sweep), command.overrides)
    folder = Path(command.out).expanduser() / Path(command.sweep).stem
    table = folder / TABLE
    with closing(_trials(command, spec, folder)) as trials:
        points = sweep_points(spec, trials.origin())
        plans = trials.check(points)
        done = {each.place for each in read_points(table)} if table.exists() else set()
        if command.dry_run:
            _show_plans(points, plans, done)
            return 0
        left = [point for point in points if point.place not in done]
        click.echo(f"{len(points)} points, {len(left)} to measure; the table: {printable(str(table))}", err=True)
        folder.mkdir(parents=True, exist_ok=True)
        with orderly_signals("the same command again goes on with the point that was stopped"):
            for number, (point, measured) in enumerate(zip(left, run_sweep(left, table, trials), strict=True), start=1):
                click.echo(f"{_describe(measured)} ({number} of {len(left)})", err=True)
                if not command.keep_models:
                    trials.forget(point)
    wanted = {point.place for point in points}
    _show([each for each in read_points(table) if each.place in wanted], table, as_json=command.as_json)
    return 0


def _trials(command: SweepCommand, spec: SweepSpec, folder: Path) -> Trials:
    progress = "none" if command.as_json else command.progress
    data_source = read_data_source(command.data, offline=command.offline)
    settings = RunSettings(
        data_source=data_source,
        out=folder,
        max_new_tokens=spec.max_new_tokens,
        limit=None if spec.limit is None else Limit(1, spec.limit),
    )
    trainer = Trainer(
        out=folder,
        base=command.base,
        data=command.data,
        offline=command.offline,
        progress=progress,
        processes=1 if command.dry_run else count_processes(command.processes),
    )
    return Trials(
        spec=spec,
        base=command.base,
        settings=settings,
        options=ModelOptions(device=command.device, offline=command.offline),
        train=trainer,
        observer=choose_observer(progress),
    )


def _describe(point: Point) -> str:
    interval = "" if point.low is None or point.high is None else f" [{point.low:.1f}, {point.high:.1f}]"
    return f"{point.language}, {point.pairs:,} pairs, seed {point.seed}: {point.metric} {point.score:.1f}{interval}"


def _show_plans(points: Sequence[SweepPoint], plans: Sequence[MixPlan], done: Collection[object]) -> None:
    header = ["language", "pairs", "seed", "rows", "tokens", "steps", "measured"]
    rows = [
        [
            point.language,
            *(f"{number:,}" for number in (point.pairs, point.seed, plan.rows, plan.tokens, plan.steps)),
            "yes" if point.place in done else "no",
        ]
        for point, plan in zip(points, plans, strict=True)
    ]
    show_table("points of the sweep; rows and tokens of one epoch", header, rows)


def _show(points: Sequence[Point], table: Path, *, as_json: bool) -> None:
    if as_json:
        click.echo(pretty_json({"schema": 1, "table": str(table), "points": to_json(tuple(points))}), nl=False)
        return
    show_tables([point_table(points)])
    click.echo(printable(f"\nnext: xlingual scale fit {table}"))


COMMAND = click.Command(
    "sweep",
    params=[
        click.Argument(["sweep"], metavar="SWEEP.toml"),
        override_option("the sweep's recipe"),
        click.Option(["--base"], default=None, help="Model word of the base, instead of the recipe's."),
        data_option("Folder that the recipe's paths are below and that holds Flores-101 dev, or 'sample'."),
        offline_option(),
        out_option("DIR/SWEEP holds it all."),
        processes_option(),
        click.Option(["--device"], default=None, help="Of the evaluation: cpu, cuda, cuda:all."),
        click.Option(["--keep-models"], is_flag=True, help="Keep the weights of models that have been scored."),
        click.Option(["--dry-run"], is_flag=True, help="Check everything and list the points; train nothing."),
        json_option(),
        progress_option("How to show it."),
    ],
    callback=takes(SweepCommand, run_points),
    short_help="Train and score the points of a law.",
    help="Tune one recipe at several amounts of translation data per language, score every model on Flores-101 dev, "
    "and keep a table of points. The same command again goes on where it stopped.",
    epilog="Example: xlingual scale sweep sweep.toml --data DIR, then xlingual scale fit runs/sweep/points.csv",
)
