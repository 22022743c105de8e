"""The tables of splits: what [splits.NAME] does not say, the file's top level says for all of them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import cast

from ..errors import DataError, UsageError
from ..identity import Json
from ..toml_table import TomlTable
from .declaration import AnswerRule, FieldRule, HubRule, RowRule, SourceRule
from .rows import ANSWER_KINDS
from .tables import FORMATS
from .template import Name, TextTemplate, template_of

SOURCE_KEYS = (
    "files", "url", "member", "sha256", "hub", "format", "columns", "quoted", "where", "rows",
)  # fmt: skip
ROW_KEYS = ("id", "group", "cluster", "fields", "answer", "demonstration")
_HUB = re.compile(r"([^@:\s]+/[^@:\s]+)@([0-9a-f]{40})(?::([^/]+)/(.+))?")
_COMMIT = re.compile(r"(?<![0-9a-f])[0-9a-f]{40}(?![0-9a-f])")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class SplitTable:
    """A split's own table, if it has one, over the file's."""

    name: str
    own: TomlTable | None
    top: TomlTable

    def of(self, key: str) -> TomlTable | None:
        """Return the table that says `key`, the split's own first; None where neither does."""
        if self.own is not None and self.own.has(key):
            return self.own
        return self.top if self.top.has(key) else None

    def fault(self, key: str, what: str, *, hint: str = "") -> DataError | UsageError:
        """Return the error about `key`, wherever it stands."""
        return (self.of(key) or self.own or self.top).fault(key if self.of(key) is not None else "", what, hint=hint)


def read_source(split: SplitTable) -> SourceRule:
    """Return where the rows of a split are; DataError where it is not said, or not pinned."""
    if split.own is not None:
        split.own.allow((*SOURCE_KEYS, *ROW_KEYS))
    own_rows = split.own is not None and split.own.has("rows")
    source = SourceRule(
        files=_templates(split, "files"),
        url=_read_url(split),
        member=_template(split, "member"),
        sha256=_matching(split, "sha256", _SHA256, "64 hex digits"),
        hub=_read_hub(split),
        format=_choice(split, "format", FORMATS),
        columns=_texts(split, "columns"),
        quoted=None if (table := split.of("quoted")) is None else table.get("quoted", bool),
        where=_read_where(split),
        rows=_read_rows(split),
    )
    if source.rows is not None and not own_rows and split.of("files") is not None:
        raise split.fault("rows", "has rows of its own and files, too", hint="leave one of them out")
    for key in ("member", "sha256"):
        if source.url is None and split.of(key) is not None:
            raise split.fault(key, f"{key!r} is of what a url gives, and there is none", hint="leave it out")
    if source.rows is None and not source.files and source.url is None and source.hub is None:
        what = f"does not say where the rows of {split.name!r} are"
        raise split.fault("", what, hint='such as files = ["mine/{language}.{split}.jsonl"]')
    return source


def read_row(split: SplitTable, kind: str) -> RowRule:
    """Return how a row becomes an example; `kind` is that of its answer where the file does not say."""
    demonstration = split.of("demonstration")
    return RowRule(
        id=_column_template(split, "id"),
        group=_column_template(split, "group"),
        cluster=_column_template(split, "cluster"),
        fields=_read_fields(split),
        answer=_read_answer(split, kind),
        demonstration=None if demonstration is None else _read_field(demonstration, "demonstration", ()),
    )


def _read_fields(split: SplitTable) -> Mapping[str, FieldRule]:
    fields: dict[str, FieldRule] = {}
    for table in (split.top, split.own):
        if table is not None and table.has("fields"):
            given = table.table("fields")
            fields |= {name: _read_field(given, name, ()) for name in given.values}
    return fields


def _read_field(table: TomlTable, key: str, others: tuple[str, ...]) -> FieldRule:
    """Return the field at `key`: a column, or a table with further keys besides `others`."""
    if not isinstance(table.values[key], dict):
        return FieldRule(column=table.text(key))
    given = table.table(key)
    given.allow(("column", "of", "after", "strip", "lower_first", "map", *others))
    words: dict[str, TextTemplate] | None = None
    if given.has("map"):
        texts = given.table("map")
        words = {value: template_of(texts, value) for value in texts.values}
    return FieldRule(
        column=given.text("column"),
        of=given.language("of", given.text("of")) if given.has("of") else None,
        after=given.texts("after") if given.has("after") else (),
        strip=given.text("strip") if given.has("strip") else "",
        lower_first=given.get("lower_first", bool) if given.has("lower_first") else False,
        words=words,
    )


