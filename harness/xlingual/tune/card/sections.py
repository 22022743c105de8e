"""The sections of a card but for the scores: each is Markdown made of the record of the training."""

from collections.abc import Mapping

from ...identity import Json
from ...languages import LANGUAGES
from ...serial import to_json
from ..audit.raised import raised_findings
from ..audit.wording import describe_finding, describe_order
from ..hold_out.records import ExportedWeights
from ..licenses import UNKNOWN
from ..recipe_records import SourceUse, Tuning
from ..records import BenchmarkCheck, MixPlan, OnRepetition, Repetition, SourceReport, TuneRecord
from .texts import file_name, markdown, table

_METHODS = {Tuning.FULL: "full tuning", Tuning.LORA: "LoRA", Tuning.DORA: "DoRA"}
_TOLD_ELSEWHERE = ("name", "description", "base", "license")
"""Fields of a recipe with a place of their own in a card."""


def summary(record: TuneRecord) -> str:
    """Return what the model is, in one paragraph."""
    plan = record.plan
    languages = ", ".join(dict.fromkeys(_language(use.language) for use in plan.recipe.sources))
    return (
        f"{markdown(plan.base.name)}, tuned by supervised fine-tuning ({_METHODS[plan.recipe.method.kind]}) on "
        f"{plan.rows:,} rows with answers in {languages}: {_steps(record)} steps, {plan.supervised:,} tokens of "
        f"answers an epoch.{_new_tokens(plan)}{_which_step(record)} Made with xlingual; everything below is from the "
        "record of the training, `provenance.json` beside this page."
    )


def _steps(record: TuneRecord) -> str:
    """Return the steps that were trained; of those of the plan where it ended before them."""
    of_plan = "" if record.max_steps is None else f" of {record.plan.steps:,}"
    return f"{record.steps:,}{of_plan}"


def _new_tokens(plan: MixPlan) -> str:
    report = plan.vocabulary
    if report is None:
        return ""
    count = f"{report.added:,} new {'token' if report.added == 1 else 'tokens'}"
    return f" Its base is {markdown(report.base)} with {count}."


def _which_step(record: TuneRecord) -> str:
    """Return which step the weights are of; "" where no rows are held out, so that it is the last."""
    if record.exported is None:
        return ""
    found, is_best = record.exported.checkpoint, record.exported.chosen is ExportedWeights.BEST
    why = "has the lowest loss on held-out rows" if is_best else "is the last"
    return f" Its weights are those of step {found.step:,}, which {why}: {found.loss:.4f}."


def mix_section(record: TuneRecord) -> str:
    """Return the mix, a source a row, and the files it was read from."""
    uses = {use.name: use for use in record.plan.recipe.sources}
    header: tuple[str, ...] = ("source", "reader", "language", "licence", "rows", "of", "tokens", "supervised tokens")
    rows = [_mix_row(source, uses.get(source.name)) for source in record.plan.sources]
    said = "Rows are those of one epoch, repeats included."
    if any(source.held_out is not None for source in record.plan.sources):
        header = (*header, "held out")
        reports = [source.held_out for source in record.plan.sources]
        counts = ["" if each is None else f"{each.rows:,}" for each in reports]
        rows = [(*row, count) for row, count in zip(rows, counts, strict=True)]
        said += " Held-out rows were not trained on."
    files = [
        f"- {markdown(file_name(file.name))} ({file.origin.value}), sha256 {markdown(file.sha256)}"
        for source in record.plan.sources
        for file in source.files
    ]
    parts = [table(header, rows, texts=4), said]
    return "\n\n".join([*parts, *(["Files:\n\n" + "\n".join(dict.fromkeys(files))] if files else [])])


