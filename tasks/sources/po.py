"""Catalogues of gettext (.po): English messages and their translations, the interface texts of free software.

Learnt are singular entries that are translated, not fuzzy, and have the same placeholders on both sides; the others are
counted as skipped: plural forms are half sentences, and a lost %s would teach to lose it.

Not by polib, which reads a text without quotes or cut off as an empty one, breaks lines at U+2028, and names the first
mistake only, a message that is twice without its line.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from xlingual import DataFile, DataSource, Examples
from xlingual.data import (  # fmt: skip
    Problem,
    data_error,
    fill_path,
    locate_text,
    pair_examples,
    read_text,
    required_direction,
    split_lines,
)
from xlingual.errors import UsageError
from xlingual.records import Corpus
from xlingual.registry import register_source
from xlingual.wording import ask_pair

MESSAGES = "en"
"""The language of the messages themselves."""
_LINE = re.compile(r'(?:(msgctxt|msgid|msgid_plural|msgstr(?:\[\d+\])?)\s+)?("(?:[^"\\]|\\.)*")')
_LONGEST_LINE = 2**20
"""Characters; catalogues break their lines at 80."""
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_PLACEHOLDER = re.compile(r"%(?:\(\w+\))?[-+ #0]*\d*(?:\.\d+)?[a-zA-Z]|%%|\{\w*\}")


@register_source("po", ask=ask_pair)
def read(corpus: Corpus, data_source: DataSource) -> Examples:
    """Read the catalogue of the side that is not English; UsageError for a direction without English."""
    direction = required_direction(corpus)
    if MESSAGES not in direction:
        raise UsageError("the messages of a catalogue are English", where=corpus.name, hint='direction = "en-zh"')
    other = direction[1] if direction[0] == MESSAGES else direction[0]
    file = locate_text(fill_path(corpus, other), data_source)
    pairs = [entry.pair() for entry in _entries(file)]
    if direction[0] != MESSAGES:
        pairs = [(translation, message) for message, translation in pairs]
    return pair_examples(corpus, pairs, (file,))


@dataclass(slots=True)
class _Entry:
    line: int
    fuzzy: bool = False
    parts: dict[str, list[str]] = field(default_factory=dict)
    """Keyword -> text, a part a line: msgid, msgstr, msgstr[0], ..."""

    def text(self, keyword: str) -> str:
        """Return the text of a keyword, "" where there is none."""
        return "".join(self.parts.get(keyword, ()))

    def pair(self) -> tuple[str, str]:
        """Return message and translation; an empty pair where it is not fit to learn from."""
        message, translation = self.text("msgid"), self.text("msgstr")
        fit = not self.fuzzy and "msgid_plural" not in self.parts and message != translation
        same = Counter(_PLACEHOLDER.findall(message)) == Counter(_PLACEHOLDER.findall(translation))
        return (message, translation) if fit and same else ("", "")


def _entries(file: DataFile) -> Iterator[_Entry]:
    """Yield every entry but the header; DataError that lists each line which is none and each message that is twice."""
    entries, problems = _parse(split_lines(read_text(Path(file.path))))
    seen: dict[tuple[str | None, str], int] = {}
    for entry in entries:
        key = (entry.text("msgctxt") if "msgctxt" in entry.parts else None, entry.text("msgid"))
        first = seen.setdefault(key, entry.line)
        if first != entry.line:
            problems.append(Problem(f":{entry.line}", f"message {key[1][:40]!r} is on line {first} too"))
    if problems:
        raise data_error(file.path, problems, hint="msgfmt --check FILE says more")
    yield from (entry for entry in entries if entry.text("msgid"))


def _parse(lines: list[str]) -> tuple[list[_Entry], list[Problem]]:
    entries: list[_Entry] = []
    problems: list[Problem] = []
    fuzzy, keyword = False, ""
    for number, line in enumerate(map(str.strip, lines), start=1):
        if not line or line.startswith("#"):
            fuzzy = bool(line) and (fuzzy or (line.startswith("#,") and "fuzzy" in line))
            keyword = ""
            continue
        if len(line) > _LONGEST_LINE:
            problems.append(Problem(f":{number}", f"{len(line):,} characters are over the limit of {_LONGEST_LINE:,}"))
            continue
        found = _LINE.fullmatch(line)
        if found is None or not (found[1] or keyword):
            problems.append(Problem(f":{number}", "not a line of a catalogue"))
            continue
        begins = found[1] == "msgctxt" or (found[1] == "msgid" and keyword != "msgctxt")
        if begins:
            entries.append(_Entry(number, fuzzy))
            fuzzy = False
        keyword = found[1] or keyword
        if not entries:
            problems.append(Problem(f":{number}", f"{keyword} before any msgid"))
            continue
        parts = entries[-1].parts
        if found[1] and keyword in parts:
            problems.append(Problem(f":{number}", f"a second {keyword} in one entry"))
        parts.setdefault(keyword, []).append(_ESCAPE.sub(_unescape, found[2][1:-1]))
    return entries, problems


def _unescape(found: re.Match[str]) -> str:
    return _ESCAPES.get(found[1], found[1])
