"""Translation memories (TMX 1.4): the segments of each unit in the two languages; native codes in them are left out."""

from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from xlingual import DataSource, Examples
from xlingual.data import fill_path, locate_text, pair_examples, read_text, required_direction
from xlingual.errors import DataError, UsageError
from xlingual.files import MAX_TEXT
from xlingual.languages import find_language
from xlingual.records import Corpus
from xlingual.registry import register_source
from xlingual.wording import ask_pair

CODES = ("bpt", "ept", "it", "ph", "ut")
"""Elements inside a segment that hold the formatting of another program, not text."""


@register_source("tmx", ask=ask_pair)
def read(corpus: Corpus, data_source: DataSource) -> Examples:
    """Read one file in UTF-8; a unit that lacks a language counts as one with an empty side."""
    source, target = required_direction(corpus)
    file = locate_text(fill_path(corpus, corpus.language), data_source)
    units = _parse(read_text(Path(file.path), lines=False), file.path)
    return pair_examples(corpus, [(unit.get(source, ""), unit.get(target, "")) for unit in units], (file,))


@dataclass(slots=True)
class _TmxReading:
    """What was read so far: units, each a text by language code."""

    units: list[dict[str, str]] = field(default_factory=list)
    language: str | None = None
    text: list[str] | None = None
    length: int = 0
    """Characters of `text`."""
    codes: int = 0
    """Depth inside elements that hold no text."""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Begin an element."""
        if name == "tu":
            self.units.append({})
        elif name == "tuv":
            self.language = _code(attributes.get("xml:lang") or attributes.get("lang") or "")
        elif name == "seg":
            self.text, self.length = [], 0
        elif name in CODES:
            self.codes += 1

    def data(self, text: str) -> None:
        """Take text."""
        if self.text is not None and not self.codes:
            self.length += len(text)
            if self.length > MAX_TEXT:
                raise OverflowError
            self.text.append(text)

    def end(self, name: str) -> None:
        """End an element."""
        if name == "seg":
            if self.units and self.language and self.text is not None:
                self.units[-1].setdefault(self.language, " ".join("".join(self.text).split()))
            self.text = None
        elif name in CODES:
            self.codes -= 1


def _parse(text: str, path: str) -> list[dict[str, str]]:
    reading = _TmxReading()
    parser = expat.ParserCreate("UTF-8")  # the text is decoded already, whatever its first line says

    def refuse(*_declaration: object) -> None:
        raise DataError("the file declares entities", where=f"{path}:{parser.CurrentLineNumber}",
                        hint="expand them first; such files can be made to fill the memory")  # fmt: skip

    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = reading.start
    parser.EndElementHandler = reading.end
    parser.CharacterDataHandler = reading.data
    try:
        parser.Parse(text.encode("utf-8"), True)
    except OverflowError:
        what = f"a segment has more than the limit of {MAX_TEXT:,} characters"
        raise DataError(what, where=f"{path}:{parser.CurrentLineNumber}") from None
    except expat.ExpatError as error:
        raise DataError(f"not XML ({expat.errors.messages[error.code]})",
                        where=f"{path}:{error.lineno}:{error.offset + 1}") from None  # fmt: skip
    return reading.units


def _code(word: str) -> str | None:
    """Return our code for an xml:lang, None for a language that we do not know: "zh-CN" is zh, "en-US" is en."""
    for each in (word, word.replace("_", "-").partition("-")[0]):
        try:
            return find_language(each).code
        except UsageError:
            continue
    return None
