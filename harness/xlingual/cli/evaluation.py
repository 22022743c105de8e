"""`xlingual eval`: run models on tasks, or show with `--dry-run` what would be run."""

import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import UsageError
from ..files import pretty_json
from ..groups import aggregate, groups_of
from ..planning import RunSettings, TaskPlan, parse_limit, plan_task, run_folder
from ..plugin import Model, ModelOptions, Task
from ..prompt import OVERFLOW_POLICIES, TEMPLATES
from ..records import Origin, RunRecord
from ..run import evaluate
from ..selection import open_model, select_tasks, split_words, untouched_languages
from ..serial import to_json
from . import printable
from .display import show_records
from .options import data_option, json_option, offline_option, read_data_source, takes
from .progress import MODES, choose_observer
from .signals import orderly_signals

if TYPE_CHECKING:
    from ..tracking import Tracker

DEFAULT_TASKS = "xquad,mlqa,flores101"
ENGINES = ("packed", "static", "paged")
DTYPES = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalOptions:
    """The words of the command line."""

    model: tuple[str, ...]
    tasks: str
    langs: str
    data: str | None
    out: str
    split: str | None
    limit: str | None
    shots: int
    seed: int
    template: str
    max_new_tokens: int | None
    stop: tuple[str, ...]
    on_overflow: str
    revision: str | None
    dtype: str | None
    device: str | None
    batch_size: int | None
    engine: str | None
    deterministic: bool
    allow_pickle: bool
    trust_remote_code: bool
    max_errors: int | None
    fresh: bool
    offline: bool
    dry_run: bool
    as_json: bool
    progress: str
    server_python: str | None
    server_arg: tuple[str, ...]
    track: str | None
    track_samples: bool


def run_evaluation(options: EvalOptions) -> int:
    """Evaluate every model on every task; 0 where all samples have answers, else 1."""
    settings = _settings(options)
    languages = split_words(options.langs)
    tasks = select_tasks(split_words(options.tasks), languages)
    records: list[RunRecord] = []
    observer = choose_observer("none" if options.as_json else options.progress)
    for code in untouched_languages(tasks, languages):
        observer.note(f"no chosen task answers in {code}")
    for number, word in enumerate(options.model, start=1):
        with closing(open_model(word, _model_options(options))) as model, ExitStack() as endings:
            if options.dry_run:
                _show_plans(model, tasks, settings, as_json=options.as_json)
                continue
            tracker = _open_tracker(options, settings, model)
            if tracker is not None:
                endings.callback(tracker.close)
            with orderly_signals(_resume_hint(options, options.model[number:])):
                found = evaluate(model, tasks, settings, observer)
            records += found
            if tracker is not None:
                _mirror(tracker, found, settings, samples=options.track_samples)
    if options.dry_run:
        return 0
    _warn(records)
    groups = aggregate(groups_of(tasks), records)
    if options.as_json:
        shown = {"schema": 1, "runs": to_json(tuple(records))}
        click.echo(pretty_json({**shown, "groups": to_json(tuple(groups))} if groups else shown), nl=False)
    else:
        show_records([*records, *groups])
        for name, parent in dict.fromkeys((each.model.name, each.model.parent) for each in records):
            if parent is not None:
                click.echo(printable(f"{name}: tuned from {parent}"), err=True)
        click.echo(f"runs: {settings.out}", err=True)
    return 0 if all(record.counts.failed == record.counts.missing == 0 for record in records) else 1


def _open_tracker(options: EvalOptions, settings: RunSettings, model: Model) -> "Tracker | None":
    if options.track is None:
        return None
    from ..tracking import open_tracker  # noqa: PLC0415 (only where it is asked for)

    return open_tracker(options.track, settings.out / "tracking", model.spec.name, _warn_line)


def _mirror(tracker: "Tracker", records: list[RunRecord], settings: RunSettings, *, samples: bool) -> None:
    from ..tracking import mirror_runs  # noqa: PLC0415 (only where it is asked for)

    folders = [(each, run_folder(settings.out, each.model, each.protocol, each.template)) for each in records]
    mirror_runs(tracker, folders, samples=samples)


def _warn_line(message: str) -> None:
    click.echo(f"warning: {printable(message)}", err=True)


def _settings(options: EvalOptions) -> RunSettings:
    return RunSettings(
        data_source=read_data_source(options.data, offline=options.offline),
        out=Path(options.out).expanduser(),
        split=options.split,
        template=options.template,
        shots=options.shots,
        seed=options.seed,
        max_new_tokens=options.max_new_tokens,
        stop=tuple(_unescape(word) for word in options.stop) or None,
        limit=parse_limit(options.limit) if options.limit else None,
        on_overflow=options.on_overflow,
        fresh=options.fresh,
        max_errors=options.max_errors,
    )


