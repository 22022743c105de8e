"""Rows to examples: which column is the id, the texts, the choices, the answer.

Kinds of answers:

    text        a text, or a list of them, each of which is right
    number      the same, as numbers: "1,234" is kept in canonical form, "1234"
    rationale   a text that ends with its result: demonstrations show it whole, its last number is the answer
    index       the number of the right choice, counted from `first`; in digits or as a number
    letter      the label of the right choice, whatever its case
    value       a word for the right choice, "entailment", which `values` lists in the order of the choices
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from ..extraction import canonical_number, extract_answer
from ..files import Problem, data_error
from ..identity import Json
from ..plugin import DataSource
from ..records import DataFile, Example, Examples
from ..text import did_you_mean, for_scoring
from .declaration import AnswerRule, Declaration, FieldRule, RowRule
from .sources import FoundRows, read_rows
from .tables import Row
from .template import TextTemplate

ANSWER_KINDS = ("text", "number", "rationale", "index", "letter", "value")


class RowError(ValueError):
    """What is wrong with one row; the place is known to who reads all of them."""


def read_examples(declaration: Declaration, language: str, split: str, data_source: DataSource) -> Examples:
    """Return the examples of a split; DataError that names every row with something wrong."""
    rule = declaration.splits[split].row
    columns = needed_columns(declaration, rule)
    found = read_rows(declaration, language, split, columns, data_source)
    others = _read_others(declaration, rule, split, data_source)
    maker = _ExampleMaker(declaration, language, split, {code: each.by_id for code, each in others.items()})
    rows: list[Example] = []
    problems: list[Problem] = []
    seen: dict[str, str] = {}
    for number, row in enumerate(found.rows, start=1):
        try:
            example = maker.make(row, number)
        except RowError as error:
            problems.append(Problem(row.place, str(error)))
            continue
        if example.id in seen:
            first = f"{Path(found.path).name}{seen[example.id]}"
            problems.append(Problem(row.place, f"id {example.id!r} is that of {first}, too"))
        seen.setdefault(example.id, row.place)
        rows.append(example)
    if problems:
        raise data_error(found.path, problems)
    return Examples(rows=tuple(rows), files=(*found.files, *(file for each in others.values() for file in each.files)))


def needed_columns(declaration: Declaration, rule: RowRule) -> tuple[str, ...]:
    """Return the columns that a split is read for, in a fixed order."""
    fields = [*rule.fields.values(), rule.answer.field, *([rule.demonstration] if rule.demonstration else [])]
    templates = [each for each in (rule.id, rule.group, rule.cluster) if each is not None]
    names = [name for template in templates for name in template.names]
    names += [each.column for each in fields]
    names += [name for name in text_columns(declaration) if name not in rule.fields]
    choices = declaration.choices
    if choices is not None:
        names += [choices.texts] if isinstance(choices.texts, str) else _choice_columns(declaration, rule)
    return tuple(dict.fromkeys(names))


def text_columns(declaration: Declaration) -> tuple[str, ...]:
    """Return the names in all prompts that are no words of languages: fields and columns."""
    words = {*declaration_words(declaration), *BUILT_IN}
    wordings = [wording for each in declaration.wordings.values() for wording in each.values()]
    names = [name for wording in wordings for part in (wording.instruction, wording.input) for name in part.names]
    return tuple(dict.fromkeys(name for name in names if name not in words))


def declaration_words(declaration: Declaration) -> frozenset[str]:
    """Return the names of words that any language has."""
    return frozenset(word for row in declaration.languages.values() for word in row.words)


BUILT_IN = ("options", "language_name")
"""Names in prompts that every task has: the lines of the choices, and the English name of the answer's language."""


def _choice_columns(declaration: Declaration, rule: RowRule) -> list[str]:
    words = declaration_words(declaration)
    texts = declaration.choices.texts if declaration.choices is not None else ()
    return [
        name
        for text in texts
        if isinstance(text, TextTemplate)
        for name in text.names
        if name not in words and name not in rule.fields
    ]


@dataclass(frozen=True, slots=True)
class _OtherLanguage:
    by_id: Mapping[str, Row]
    files: tuple[DataFile, ...]


