"""Texts with names in braces: "{question_label} {question}"; a brace itself is written twice.

Names are looked up and nothing else: no attributes, no indices, no formats, nothing is evaluated.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from ..toml_table import TomlTable

_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


class TemplateError(ValueError):
    """A text whose braces are no template; the reader of the table says where it stands."""


@dataclass(frozen=True, slots=True)
class Name:
    """A name in braces."""

    name: str


@dataclass(frozen=True, slots=True)
class TextTemplate:
    """A text and the names in it, in order."""

    parts: tuple[str | Name, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in order."""
        return tuple(part.name for part in self.parts if isinstance(part, Name))

    def fill(self, value: Callable[[str], str]) -> str:
        """Return the text with each name replaced by its value; braces in a value stay as they are."""
        return "".join(part if isinstance(part, str) else value(part.name) for part in self.parts)

    def split(self, name: str) -> "tuple[TextTemplate, TextTemplate] | None":
        """Return what stands before and behind the first place of `name`, or None where it has none."""
        for place, part in enumerate(self.parts):
            if part == Name(name):
                return TextTemplate(self.parts[:place]), TextTemplate(self.parts[place + 1 :])
        return None


def parse_template(text: str) -> TextTemplate:
    """Return `text` as a template; TemplateError for a brace that is alone and for names that are none."""
    parts: list[str | Name] = []
    place = 0
    for found in _PART.finditer(text):
        parts.append(text[place : found.start()])
        place = found.end()
        if found[0] in ("{{", "}}"):
            parts.append(found[0][0])
        elif found[1] is None:
            raise TemplateError(f"a single {found[0]!r}: write it twice, or close it")
        elif not found[1].strip() or found[1] != found[1].strip() or re.search(r"[!\[\]()]", found[1]):
            raise TemplateError(f"{found[0]!r} is no name in braces")
        else:
            parts.append(Name(found[1]))
    parts.append(text[place:])
    return TextTemplate(tuple(part for part in parts if part != ""))


def template_of(table: TomlTable, key: str, text: str | None = None) -> TextTemplate:
    """Return the text at `key` as a template, or another `text` that stands there; DataError naming its line."""
    try:
        return parse_template(table.get(key, str) if text is None else text)
    except TemplateError as error:
        raise table.fault(key, f"{key!r} has {error}", hint="names stand in braces: {question}") from error


def templates_of(table: TomlTable, key: str) -> tuple[TextTemplate, ...]:
    """Return the texts at `key` as templates: a list, or one text; they may be white space, but not empty."""
    value = table.values[key] if isinstance(table.values[key], list) else [table.values[key]]
    if not isinstance(value, list) or not value or not all(isinstance(each, str) and each for each in value):
        raise table.fault(key, f"{key!r} must be a text or a list of texts, got {value!r}")
    return tuple(template_of(table, key, each) for each in value)
