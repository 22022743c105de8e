"""What the examples of a split, and the prompts made of them, must be."""

from collections.abc import Iterator
from dataclasses import replace

from ..metrics import CHOICE_METRICS, GOLD_FREE_METRICS, METRIC_NAMES
from ..records import Example, Examples, Prompt, TaskSpec
from ..text import shows_nothing
from .contract import Broken, comma_hint
from .record_types import describe_value, record_fault
from .specs import language_faults

BLANK_TARGET = "a blank text is found in every answer"


def examples_faults(found: object, spec: TaskSpec, *, judges_itself: bool, shipped: bool) -> Iterator[Broken]:
    """Yield what is wrong with the examples of a split, its first example first.

    `judges_itself`: the task scores its own answers, as lm-eval's do, so that its targets are for show. `shipped`: the
    task is xlingual's own, so that a blank target is in the data of others: it is left unscored.
    """
    if (fault := whole_fault(found)) is not None:
        yield fault
        return
    ids: dict[str, int] = {}
    for number, row in enumerate(found.rows if isinstance(found, Examples) else (), start=1):
        called = f"example {row.id!r}" if isinstance(getattr(row, "id", None), str) else f"example number {number}"
        if (wrong := record_fault(row, Example, called="a row")) is not None:
            yield Broken(f"{called}: {wrong}", comma_hint(row))
            return
        if row.id in ids:
            yield Broken(f"{called} comes twice, as number {ids[row.id]} and {number}", "ids are unique")
        ids[row.id] = number
        if not shipped and not judges_itself:
            yield from _blank_targets(row, called)
        for each in example_faults(row, spec, judges_itself=judges_itself):
            yield Broken(f"{called}: {each.what}", each.hint)


def _blank_targets(row: Example, called: str) -> Iterator[Broken]:
    blank = next((each for each in row.targets if shows_nothing(each)), None)
    if blank is not None:
        hint = "leave such examples out, or name the right answer"
        yield Broken(f"{called}: targets holds {blank!r}: {BLANK_TARGET}", hint)


def whole_fault(found: object) -> Broken | None:
    """Return that it is no Examples, or none with a tuple of rows; the rows have checks of their own."""
    if not isinstance(found, Examples):
        return Broken(f"examples must be Examples(rows=..., files=...), got {describe_value(found)}")
    for name in ("rows", "files"):
        if not isinstance(value := getattr(found, name), tuple):
            return Broken(f"{name} must be a tuple, got {describe_value(value)}", f"{name}=tuple(...)")
    wrong = record_fault(replace(found, rows=()), Examples)
    if wrong is None and found.scores is not None and len(found.scores) != len(found.rows):
        wrong = f"scores has {len(found.scores):,} values, and there are {len(found.rows):,} rows"
    return Broken(wrong) if wrong is not None else None


def example_faults(row: Example, spec: TaskSpec, *, judges_itself: bool) -> Iterator[Broken]:
    """Yield what is wrong with one example whose fields have the right types."""
    if shows_nothing(row.id):
        yield Broken("the id is blank")
    if row.language != spec.language:
        yield from language_faults("language", row.language)
        yield Broken(f"language is {row.language!r}, the task answers in {spec.language!r}")
    if not row.targets and not GOLD_FREE_METRICS.issuperset(spec.metrics):
        yield Broken("targets is empty: an example needs an accepted answer")
    if row.demonstration is not None and shows_nothing(row.demonstration):
        yield Broken("demonstration must not be blank", "None shows the first target")
    if row.choices is None and spec.metrics[0] in CHOICE_METRICS:
        yield Broken(f"the metric {spec.metrics[0]} scores choices, and there are none", "Example(choices=...)")
    if row.choices is not None and not judges_itself:
        yield from _choice_faults(row.choices)
        if not set(row.targets) & set(row.choices):
            yield Broken("no target is among the choices")


def prompt_faults(prompt: object, example: Example, spec: TaskSpec) -> Iterator[Broken]:
    """Yield what is wrong with what a task wants to ask for an example."""
    if (wrong := record_fault(prompt, Prompt, called="prompt")) is not None or not isinstance(prompt, Prompt):
        yield Broken(wrong or "", comma_hint(prompt))
        return
    if shows_nothing(prompt.instruction + prompt.input):
        yield Broken("the prompt is blank: nothing would be asked")
    try:
        (prompt.instruction + prompt.input).encode()
    except UnicodeEncodeError as error:
        yield Broken(f"the prompt holds half a character, {error.object[error.start]!r}", "decode the data as UTF-8")
    if prompt.choices is not None:
        yield from _choice_faults(prompt.choices)
        if example.choices is None:
            yield Broken("the prompt has choices, the example has none", "Example(choices=...)")
        if all(name in METRIC_NAMES and name not in CHOICE_METRICS for name in spec.metrics):
            yield Broken("none of the metrics scores choices", f"metrics={CHOICE_METRICS}")
    elif spec.max_new_tokens == 0:
        yield Broken("max_new_tokens is 0, so nothing is generated, and the prompt has no choices", "use ChoiceTask")


def _choice_faults(choices: tuple[str, ...]) -> Iterator[Broken]:
    if len(set(choices)) < 2 or not all(choices):
        yield Broken("needs two choices or more, none of them empty")
    if len(set(choices)) != len(choices):
        yield Broken("choices names one twice")