def _read_others(
    declaration: Declaration, rule: RowRule, split: str, data_source: DataSource
) -> dict[str, _OtherLanguage]:
    """Return the rows of other languages that columns are taken from, by the id of their example."""
    others: dict[str, _OtherLanguage] = {}
    for each in rule.fields.values():
        if each.of is None or each.of in others or rule.id is None:
            continue
        columns = tuple(dict.fromkeys([*rule.id.names, *(rule_.column for rule_ in rule.fields.values() if rule_.of)]))
        found: FoundRows = read_rows(declaration, each.of, split, columns, data_source)
        rows = {rule.id.fill(lambda name, row=row: _text(row, name)): row for row in found.rows}  # type: ignore[misc]
        others[each.of] = _OtherLanguage(rows, found.files)
    return others


@dataclass(frozen=True, slots=True)
class _ExampleMaker:
    declaration: Declaration
    language: str
    split: str
    others: Mapping[str, Mapping[str, Row]]

    @property
    def words(self) -> Mapping[str, str]:
        """Return the language's words, for choices and answers: whatever language the prompt is in."""
        return self.declaration.languages[self.language].words

    def make(self, row: Row, number: int) -> Example:
        rule = self.declaration.splits[self.split].row
        key = self._filled(rule.id, row) if rule.id is not None else f"{self.split}-{number:04}"
        if not key.strip():
            raise RowError("the id is empty")
        cluster = self._filled(rule.cluster, row) if rule.cluster is not None else key
        group = self._filled(rule.group, row) if rule.group is not None else cluster
        fields, shared = self._texts(row, rule, key)
        if fields and not any(for_scoring(text).strip() for text in fields.values()):
            raise RowError(f"there is nothing in {', '.join(map(repr, fields))}")
        choices = self._choices(row, rule, shared)
        answers, shown = self._answers(row, rule.answer, choices)
        if rule.demonstration is not None:
            shown = self._field(row, rule.demonstration, key)
        answered = self.declaration.max_new_tokens == 0
        return Example(
            id=key,
            language=self.language,
            group=group,
            cluster=cluster,
            fields=fields,
            targets=answers,
            choices=choices if answered else None,
            demonstration=shown,
            shared=shared or None,
        )

    def _filled(self, template: TextTemplate, row: Row) -> str:
        return template.fill(lambda name: _text(row, name))

    def _texts(self, row: Row, rule: RowRule, key: str) -> tuple[dict[str, str], dict[str, str]]:
        """Return the texts of the prompts that are the example's own, and those that many examples share."""
        fields: dict[str, str] = {}
        shared: dict[str, str] = {}
        for name in text_columns(self.declaration):
            one = rule.fields.get(name, FieldRule(column=name))
            is_shared = one.words is not None or name in self.declaration.shared
            (shared if is_shared else fields)[name] = self._field(row, one, key)
        return fields, shared

    def _field(self, row: Row, rule: FieldRule, key: str) -> str:
        """Return the text of a field; of one with words the value itself, since they are in the prompt's language."""
        if rule.of is not None and rule.of != self.language:
            if key not in self.others[rule.of]:
                raise RowError(f"no row of {rule.of} has the id {key!r}")
            row = self.others[rule.of][key]
        text = _cut(_text(row, rule.column), rule)
        if rule.words is not None and text not in rule.words:
            raise RowError(f"{rule.column!r} is {text!r}, none of {', '.join(rule.words)}")
        return text

    def _choices(self, row: Row, rule: RowRule, shared: dict[str, str]) -> tuple[str, ...] | None:
        """Return what may be answered; with labels, their lines go to `shared` as "options"."""
        choices = self.declaration.choices
        if choices is None:
            return None
        if isinstance(choices.texts, str):
            values = _reach(row, choices.texts)
            if not isinstance(values, list | tuple) or not all(isinstance(each, str) for each in values):
                raise RowError(f"{choices.texts!r} must be a list of texts")
            texts = tuple(cast(str, each) for each in values)
        else:
            texts = tuple(text.fill(lambda name: self._choice_text(row, rule, name)) for text in choices.texts)
        if choices.labels is None:
            return texts
        if len(texts) > len(choices.labels):
            raise RowError(f"{len(texts)} choices, but {len(choices.labels)} labels")
        labelled = list(zip(choices.labels, texts, strict=False))
        lines = [choices.option.fill({"label": label, "text": text}.__getitem__) for label, text in labelled]
        shared["options"] = "\n".join(lines)
        return tuple(label for label, _ in labelled)

    def _choice_text(self, row: Row, rule: RowRule, name: str) -> str:
        if name in self.words:
            return self.words[name]
        one = rule.fields.get(name)
        return _text(row, name) if one is None else self._field(row, one, "")

    def _answers(
        self, row: Row, rule: AnswerRule, choices: tuple[str, ...] | None
    ) -> tuple[tuple[str, ...], str | None]:
        """Return the accepted answers, and what a demonstration shows if that is another text."""
        value = _reach(row, rule.field.column)
        values = list(value) if isinstance(value, list | tuple) else [value]
        if not values:
            raise RowError(f"{rule.field.column!r} holds no answer")
        texts = [_cut(_scalar_text(each, rule.field.column), rule.field) for each in values]
        plain = replace(rule, numbers="en")  # what is no text in its file is written as JSON and Parquet write numbers
        rules = [plain if isinstance(each, int | float) else rule for each in values]
        found = tuple(dict.fromkeys(self._answer(*each, choices) for each in zip(texts, rules, strict=True)))
        return found, texts[0] if rule.kind == "rationale" else None

    def _answer(self, text: str, rule: AnswerRule, choices: tuple[str, ...] | None) -> str:
        column = rule.field.column
        if not for_scoring(text).strip():
            raise RowError(f"the answer in {column!r} is empty")
        if rule.kind == "number":
            number = canonical_number(text, rule.numbers)
            return self._as_read(_required(number, f"the answer in {column!r} is no number: {text[:40]!r}"))
        if rule.kind == "rationale":
            number = extract_answer("last_number", self.language, text)
            return self._as_read(_required(number, f"there is no number in {column!r}"))
        if rule.kind == "index":
            place = int(text) - rule.first if text.strip().isdecimal() else -1
            if choices is None or not 0 <= place < len(choices):
                last = rule.first + len(choices or ()) - 1
                raise RowError(f"{column!r} must be a whole number from {rule.first} to {last}, got {text!r}")
            return choices[place]
        if rule.kind == "value":
            if text not in rule.values[: len(choices or ())]:
                raise RowError(f"{column!r} is {text!r}, none of {', '.join(rule.values)}")
            return (choices or ())[rule.values.index(text)]
        if rule.kind == "letter":
            label = next((each for each in choices or () if each.casefold() == text.strip().casefold()), None)
            return _required(label, f"{column!r} must be one of {', '.join(choices or ())}, got {text!r}")
        return self._worded(text, rule.field, column)

    def _as_read(self, number: str) -> str:
        """Return a canonical number as a text that is this number in the task's language: 1.234 is "1,234" in German.

        Exact match reads gold answers as the language writes them: "1.234" would be 1234 as well.
        """
        return number if canonical_number(number, self.language) == number else number.replace(".", ",")

    def _worded(self, text: str, rule: FieldRule, column: str) -> str:
        if rule.words is None:
            return text
        if text not in rule.words:
            raise RowError(f"{column!r} is {text!r}, none of {', '.join(rule.words)}")
        return rule.words[text].fill(self.words.__getitem__)