def _mix_row(source: SourceReport, use: SourceUse | None) -> tuple[str, ...]:
    direction = use.direction if use is not None else None
    language = _language(source.language)
    if direction is not None:
        language = f"{_language(direction[0])} to {_language(direction[1])}"
    return (
        *(markdown(source.name), markdown(use.reader) if use is not None else UNKNOWN, language),
        markdown(use.license or UNKNOWN) if use is not None else UNKNOWN,
        *(f"{count:,}" for count in (source.draws, source.available, source.tokens, source.supervised)),
    )


def _language(code: str) -> str:
    return LANGUAGES[code].name if code in LANGUAGES else markdown(code)


def training_section(record: TuneRecord) -> str:
    """Return method, schedule and settings: every field that the recipe has, so that none is left out."""
    recipe = record.plan.recipe
    whole = to_json(recipe)
    tables = whole if isinstance(whole, Mapping) else {}
    parts = {"method": tables["method"], "schedule": tables["schedule"], **tables, "": whole}
    rows = [row for name, part in parts.items() if isinstance(part, Mapping) for row in _settings(name, part)]
    rows += [
        ("steps", _steps(record)),
        *_held_out_rows(record),
        ("loss of the last epoch", ", ".join(f"{markdown(name)} {loss:.4f}" for name, loss in record.loss.items())),
        ("processes", str(record.world_size)),
        ("computed in", markdown(record.dtype)),
    ]
    return table(("setting", "value"), rows, texts=2)


def _held_out_rows(record: TuneRecord) -> list[tuple[str, str]]:
    """Return what the exported step is, and its losses; [] where no rows are held out."""
    if record.exported is None:
        return []
    found = record.exported.checkpoint
    losses = ", ".join(f"{markdown(name)} {loss:.4f}" for name, loss in found.by_source.items())
    return [("exported step", f"{found.step:,}"), ("its loss on held-out rows", f"{found.loss:.4f}: {losses}")]


def _settings(name: str, part: Mapping[str, Json]) -> list[tuple[str, ...]]:
    is_full = part.get("kind") == Tuning.FULL.value
    return [
        (markdown(f"{name} {key}".strip()), markdown(_show(value)))
        for key, value in part.items()
        if not isinstance(value, Mapping) and value is not None and key not in _TOLD_ELSEWHERE and key != "sources"
        if key == "kind" or not is_full
    ]


def _show(value: Json) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def contamination_section(plan: MixPlan) -> str:
    """Return what the rows were compared with, what they repeat, and what was done with it."""
    if not plan.checks:
        return "The rows were compared with no benchmark."
    compared = [check for check in plan.checks if check.origins]
    missing = [check for check in plan.checks if not check.origins]
    lines = []
    if compared:
        header = ("benchmark", "test data from", "texts", *(kind.value for kind in Repetition), "left out")
        rows = [
            (_family(each), markdown(", ".join(each.origins)), f"{each.texts:,}", *_repeated(plan, each.family))
            for each in compared
        ]
        lines.append(table(header, rows, texts=2))
        if any("sample" in each.origins for each in compared):
            lines.append("**sample** is a few packaged examples of a benchmark: with the rest nothing was compared.")
        lines.append(
            "Exact, near and partial count rows that hold all, nearly all, or a run of words of a test text, in any of "
            "its languages. Translations and paraphrases of one's own are not found."
        )
    if plan.on_repetition is OnRepetition.REPORT and any(each.rows for each in compared):
        but = "" if plan.learns_all else ", but for those that were held out or not drawn"
        lines.append(f"**These rows were trained on**{but}: scores on these benchmarks say little.")
    if missing:
        names = "; ".join(_family(each) for each in missing)
        lines.append(f"**Not compared**, as their test data were not there: {names}.")
    return "\n\n".join(lines)


def _family(check: BenchmarkCheck) -> str:
    """Return the name of a benchmark with the languages of the mix that were looked for in it."""
    words = [_language(code) for code in check.languages]
    if check.others:
        words.append(f"{len(check.others)} {'more' if words else 'other'}")
    return f"{markdown(check.family)} in {', '.join(words)}" if words else markdown(check.family)


