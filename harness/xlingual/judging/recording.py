"""Writing down what a judge said of a run: `results.json` and `samples.jsonl` as of a run, and `judge.json`."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..files import pretty_json, write_atomically
from ..identity import Json, canonical_json
from ..provenance import installed_versions, timestamp
from ..record_hash import with_hashes
from ..records import Counts, Estimate, FailureCount, RunRecord, no_interval
from ..run import RUN, SCHEMA, VERSIONED, OpenPlan
from ..serial import to_json
from .agreement import gold_agreements, order_agreement, pair_gold_agreements
from .asking import METRICS, JudgeSettings, hash_identity, spending
from .calibration import LabelledSet, calibrate, correct_rate
from .cases import Case, gate_lack
from .judged import JUDGED_PREFIX, JudgedRun
from .records import (
    JUDGE_SCHEMA,
    JudgeIdentity,
    JudgeKind,
    JudgeReport,
    Spending,
    VerdictCounts,
    VerdictState,
)
from .scores import (
    JudgedCase,
    Reply,
    count_verdicts,
    estimate_over,
    possible_scores,
    read_replies,
    score_cases,
    score_metric,
    statistics_of,
)

REPORT = "judge.json"
_FAILED = (VerdictState.FAILED,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A judge and a run, after the judge was asked."""

    run: JudgedRun
    other: JudgedRun | None
    identity: JudgeIdentity
    against: str | None
    cases: tuple[Case, ...]
    opened: OpenPlan | None
    """None: there was nothing to ask."""
    labelled: tuple[LabelledSet, OpenPlan] | None
    settings: JudgeSettings
    folder: Path

    @property
    def suffix(self) -> str:
        """What summary files are marked with, as those of runs."""
        limit = self.run.record.protocol.limit
        return f"-limit-{limit}" if limit else ""


def record_outcome(outcome: Outcome) -> JudgeReport:
    """Score the verdicts there are, write the three files, each replaced whole, and return the report."""
    prompt = outcome.settings.prompt
    judged = score_cases(outcome.cases, read_replies(outcome.opened, prompt))
    report = _report(outcome, judged)
    outcome.folder.mkdir(parents=True, exist_ok=True)
    _write_plan(outcome)
    samples = "".join(canonical_json(_sample(each, outcome.identity.kind)) + "\n" for each in judged)
    write_atomically(outcome.folder / f"samples{outcome.suffix}.jsonl", samples)
    record = with_hashes(_run_record(outcome, report, judged), samples)
    write_atomically(outcome.folder / f"results{outcome.suffix}.json", pretty_json(to_json(record)))
    name = REPORT if not outcome.suffix else f"judge{outcome.suffix}.json"
    write_atomically(outcome.folder / name, pretty_json(to_json(report)))
    return report


def _write_plan(outcome: Outcome) -> None:
    """Write which run was judged, and under which licence its texts are."""
    content: Json = {
        "schema": SCHEMA,
        "judged": outcome.run.folder.name,
        "against": None if outcome.other is None else f"{outcome.other.folder.parent.name}/{outcome.other.folder.name}",
        "task": {"licence": outcome.run.licence or ""},
    }
    write_atomically(outcome.folder / RUN, pretty_json(content))


def _report(outcome: Outcome, judged: tuple[JudgedCase, ...]) -> JudgeReport:
    record, kind = outcome.run.record, outcome.identity.kind
    score, pairs = _estimate(outcome, judged), kind is JudgeKind.PAIRWISE
    counts = count_verdicts(judged, pairs=pairs)
    calibration = None
    if outcome.labelled is not None:
        labelled, opened = outcome.labelled
        calibration = calibrate(labelled, read_replies(opened, outcome.settings.prompt))
    budget = outcome.settings.budget
    nothing = Spending(requests=0, prompt_tokens=None, tokens=None, cost=None)
    return JudgeReport(
        schema=JUDGE_SCHEMA,
        judge=outcome.identity,
        model=record.model.name,
        fingerprint=record.model.fingerprint,
        task=record.label,
        language=record.language,
        against=None if outcome.other is None else _name_opponent(outcome.run, outcome.other),
        limit=record.protocol.limit,
        counts=counts,
        score=score,
        orders=order_agreement(judged, record.language) if pairs else None,
        gold=gold_agreements(judged, record.language) if kind is JudgeKind.CORRECTNESS else (),
        pair_gold=pair_gold_agreements(judged, record.language) if pairs else (),
        calibration=calibration,
        corrected=None if calibration is None else correct_rate(score, calibration),
        spending=nothing if outcome.opened is None else spending(outcome.opened, budget),
        notes=(
            *_notes_on_self(outcome),
            *_notes_on_score(score),
            *_notes_on_gate(outcome),
            *notes_on(counts, outcome.identity, judged),
        ),
        finished_at=timestamp(),
    )


def _name_opponent(run: JudgedRun, other: JudgedRun) -> str:
    """Return the other model's name, with the folder of its run where the model is the same."""
    name = other.record.model.name
    return name if name != run.record.model.name else f"{name}, {other.folder.name}"


def _estimate(outcome: Outcome, judged: tuple[JudgedCase, ...]) -> Estimate:
    metric = score_metric(outcome.identity, outcome.against)
    return estimate_over(
        metric, outcome.run.record.language, [each.case.answer for each in judged], statistics_of(judged)
    )


def _notes_on_score(score: Estimate) -> list[str]:
    if score.value is None:
        return [f"no score: {score.reason}"]
    why = no_interval(score.interval)
    return [] if why is None else [f"no interval: {why}"]