def _read_answer(split: SplitTable, kind: str) -> AnswerRule:
    table = split.of("answer")
    if table is None:
        return AnswerRule(field=FieldRule(column="answer"), kind=kind)
    own = ("kind", "first", "numbers", "values")
    field = _read_field(table, "answer", own)
    if not isinstance(table.values["answer"], dict):
        return AnswerRule(field=field, kind=kind)
    given = table.table("answer")
    if given.has("values"):
        kind = "value"
    if given.has("kind"):
        kind = given.choice("kind", ANSWER_KINDS)
    if given.has("values") != (kind == "value"):
        raise given.fault("kind", "the kind 'value' and the list of 'values' go together")
    if given.has("first") and kind != "index":
        raise given.fault("first", f"'first' is of an index, and the kind is {kind!r}")
    return AnswerRule(
        field=field,
        kind=kind,
        values=given.texts("values", least=2) if given.has("values") else (),
        first=given.count("first", least=0) if given.has("first") else 0,
        numbers=given.language("numbers", given.text("numbers")) if given.has("numbers") else "en",
    )


def _read_hub(split: SplitTable) -> HubRule | None:
    if (table := split.of("hub")) is None:
        return None
    found = _HUB.fullmatch(table.text("hub"))
    if found is None:
        what = f"{table.text('hub')!r} is not ORG/NAME@COMMIT or ORG/NAME@COMMIT:SUBSET/SPLIT"
        raise table.fault("hub", what, hint="COMMIT is the 40 hex digits of the data set's commit")
    subset, part = found[3] or "{language}", found[4] or "{split}"
    return HubRule(
        repository=found[1],
        revision=found[2],
        subset=template_of(table, "hub", subset),
        split=template_of(table, "hub", part),
    )


def _read_url(split: SplitTable) -> TextTemplate | None:
    """Return the address of the file; DataError for one whose bytes may change: no commit in it, and no SHA-256."""
    if (table := split.of("url")) is None:
        return None
    text = table.text("url")
    if not text.startswith("https://"):
        raise table.fault("url", f"{text!r} is no https address")
    if _COMMIT.search(text) is None and split.of("sha256") is None:
        what = "what is at this address may change"
        raise table.fault("url", what, hint='name a commit of 40 hex digits in it, or sha256 = "..."')
    return template_of(table, "url")


def _read_where(split: SplitTable) -> Mapping[str, TextTemplate]:
    if (table := split.of("where")) is None:
        return {}
    given = table.table("where")
    return {column: template_of(given, column) for column in given.values}


def _read_rows(split: SplitTable) -> tuple[Mapping[str, Json], ...] | None:
    """Return rows that stand in the file itself."""
    if (table := split.of("rows")) is None or (split.own is not None and split.own.has("files")):
        return None
    rows = table.get("rows", list)
    if not rows or not all(isinstance(row, dict) and _is_plain(row) for row in rows):
        raise table.fault("rows", "must be tables of texts, numbers and lists of them, one or more")
    return tuple(cast("Mapping[str, Json]", row) for row in rows)


def _is_plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return isinstance(value, str | int | bool) or (isinstance(value, float) and isfinite(value))


def _templates(split: SplitTable, key: str) -> tuple[TextTemplate, ...]:
    table = split.of(key)
    return () if table is None else tuple(template_of(table, key, text) for text in table.texts(key))


def _template(split: SplitTable, key: str) -> TextTemplate | None:
    table = split.of(key)
    return None if table is None else template_of(table, key, table.text(key))


def _column_template(split: SplitTable, key: str) -> TextTemplate | None:
    """Return the text of columns at `key`; without any brace it is the name of one."""
    found = _template(split, key)
    if found is None or found.names:
        return found
    return TextTemplate((Name("".join(part for part in found.parts if isinstance(part, str))),))


def _texts(split: SplitTable, key: str) -> tuple[str, ...] | None:
    if (table := split.of(key)) is None:
        return None
    texts = table.texts(key)
    if len(set(texts)) < len(texts):
        raise table.fault(key, f"two of {key!r} are the same")
    return texts


def _choice(split: SplitTable, key: str, words: tuple[str, ...]) -> str | None:
    table = split.of(key)
    return None if table is None else table.choice(key, words)


def _matching(split: SplitTable, key: str, pattern: re.Pattern[str], what: str) -> str | None:
    if (table := split.of(key)) is None:
        return None
    if not pattern.fullmatch(table.text(key)):
        raise table.fault(key, f"{key!r} must be {what}")
    return table.text(key)
