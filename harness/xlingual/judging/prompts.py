"""Prompts of judges: TOML files with a name and a version, read strictly, filled without a second look.

A name in braces stands for a text of the answer that is judged. Texts are put in once: a brace in an answer stays one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ..errors import UsageError
from ..identity import Json, content_hash
from ..records import Prompt
from ..text import did_you_mean
from ..toml_table import TomlTable, read_toml
from .records import JudgeKind

FOLDER = Path(__file__).with_name("prompt_files")
FIELDS: Mapping[JudgeKind, frozenset[str]] = {
    JudgeKind.CORRECTNESS: frozenset({"question", "gold", "answer", "mark"}),
    JudgeKind.PAIRWISE: frozenset({"question", "first", "second", "mark"}),
    JudgeKind.TRANSLATION: frozenset({"source", "reference", "answer", "source_language", "target_language", "mark"}),
}
"""What a prompt of a kind may ask for. `mark` is a word made of the texts themselves, which no text can hold."""
NEEDED: Mapping[JudgeKind, frozenset[str]] = {
    JudgeKind.CORRECTNESS: frozenset({"question", "answer"}),
    JudgeKind.PAIRWISE: frozenset({"question", "first", "second"}),
    JudgeKind.TRANSLATION: frozenset({"source", "answer"}),
}
VALUES: Mapping[JudgeKind, Mapping[str, float | None]] = {
    JudgeKind.CORRECTNESS: {"correct": 1.0, "incorrect": 0.0, "unclear": None},
    JudgeKind.PAIRWISE: {"first": 1.0, "tie": 0.5, "second": 0.0, "unclear": None},
    JudgeKind.TRANSLATION: {},
}
"""Verdicts of a kind and what they are worth."""
_KEYS = ("name", "version", "kind", "form", "description", "citation", "corrections", "cue", "max_new_tokens",
         "instruction", "input", "verdicts", "scale")  # fmt: skip
_BRACES = re.compile(r"\{(\w+)\}")


class VerdictForm(StrEnum):
    """What the judge's last line is to hold."""

    LABEL = "label"
    """VERDICT: CORRECT."""
    SCORE = "score"
    """SCORE: 85."""
    TWO_SCORES = "two scores"
    """SCORE A: 7, then SCORE B: 5."""
    CHOICE = "choice"
    """Nothing: the likeliest of the words counts. For judges that do not keep to a form; servers seldom can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgePrompt:
    """How a judge is asked, and how it is to reply."""

    name: str
    version: str
    kind: JudgeKind
    form: VerdictForm
    description: str
    citation: str | None
    corrections: tuple[str, ...]
    """What is otherwise than in the published prompt that it is made after."""
    cue: str
    """Begins the line of the verdict; "" where the verdict is chosen."""
    labels: Mapping[str, tuple[str, ...]]
    """By verdict ("correct"), the words that a judge may say for it."""
    scale: float
    """The highest score."""
    max_new_tokens: int
    """0 where the verdict is chosen."""
    instruction: str
    input: str

    @property
    def label(self) -> str:
        """Name and version."""
        return f"{self.name}-v{self.version}"

    @property
    def hash(self) -> str:
        """Content hash of all that a judge reads and of how it is understood, 8 hex digits."""
        labels: dict[str, Json] = {name: list(words) for name, words in self.labels.items()}
        content: list[Json] = [self.instruction, self.input, self.kind, self.form, self.cue, labels, self.scale]
        return content_hash(content)[:8]

    @property
    def uses_reference(self) -> bool:
        """Whether the judge sees accepted answers."""
        return "{reference}" in self.input or "{gold}" in self.input

    def fill(self, texts: Mapping[str, str]) -> Prompt:
        """Return what is asked with `texts`, by the names in braces."""
        instruction, given = (
            _BRACES.sub(lambda found: texts[found[1]], each) for each in (self.instruction, self.input)
        )
        choices = tuple(words[0] for words in self.labels.values()) if self.form is VerdictForm.CHOICE else None
        return Prompt(instruction=instruction, before=given, passage="", after="", choices=choices)


def prompt_names(kind: JudgeKind | None = None) -> list[str]:
    """Return the names of the packaged prompts, those of a kind only where it is given."""
    found = [read_prompt(path) for path in sorted(FOLDER.glob("*.toml"))]
    return [each.name for each in found if kind is None or each.kind is kind]


def find_prompt(word: str | None, kind: JudgeKind) -> JudgePrompt:
    """Return the prompt called `word`, or that of a TOML file; None: the first of the kind, which has its name.

    Raises UsageError for a name that is none and for a prompt of another kind, DataError for a wrong file.
    """
    name = kind.value if word is None else word
    path = Path(name).expanduser() if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not name.endswith(".toml") and (name != Path(name).name or not path.is_file()):
        raise UsageError(f"no such prompt: {name!r}", where="--prompt", hint=did_you_mean(name, prompt_names(kind)))
    found = read_prompt(path)
    if found.kind is not kind:
        hint = did_you_mean(name, prompt_names(kind))
        raise UsageError(f"{found.name} is a prompt of the kind {found.kind}", where=f"--prompt {name}", hint=hint)
    return found


def read_prompt(path: Path) -> JudgePrompt:
    """Read a prompt file; DataError naming file, line and key for anything that is not as it must be."""
    table = read_toml(path)
    table.allow(_KEYS)
    kind = JudgeKind(table.choice("kind", tuple(JudgeKind)))
    form = VerdictForm(table.choice("form", tuple(VerdictForm)))
    if (form is VerdictForm.SCORE) != (kind is JudgeKind.TRANSLATION):
        raise table.fault("form", f"the form {form.value!r} is none of the kind {kind.value!r}")
    if form is VerdictForm.TWO_SCORES and kind is not JudgeKind.PAIRWISE:
        raise table.fault("form", "two scores are of pairs")
    prompt = JudgePrompt(
        name=table.text("name"),
        version=table.text("version"),
        kind=kind,
        form=form,
        description=table.text("description"),
        citation=table.text("citation") if table.has("citation") else None,
        corrections=table.texts("corrections") if table.has("corrections") else (),
        cue="" if form is VerdictForm.CHOICE else table.text("cue"),
        labels=_read_labels(table, kind) if form in (VerdictForm.LABEL, VerdictForm.CHOICE) else {},
        scale=table.number("scale", least=0.0, most=1e6, above=True) if table.has("scale") else 1.0,
        max_new_tokens=0 if form is VerdictForm.CHOICE else table.count("max_new_tokens"),
        instruction=table.text("instruction").strip(),
        input=table.text("input").strip("\n"),
    )
    _check_fields(table, prompt)
    return prompt


def _read_labels(table: TomlTable, kind: JudgeKind) -> Mapping[str, tuple[str, ...]]:
    verdicts, known = table.table("verdicts"), VALUES[kind]
    verdicts.allow(tuple(known))
    labels = {name: verdicts.texts(name) for name in known if verdicts.has(name) or known[name] in (0.0, 1.0)}
    words = [word.casefold() for each in labels.values() for word in each]
    if len(set(words)) != len(words):
        raise table.fault("verdicts", "one word stands for two verdicts")
    return labels


def _check_fields(table: TomlTable, prompt: JudgePrompt) -> None:
    used = set(_BRACES.findall(prompt.instruction + prompt.input))
    for name in sorted(used - FIELDS[prompt.kind]):
        raise table.fault("input", f"{{{name}}} is none of its texts", hint=did_you_mean(name, FIELDS[prompt.kind]))
    for name in sorted(NEEDED[prompt.kind] - used):
        raise table.fault("input", f"does not show {{{name}}}")
    if prompt.form is not VerdictForm.CHOICE and re.sub(r"\W", "", prompt.cue) == "":
        raise table.fault("cue", "the cue has no letters")
    several = next((name for name, words in prompt.labels.items() if len(words) > 1), None)
    if prompt.form is VerdictForm.CHOICE and several is not None:
        raise table.fault("verdicts", f"{several!r} has several words, and a choice is one")