def _notes_on_self(outcome: Outcome) -> list[str]:
    judged = [each for each in (outcome.run, outcome.other) if each is not None]
    if all(each.record.model.fingerprint != outcome.identity.fingerprint for each in judged):
        return []
    return ["the judge is a model that it judges: models favour their own answers"]


def _notes_on_gate(outcome: Outcome) -> list[str]:
    lack = gate_lack(outcome.run.record.language) if outcome.identity.language_gate else None
    return [] if lack is None else [f"the language gate lets every answer pass: {lack}"]


def notes_on(counts: VerdictCounts, identity: JudgeIdentity, judged: Sequence[JudgedCase]) -> list[str]:
    """Return what a reader of the score must know, a sentence each."""
    notes = []
    pair = identity.kind is JudgeKind.PAIRWISE
    ruled = "lose, or tie where both of a pair do" if pair else "count 0"
    if counts.empty:
        notes.append(f"{counts.empty} empty answers were not shown to the judge: they {ruled}")
    if counts.wrong_language:
        notes.append(f"{counts.wrong_language} answers in the wrong language were not shown to the judge: they {ruled}")
    if counts.same:
        notes.append(f"{counts.same} pairs are of one and the same answer: ties, without asking")
    if counts.unreadable or counts.unclear:
        both = f"{counts.unreadable} verdicts could not be read, {counts.unclear} say that the judge cannot tell"
        low, high = possible_scores(judged)
        instead = f"with any verdicts there it would be {low:.1f} to {high:.1f}"
        notes.append(f"{both}: those answers have no score, which is not a zero; {instead}")
    if counts.unreadable:
        why, times = Counter(_kinds_of_unreadable(judged)).most_common(1)[0]
        notes.append(f"most often, {times} times, a verdict is {why}")
    if counts.cut:
        notes.append(f"{counts.cut} answers were cut to {identity.longest:,} characters, the judge was told so")
    if counts.suspect:
        notes.append(
            f"{counts.suspect} answers hold what looks like the judge's verdict, or markers of a chat: look at them"
        )
    if counts.failed:
        words = [reply.verdict.word for each in judged for reply in each.replies if reply.verdict.state in _FAILED]
        often = Counter(words).most_common(1)[0][0]
        notes.append(f"{counts.failed} answers have no verdict, and the same command asks them again: {often}")
    if counts.unasked:
        notes.append(f"{counts.unasked} answers were not judged yet: the same command goes on")
    if counts.unanswered:
        notes.append(f"{counts.unanswered} answers are missing in the run, or in the one that it is against")
    return notes


def _kinds_of_unreadable(judged: Sequence[JudgedCase]) -> Iterator[str]:
    """Yield why each verdict cannot be read, without what the judge said instead."""
    for each in judged:
        for reply in each.replies:
            if reply.verdict.state is VerdictState.UNREADABLE:
                yield ": ".join(reply.verdict.word.split(": ")[:2])


def _run_record(outcome: Outcome, report: JudgeReport, judged: tuple[JudgedCase, ...]) -> RunRecord:
    """Return the result in the form of a run of the judged model, on a task of its own."""
    record, identity = outcome.run.record, outcome.identity
    # Two judges, or one in two ways, make two results of a run: the newer must not count as the older one made anew.
    digest = hash_identity(identity, outcome.against)
    protocol = replace(
        record.protocol,
        task=f"{JUDGED_PREFIX}{identity.kind}/{record.protocol.task}",
        task_version=f"{record.protocol.task_version}, {identity.prompt} by {identity.model}#{digest[:8]}",
    )
    return RunRecord(
        schema=SCHEMA,
        model=record.model,
        protocol=protocol,
        language=record.language,
        template=record.template,
        origin=record.origin,
        files=record.files,
        demonstrations=record.demonstrations,
        main_metric=METRICS[identity.kind],
        estimates=(report.score,),
        counts=_counts(report, judged),
        versions=record.versions,
        scored_with=installed_versions(VERSIONED),
        finished_at=report.finished_at,
    )


def _counts(report: JudgeReport, judged: tuple[JudgedCase, ...]) -> Counts:
    """Return what happened to the answers; tokens are those of the judge, see `judge.json`."""
    counts = report.counts
    failed = counts.failed + counts.unanswered
    words = [reply.verdict.word for each in judged for reply in each.replies
             if reply.verdict.state is VerdictState.FAILED]  # fmt: skip
    failures = []
    if counts.failed:
        failures.append(FailureCount(kind="judge", count=counts.failed, example=next(iter(words), "")))
    if counts.unanswered:
        failures.append(
            FailureCount(kind="unanswered", count=counts.unanswered, example="the judged run has no answer")
        )
    return Counts(
        answered=counts.answers - failed - counts.unasked,
        failed=failed,
        missing=counts.unasked,
        shots_dropped=0,
        passages_cut=0,
        prompt_tokens=None,
        tokens=None,
        failures=tuple(failures) or None,
    )


def _sample(each: JudgedCase, kind: JudgeKind) -> Mapping[str, Json]:
    answer, other = each.case.answer, each.case.other
    line: dict[str, Json] = {
        "id": answer.id,
        "group": answer.group,
        "cluster": answer.cluster,
        "targets": list(answer.targets),
        "answer": answer.text,
        "failure": None,
        "finish": None,
        "statistics": {METRICS[kind]: None if each.score is None else [each.score, 1.0]},
        "messages": answer.messages,
        "rule": each.case.rule,
        "verdicts": [_verdict(reply) for reply in each.replies],
    }
    if answer.repeat:
        line["repeat"] = answer.repeat
    if other is not None:
        line["against"] = other.text
    if each.case.suspect:
        line["suspect"] = True
    return line


def _verdict(reply: Reply) -> Json:
    return {"state": reply.verdict.state.value, "verdict": reply.verdict.word, "said": reply.said}
