"""What a TOML file says of a family of tasks, as records: nothing of it is looked up or read yet."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..identity import Json
from ..sampling import Sampling
from ..toml_table import TomlTable
from .template import TextTemplate


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldRule:
    """Where a text of an example comes from."""

    column: str
    of: str | None = None
    """Code of the language from whose file the column is taken, by the example's id; None: its own."""
    after: tuple[str, ...] = ()
    """The text begins behind the first of these that there is."""
    strip: str = ""
    """Characters that are taken off the end, with the white space around them."""
    lower_first: bool = False
    """Whether the first letter is lowered, for a text that goes on with a sentence."""
    words: Mapping[str, TextTemplate] | None = None
    """The text for each value of the column; None: the value itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRule:
    """Which column holds the right answer, and how."""

    field: FieldRule
    kind: str
    """text, number, rationale, index, letter or value: see `rows.py`."""
    first: int = 0
    """Of an index: the number of the first choice."""
    values: tuple[str, ...] = ()
    """What the column says for the first choice, the second, and so on; of the kind value."""
    numbers: str = "en"
    """Code of the language whose marks the numbers of the file are written with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoicesRule:
    """What may be answered."""

    texts: tuple[TextTemplate, ...] | str
    """Of each choice, or the column that lists them."""
    labels: tuple[str, ...] | None
    """What is answered in place of the texts, which the prompt shows as `{options}`; None: the texts are answered."""
    option: TextTemplate
    """A line of `{options}`, of `{label}` and `{text}`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubRule:
    """A data set of the Hugging Face hub at one commit."""

    repository: str
    revision: str
    subset: TextTemplate
    split: TextTemplate


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRule:
    """Where the rows of a split are, and in what form."""

    files: tuple[TextTemplate, ...]
    """Below the folder of `--data`, the first that is there; "FILE#NAME.NAME" for a place inside of a file."""
    url: TextTemplate | None
    member: TextTemplate | None
    """Of an archive at `url`."""
    sha256: str | None
    hub: HubRule | None
    format: str | None
    """None: as the file's name ends."""
    columns: tuple[str, ...] | None
    """Of a table without a header."""
    quoted: bool | None
    """Whether a table has quotation marks around values; None: CSV has, TSV has not."""
    where: Mapping[str, TextTemplate]
    """Only rows whose column has this text."""
    rows: tuple[Mapping[str, Json], ...] | None
    """The rows themselves, where they stand in the TOML file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowRule:
    """How a row becomes an example."""

    id: TextTemplate | None
    """None: the split and the row's number, "test-0001"."""
    group: TextTemplate | None
    cluster: TextTemplate | None
    fields: Mapping[str, FieldRule]
    answer: AnswerRule
    demonstration: FieldRule | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitRule:
    """A split: its source and its rows."""

    source: SourceRule
    row: RowRule


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """How an example is asked for."""

    instruction: TextTemplate
    input: TextTemplate


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageRow:
    """A language of the table."""

    words_of: str
    """Code of the language whose words it is asked in: mostly its own."""
    words: Mapping[str, str]
    """By name; those of that other language where it has none of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """A family of tasks, as its file declares it."""

    name: str
    table: TomlTable
    """For messages about keys that prove wrong later."""
    description: str
    licence: str
    citation: str
    version: str
    split: str
    shot_split: str | None
    splits: Mapping[str, SplitRule]
    languages: Mapping[str, LanguageRow]
    prompt_words: Mapping[str, Mapping[str, str]]
    """By the code of each language that can be asked in: those of the table, and others that are asked in only."""
    wordings: Mapping[str, Mapping[str, Wording]]
    """By variant, "" the first, and by the prompt's language, "" for all that have none of their own."""
    asked_in: str | None
    """Code of the language of prompts without words; None: each task's own."""
    passage: str | None
    """The field that may be cut."""
    shared: tuple[str, ...]
    choices: ChoicesRule | None
    metrics: tuple[str, ...]
    extract: str | None
    system: TextTemplate | None
    stop: tuple[TextTemplate, ...] | None
    max_new_tokens: int
    """0: choices are scored, nothing is generated."""
    sampling: Sampling | None
    repeats: int | None

    @property
    def worded_fields(self) -> Mapping[str, Mapping[str, TextTemplate]]:
        """The fields whose values stand for texts, in any split."""
        rules = [item for split in self.splits.values() for item in split.row.fields.items()]
        return {name: rule.words for name, rule in rules if rule.words is not None}
