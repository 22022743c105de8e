"""Scores of finished runs for the card of a tuned model: its own runs, each checked before it is believed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..board.collection import CollectedRun, collect_runs
from ..board.export.model_index import SAMPLE, hub_metric, hub_task_data, task_type
from ..board.spec import RATES
from ..errors import XlingualError
from ..files import read_json_object
from ..plugin import DataSource, ModelOptions
from ..records import Estimate, ModelSpec
from ..selection import open_model
from ..tune.card import CardScore
from ..verify import RunVerdict, Verification, verify_run

Fingerprints = Callable[[str | None], frozenset[str]]
"""From the dtype that a run computed in to the fingerprints that the model of the card may have in it."""
ADAPTER_CONFIG = "adapter_config.json"
NOT_SHOWN = frozenset(RATES) - {"off_target"}
"""Diagnostics, but for the share of answers in another language: they are for who looks at a run."""
_ENGINES = ("packed", "paged", "static")
_OTHER_WEIGHTS = "its model has other weights or options than this folder"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundScores:
    """What runs say of a model."""

    scores: tuple[CardScore, ...]
    left_out: tuple[tuple[str, str], ...]
    """Where, and why: runs of this model."""
    unread: tuple[tuple[str, str], ...]
    """The same of files of which nobody can say whose they are: no part of the card."""


def fingerprints_of(folder: Path, base: ModelSpec) -> Fingerprints:
    """Return the fingerprints of the model or adapter in `folder`, by dtype; its weights are hashed, not loaded.

    In half precision the engine that answered is part of a fingerprint, so there are several. `base` is an adapter's:
    it is looked for by the word that the training had for it, and where the adapter itself says that it is.
    """
    words = [str(folder)]
    if (folder / ADAPTER_CONFIG).is_file():
        config = read_json_object(folder / ADAPTER_CONFIG, strict=False)
        named = f"{config.get('base_model_name_or_path')}{f'@{base.revision}' if base.revision else ''}"
        words = list(dict.fromkeys(f"{each}+{folder}" for each in (base.word, f"hf:{named}")))

    @cache
    def fingerprints(dtype: str | None) -> frozenset[str]:
        options = [ModelOptions(dtype=dtype, device="cpu", offline=True, engine=each) for each in _ENGINES]
        options.append(ModelOptions(dtype=dtype, device="cpu", offline=True, deterministic=True))
        found = (_fingerprint(word, each) for word in words for each in options)
        return frozenset(each for each in found if each is not None)

    return fingerprints


def _fingerprint(word: str, options: ModelOptions) -> str | None:
    """Return the fingerprint of a model, None where it cannot be opened so."""
    try:
        model = open_model(word, options)
    except XlingualError:
        return None
    try:
        return model.spec.fingerprint
    finally:
        model.close()


def find_scores(roots: Sequence[Path], plan: str, fingerprints: Fingerprints, data_source: DataSource) -> FoundScores:
    """Return the scores of all runs below `roots` of the model that the plan with this id made.

    Edited and unreadable runs are left out, and those of other weights; what could not be verified is marked. Runs of
    other models are passed over in silence. Raises UsageError for a root that does not exist.
    """
    collection = collect_runs(roots, include_limited=True)
    scores: list[CardScore] = []
    left_out: list[tuple[str, str]] = []
    for run in collection.runs:
        if run.is_group or not _is_of(run, plan):
            continue
        if run.record.model.fingerprint not in fingerprints(run.record.model.dtype):
            left_out.append((run.where, _OTHER_WEIGHTS))
            continue
        verification = None if run.path is None else verify_run(run.path, data_source)
        if verification is None or verification.verdict in (RunVerdict.EDITED, RunVerdict.UNREADABLE):
            left_out.append((run.where, "no file" if verification is None else _say(verification)))
            continue
        notes = _notes(run, verification)
        shown = [each for each in run.record.estimates if each.value is not None and each.metric not in NOT_SHOWN]
        scores += [_score(run, each, notes) for each in shown]
    unread = tuple((each.where, each.reason) for each in collection.left_out)
    return FoundScores(scores=tuple(scores), left_out=tuple(left_out), unread=unread)


def _is_of(run: CollectedRun, plan: str) -> bool:
    return f"plan {plan[:8]})" in (run.record.model.parent or "")


def _say(verification: Verification) -> str:
    return f"{verification.verdict.value}: {'; '.join(verification.reasons)}"


def _notes(run: CollectedRun, verification: Verification) -> tuple[str, ...]:
    record = run.record
    notes = []
    if verification.verdict is not RunVerdict.VERIFIED:
        notes.append(f"not verified: {'; '.join(verification.reasons)}")
    if record.protocol.limit is not None:
        notes.append(f"only examples {record.protocol.limit}")
    if run.sample:
        notes.append("the packaged sample, not the benchmark")
    if (lacking := record.counts.failed + record.counts.missing) > 0:
        notes.append(f"{lacking:,} examples without an answer")
    return tuple(notes)


def _score(run: CollectedRun, estimate: Estimate, notes: tuple[str, ...]) -> CardScore:
    record = run.record
    protocol = record.protocol
    family, _, variant = protocol.task.partition("/")
    place = None if run.sample else hub_task_data(protocol.task)
    repository, config = place if place is not None else (SAMPLE if run.sample else family, variant)
    revisions = {file.revision for file in record.files if file.origin.value == "hub"}
    unscored = (f"{estimate.unscored:,} examples without a score",) if estimate.unscored else ()
    return CardScore(
        task=record.label,
        metric=estimate.metric,
        value=estimate.value or 0.0,
        low=estimate.low,
        high=estimate.high,
        n=estimate.n,
        shots=protocol.shots,
        template=record.template,
        split=protocol.split,
        task_type=task_type(estimate.metric)[0],
        dataset=repository,
        config=config,
        revision=revisions.pop() if len(revisions) == 1 else None,
        hub_metric=hub_metric(estimate.metric),
        signature=estimate.signature,
        notes=(*notes, *unscored),
    )