def _unescape(word: str) -> str:
    text = word.replace("\\n", "\n").replace("\\t", "\t")
    if not text:
        raise UsageError("an empty stop string would end every answer", where="--stop", hint="leave --stop out")
    return text


def _model_options(options: EvalOptions) -> ModelOptions:
    return ModelOptions(
        revision=options.revision,
        dtype=options.dtype,
        device=options.device,
        batch_size=options.batch_size,
        offline=options.offline,
        allow_pickle=options.allow_pickle,
        trust_remote_code=options.trust_remote_code,
        server_python=options.server_python,
        server_args=options.server_arg,
        engine=options.engine,
        deterministic=options.deterministic,
    )


def _resume_hint(options: EvalOptions, later: Sequence[str]) -> str:
    """Return the command that goes on with this run; with --fresh it would begin once more.

    Of models that come `later`, earlier answers are still there: only --fresh asks them again.
    """
    command = shlex.join(["xlingual", *(word for word in sys.argv[1:] if word != "--fresh")])
    hint = f"the same command again resumes: {command}"
    return f"{hint}; before it, --fresh for {', '.join(later)}, not begun" if options.fresh and later else hint


def _show_plans(model: Model, tasks: list[Task], settings: RunSettings, *, as_json: bool) -> None:
    plans = [plan_task(task, model, settings) for task in tasks]
    documents = [_describe(model, plan) for plan in plans]
    if as_json:
        click.echo(pretty_json({"schema": 1, "plans": to_json(documents)}), nl=False)
        return
    for plan, document in zip(plans, documents, strict=True):
        tokens = "unknown" if document["prompt_tokens"] is None else document["prompt_tokens"]
        click.echo(f"{plan.name}: {document['samples']} samples, {tokens} prompt tokens, ", nl=False)
        most = plan.protocol.max_new_tokens
        asked = f"up to {most} new tokens each" if most else "choices are scored"
        click.echo(f"{asked}, template {plan.template}, data {plan.origin}")
        click.echo(
            f"  {document['shots_dropped']} lose demonstrations, {document['passages_cut']} have their passage cut"
        )
        click.echo(f"  files: {', '.join(file.path for file in plan.files)}")
        click.echo(f"  goes to: {plan.folder}")
        for message in plan.fitted[0].request.messages:
            click.echo(printable(f"  [{message.role}]\n{message.text}"))
        for choice in plan.fitted[0].request.choices or ():
            click.echo(printable(f"  [choice] {choice.before}{choice.text}"))
        click.echo()


def _describe(model: Model, plan: TaskPlan) -> dict[str, object]:
    requests = [fitted.request for fitted in plan.fitted]
    counts = model.count_tokens(requests)
    return {
        "task": plan.name,
        "model": plan.model.name,
        "samples": len(requests),
        "prompt_tokens": None if counts is None else sum(counts),
        "max_new_tokens": plan.protocol.max_new_tokens,
        "template": plan.template,
        "origin": plan.origin.value,
        "files": [file.path for file in plan.files],
        "shots_dropped": sum(fitted.shots_dropped > 0 for fitted in plan.fitted),
        "passages_cut": sum(fitted.passage_cut > 0 for fitted in plan.fitted),
        "folder": str(plan.folder),
        "first_prompt": [f"{message.role}: {message.text}" for message in requests[0].messages],
    }


def _warn(records: list[RunRecord]) -> None:
    for record in records:
        name = record.protocol.task
        counts = record.counts
        if counts.failed or counts.missing:
            done = f"{counts.answered} of {record.protocol.n} samples"
            rest = "the rest, but none that is too long" if record.protocol.on_overflow == "skip" else "the rest"
            click.echo(f"warning: {name}: answered {done}; the same command again asks {rest}", err=True)
        if counts.shots_dropped or counts.passages_cut:
            lost = f"{counts.shots_dropped} prompts lost demonstrations, {counts.passages_cut} had their passage cut"
            click.echo(f"warning: {name}: {lost} to fit the context window", err=True)
        empty = next((each.value for each in record.estimates if each.metric == "empty"), None)
        if empty is not None and empty > 5:
            click.echo(f"warning: {name}: {empty:.1f}% of the answers are empty", err=True)
    if any(record.origin is Origin.SAMPLE for record in records):
        click.echo("note: these are scores on the packaged sample; they are never ranked beside real ones", err=True)