def _repeated(plan: MixPlan, family: str) -> list[str]:
    counts = [each for each in plan.repetitions if each.family == family]
    kinds = [sum(each.rows for each in counts if each.kind is kind) for kind in Repetition]
    return [f"{count:,}" for count in (*kinds, sum(each.left_out for each in counts))]


def audit_section(plan: MixPlan) -> str:
    """Return what stands out in the rows, and what was left out."""
    lines = []
    for source in plan.sources:
        gone = {
            "empty": source.skipped,
            "duplicates": source.duplicates,
            "too long": source.dropped,
            "repeating test data": source.contaminated,
            **{f"filtered by {key}": count for key, count in (source.audit.filtered if source.audit else {}).items()},
        }
        said = [f"{count:,} {why}" for why, count in gone.items() if count]
        remarks = [f"left out: {', '.join(said)}"] if said else []
        if source.truncated:
            remarks.append(f"{source.truncated:,} of {source.distinct:,} rows were cut and lost their end token")
        if source.audit is not None:
            remarks += [
                describe_finding(source.language, source.audit, count, chats=source.chats is not None)
                for count in raised_findings(source.audit, source.language)
            ]
            if source.audit.alignment is not None and source.audit.alignment.wrong:
                remarks.append(describe_order(source.audit.alignment))
        else:
            remarks.append("not audited")
        lines += [f"- {markdown(source.name)}: {markdown(remark)}" for remark in remarks]
    return "\n".join(lines) or "Nothing stands out."


def license_section(record: TuneRecord) -> str:
    """Return the licences of result, base and data, as far as anyone said them."""
    recipe = record.plan.recipe
    lines = [f"- This model: {_said(recipe.license, 'by the recipe')}"]
    lines.append(f"- The base, {markdown(record.plan.base.name)}: {_said(record.base_license, 'by its model card')}")
    lines += [f"- Data of {markdown(use.name)}: {_said(use.license, 'by the recipe')}" for use in recipe.sources]
    lines.append("\nWhat is unknown was not guessed: find it out before you pass the model on.")
    return "\n".join(lines)


def _said(text: str | None, by: str) -> str:
    return f"{markdown(text)}, {by}" if text is not None else f"{UNKNOWN}: not said {by}"


def limits_section(record: TuneRecord) -> str:
    """Return what the model is not good for, in plain words."""
    plan, recipe = record.plan, record.plan.recipe
    answered = dict.fromkeys(_language(use.language) for use in recipe.sources)
    lines = [
        f"Answers in other languages than {', '.join(answered)}: it was not tuned for them.",
        f"Long texts: a row of its training has at most {recipe.length:,} tokens, question and answer together.",
        "Facts: tuning on instructions and translations teaches how to answer, and hardly what is true.",
        "Harm: nothing here was made to prevent harmful answers, and nobody measured them for this card.",
    ]
    if recipe.template != "chat":
        lines.insert(2, "Conversations: it was trained on single questions, each with one answer.")
    if any(source.truncated for source in plan.sources):
        lines.append("Ending by itself: some answers were learnt without their end; set a limit of new tokens.")
    if any(not check.origins for check in plan.checks) or plan.on_repetition is OnRepetition.REPORT:
        lines.append("Comparisons on every benchmark: see Contamination for those that it may have seen.")
    return "\n".join(f"- {line}" for line in lines)


def provenance_section(record: TuneRecord) -> str:
    """Return ids, hashes and versions: what it takes to make the model again."""
    plan = record.plan
    rows = [
        ("plan", plan.id),
        ("recipe", plan.recipe.name),
        ("seed", str(plan.recipe.seed)),
        ("base", plan.base.name),
        *([] if plan.base.revision is None else [("base revision", plan.base.revision)]),
        ("base fingerprint", plan.base.fingerprint),
        ("finished", record.finished_at),
        *record.versions.items(),
    ]
    return table(("what", "value"), [(markdown(name), markdown(value)) for name, value in rows], texts=2)
