"""`xlingual metrics`: what answers are scored by, xlingual's own and those of plugins."""

import sys
from dataclasses import dataclass
from pathlib import Path

import click

from ..errors import UsageError, XlingualError
from ..files import pretty_json
from ..identity import Json
from ..languages import LANGUAGES, find_language
from ..metrics import find_metric, is_own, metric_names
from ..metrics.comet.location import model_folder
from ..metrics.comet.published import PUBLISHED
from ..plugin import Metric
from ..plugin_files import find_plugins
from ..registry import METRICS, TASKS
from .display import show_table
from .options import json_option, takes

SUMMARIES = {
    "containment": "an accepted answer stands in the prediction, both in lower case",
    "containment_first": "the first accepted answer stands in the prediction: the paper's rule",
    "mlqa_em": "exact match by the official MLQA rules of the language",
    "mlqa_f1": "token F1 by the official MLQA rules of the language",
    "mlqa_fixed_em": "mlqa_em with the Arabic article removed at word starts only, and case, digits and tatweel folded",
    "mlqa_fixed_f1": "mlqa_f1 with the Arabic article removed at word starts only, and case, digits and tatweel folded",
    "squad_em": "exact match by SQuAD v1.1 rules, English ones in every language",
    "squad_f1": "token F1 by SQuAD v1.1 rules, English ones in every language",
    "spbleu": "corpus BLEU over the SentencePiece tokens of Flores-101",
    "spbleu_flores200": "corpus BLEU over the SentencePiece tokens of Flores-200",
    "bleu": "corpus BLEU with the tokenizer of the language",
    "chrf++": "corpus F2 of character and word n-grams",
    "comet22": "COMET-22: a model's judgement of a translation, its source and its reference, about 0 to 100",
    "cometkiwi22": "CometKiwi-22: a model's judgement of a translation and its source, without a reference",
    "off_target": "answers that are not in the language asked for, of those long enough to tell",
    "thinking_off_target": "thoughts that are not in the language asked for, of those long enough to tell",
    "empty": "answers without a visible character",
    "source_copy": "answers that repeat a whole input field",
    "truncated": "answers that the token limit cut off",
    "accuracy": "the likeliest choice is an accepted one, by its log-likelihood",
    "accuracy_norm": "the likeliest choice is an accepted one, by its log-likelihood a character",
}
"""Of xlingual's own; a plugin's metric has a docstring."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsOptions:
    """The words of the command line."""

    names: tuple[str, ...]
    lang: str
    fetch: bool
    convert: str | None
    hparams: str | None
    encoder: str | None
    unpublished: bool
    as_json: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """A metric, or why it cannot be used."""

    name: str
    about: str
    module: str
    better: str = ""
    bounds: tuple[float | None, float | None] = (None, None)
    lacking: tuple[str, ...] = ()
    """Codes of the languages that it cannot judge here."""
    reason: str = ""
    """Why it cannot judge the first of them."""
    signature: str = ""
    error: str | None = None


def run_metrics(options: MetricsOptions) -> int:
    """List metrics, with words those only; 1 where a plugin that is listed is broken.

    With `--fetch` or `--convert`, get the weights of one of COMET's first.
    """
    _get_weights(options)
    code = find_language(options.lang).code
    if options.names:
        entries = [_read(name, code) for name in options.names]
    else:
        _import_tasks()
        entries = [_entry(name, code) for name in metric_names()]
    if options.as_json:
        document: Json = {"schema": 1, "language": code, "metrics": [_document(each) for each in entries]}
        click.echo(pretty_json(document), nl=False)
    else:
        header = ["metric", "better", "bounds", "languages", "about", "from"]
        show_table("metrics", header, [_row(each) for each in entries])
        if options.names:
            for each in entries:
                click.echo(f"\n{each.name}, signature for {code}: {each.signature}")
                if each.lacking:
                    click.echo(f"not for {', '.join(each.lacking)}: {each.reason}")
    return 1 if any(each.error is not None for each in entries) else 0


def _get_weights(options: MetricsOptions) -> None:
    """Fetch or convert the weights of the metrics that are named; UsageError for those that have none."""
    if not options.fetch and options.convert is None:
        given = {"--hparams": options.hparams, "--encoder": options.encoder, "--unpublished": options.unpublished}
        if alone := [option for option, value in given.items() if value]:
            raise UsageError("is used with --convert only", where=alone[0], hint="--convert CHECKPOINT")
        return
    where = "--fetch" if options.fetch else "--convert"
    strangers = [name for name in options.names if name not in PUBLISHED]
    if strangers or not options.names or (options.convert is not None and len(options.names) != 1):
        one = "one metric" if options.convert is not None else "metrics"
        raise UsageError(f"name {one} of {', '.join(PUBLISHED)}", where=where, hint=f"xlingual metrics comet22 {where}")
    if options.fetch:
        if options.convert is not None:
            raise UsageError("weights are fetched or converted", where="--fetch", hint="leave one of them out")
        from ..metrics.comet.download import fetch  # noqa: PLC0415 - torch

        for name in options.names:
            click.echo(f"{name}: {fetch(name)}", err=True)
        return
    _convert(options, options.names[0], Path(options.convert or "").expanduser())


def _convert(options: MetricsOptions, name: str, checkpoint: Path) -> None:
    if options.encoder is None:
        hint = f"the folder with config.json and tokenizer.json of {PUBLISHED[name].encoder}"
        raise UsageError("is needed with --convert", where="--encoder", hint=hint)
    from ..metrics.comet.conversion import Conversion, convert  # noqa: PLC0415 - torch

    beside = checkpoint.parent.parent / "hparams.yaml"
    conversion = Conversion(
        name=name,
        checkpoint=checkpoint,
        hparams=beside if options.hparams is None else Path(options.hparams).expanduser(),
        encoder=Path(options.encoder).expanduser(),
        unpublished=options.unpublished,
    )
    folder = model_folder(name)
    convert(conversion, folder)
    click.echo(f"{name}: {folder}", err=True)


def _import_tasks() -> None:
    """Import the task files of plugins, which may bring metrics; a broken one is a row of `xlingual tasks`."""
    for name, offers in find_plugins("tasks").items():
        if not offers[0].code.shipped:
            try:
                TASKS.find(name)
            except XlingualError:
                continue


def _entry(name: str, code: str) -> _Entry:
    try:
        return _read(name, code)
    except XlingualError as error:
        return _Entry(name=name, about="", module="", error=str(error))


def _read(name: str, code: str) -> _Entry:
    """Return what is known of a metric; UsageError where there is none, PluginError where it is broken."""
    try:
        metric = find_metric(name)
    except UsageError:
        _import_tasks()
        metric = find_metric(name)
    reasons = {each: metric.missing(each) for each in LANGUAGES}
    lacking = [each for each, reason in reasons.items() if reason is not None]
    return _Entry(
        name=name,
        about=_about(name, metric),
        module=_module(name, metric),
        better="higher" if metric.higher_is_better else "lower",
        bounds=metric.bounds,
        lacking=tuple(lacking),
        reason=reasons[lacking[0]] or "" if lacking else "",
        signature=metric.signature(code),
    )


def _about(name: str, metric: Metric) -> str:
    if name in SUMMARIES:
        return SUMMARIES[name]
    made = METRICS.get(name) if name in METRICS.names() else metric
    document = made.__doc__ or sys.modules[_module(name, metric)].__doc__ or ""
    return next(iter(document.strip().splitlines()), "")


def _module(name: str, metric: Metric) -> str:
    """Return the module that a plugin's metric is from, else that of xlingual's own."""
    return METRICS.origin(name) if name in METRICS.names() and not is_own(name) else type(metric).__module__


def _languages(entry: _Entry) -> str:
    count = len(LANGUAGES) - len(entry.lacking)
    return "all" if not entry.lacking else f"{count} of {len(LANGUAGES)}" if count else "none here"


def _row(entry: _Entry) -> list[str]:
    if entry.error is not None:
        return [entry.name, "broken", "", "", entry.error, entry.module]
    low, high = ("" if each is None else f"{each:g}" for each in entry.bounds)
    bounds = f"{low or 'no least'} to {high or 'no most'}"
    return [entry.name, entry.better, bounds, _languages(entry), entry.about, entry.module]


def _document(entry: _Entry) -> dict[str, Json]:
    if entry.error is not None:
        return {"name": entry.name, "error": entry.error}
    return {
        "name": entry.name,
        "higher_is_better": entry.better == "higher",
        "bounds": list(entry.bounds),
        "not_for": list(entry.lacking),
        "reason": entry.reason or None,
        "about": entry.about,
        "module": entry.module,
        "signature": entry.signature,
    }


COMMAND = click.Command(
    "metrics",
    params=[
        click.Argument(["names"], nargs=-1, metavar="[NAME]..."),
        click.Option(["--lang", "-l"], default="en", show_default=True, help="Language of the signature."),
        click.Option(["--fetch"], is_flag=True, help="Fetch and convert the weights of comet22 or cometkiwi22."),
        click.Option(
            ["--convert"], default=None, metavar="CHECKPOINT", help="Convert weights that you have: model.ckpt."
        ),
        click.Option(
            ["--hparams"], default=None, metavar="FILE", help="Of the checkpoint; default: hparams.yaml a folder above."
        ),
        click.Option(
            ["--encoder"], default=None, metavar="DIR", help="Folder with config.json and tokenizer of its encoder."
        ),
        click.Option(["--unpublished"], is_flag=True, help="Convert another checkpoint than the published one."),
        json_option(),
    ],
    callback=takes(MetricsOptions, run_metrics),
    help="List the metrics that answers are scored by: direction, bounds, languages that they can judge here.",
    epilog="Example: xlingual metrics chrf++ bleu --lang zh",
)