def _required(found: str | None, what: str) -> str:
    """Return what was found; RowError that says `what` is wrong where nothing was."""
    if found is None:
        raise RowError(what)
    return found


def _reach(row: Row, column: str) -> Json:
    """Return the value of a column; a name with dots reaches into objects, and into each of a list of them.

    RowError where there is none.
    """
    if column in row.values:
        return row.values[column]
    value: Json = row.values
    for part in column.split("."):
        if (
            isinstance(value, list | tuple)
            and value
            and all(isinstance(each, Mapping) and part in each for each in value)
        ):
            value = [cast("Mapping[str, Json]", each)[part] for each in value]
        elif isinstance(value, Mapping) and part in value:
            value = value[part]
        else:
            near = did_you_mean(column, list(row.values))
            raise RowError(f"there is no column {column!r} (has: {', '.join(row.values)}); {near}")
    return value


def _cut(text: str, rule: FieldRule) -> str:
    """Return the part of a column's text that a field is."""
    ends = [(place, place + len(mark)) for mark in rule.after if (place := text.find(mark)) >= 0]
    if ends:
        text = text[min(ends)[1] :].strip()
    if rule.strip:
        text = text.strip().rstrip(rule.strip).rstrip()
    return text[:1].lower() + text[1:] if rule.lower_first else text


def _text(row: Row, column: str) -> str:
    return _scalar_text(_reach(row, column), column)


def _scalar_text(value: Json, column: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise RowError(f"{column!r} must be a text or a number, got {'null' if value is None else type(value).__name__}")