_OPTIONS: list[click.Parameter] = [
    click.Option(
        ["--model", "-m"], multiple=True, required=True, help="Model word, see 'xlingual models'; repeatable."
    ),
    click.Option(
        ["--tasks", "-t"], default=DEFAULT_TASKS, show_default=True, help="Families, tasks or globs, comma-separated."
    ),
    click.Option(["--langs", "-l"], default="", help="Only tasks that answer in these languages: zh,ar."),
    data_option(),
    click.Option(["--out", "-o"], default="runs", show_default=True, help="Folder of all runs."),
    click.Option(["--split"], default=None, help="Split to evaluate instead of each task's own: dev."),
    click.Option(["--limit"], default=None, metavar="N|A-B", help="Only these examples; such a run is never ranked."),
    click.Option(
        ["--shots"], type=click.IntRange(0), default=0, show_default=True, help="Solved examples before the question."
    ),
    click.Option(["--seed"], type=int, default=0, show_default=True, help="Of the choice of solved examples."),
    click.Option(
        ["--template"],
        type=click.Choice(("auto", *TEMPLATES)),
        default="auto",
        show_default=True,
        help="How prompts are wrapped; auto: as suits the model.",
    ),
    click.Option(
        ["--max-new-tokens"], type=click.IntRange(1), default=None, help="Longest answer; default: each task's own."
    ),
    click.Option(
        ["--stop"], multiple=True, metavar="TEXT", help=r"End answers before this; '\n' is a line break. Repeatable."
    ),
    click.Option(
        ["--on-overflow"],
        type=click.Choice(OVERFLOW_POLICIES),
        default="truncate",
        show_default=True,
        help="What to do with prompts longer than the context window.",
    ),
    click.Option(["--revision"], default=None, help="Commit of a hub model."),
    click.Option(
        ["--dtype"], type=click.Choice(DTYPES), default=None, help="Default: float32 on CPU, bfloat16 on GPU."
    ),
    click.Option(["--device"], default=None, help="cpu, cuda, cuda:1, mps; cuda:0,cuda:1 or cuda:all shares the work."),
    click.Option(["--batch-size"], type=click.IntRange(1), default=None, help="Prompts answered together."),
    click.Option(
        ["--engine"],
        type=click.Choice(ENGINES),
        default=None,
        help="How local models generate: packed (ours, the default), static (batches of transformers), paged (its "
        "continuous batching).",
    ),
    click.Option(
        ["--deterministic"], is_flag=True, help="Every answer by itself: none depends on another, in any dtype; slow."
    ),
    click.Option(["--allow-pickle"], is_flag=True, help="Load .bin weights, which can run code."),
    click.Option(["--trust-remote-code"], is_flag=True, help="Run a model's own code; needs a 40-hex --revision."),
    click.Option(["--max-errors"], type=click.IntRange(0), default=None, help="Stop after this many failed samples."),
    click.Option(["--fresh"], is_flag=True, help="Ask everything again; earlier answers are moved aside."),
    offline_option(),
    click.Option(
        ["--dry-run"], is_flag=True, help="Show counts, tokens and the first prompt of each task; ask nothing."
    ),
    json_option(),
    click.Option(
        ["--progress"], type=click.Choice(MODES), default="auto", show_default=True, help="How to show progress."
    ),
    click.Option(
        ["--server-python", "--vllm-python"],
        default=None,
        metavar="PATH|make",
        help="Interpreter of the environment that has vLLM, SGLang or transformers serve; make: make one in the cache.",
    ),
    click.Option(
        ["--server-arg"],
        multiple=True,
        metavar="ARG",
        help="Passed to the server that is started: --server-arg=--tensor-parallel-size=2. Repeatable.",
    ),
    click.Option(
        ["--track"],
        default=None,
        metavar="comet-ml[:online]",
        help="Mirror settings, scores and result files to Comet ML: an offline archive below OUT/tracking, which "
        "'xlingual track upload' sends; or sent at once.",
    ),
    click.Option(["--track-samples"], is_flag=True, help="Mirror questions and answers too."),
]

COMMAND = click.Command(
    "eval",
    params=_OPTIONS,
    callback=takes(EvalOptions, run_evaluation),
    help="Run models on tasks. The same command again resumes and never asks a finished sample twice.",
    epilog="Example: xlingual eval -m smollm2 -t xquad,flores101/en-* -l zh,ar --data DIR --limit 40",
)
