"""Refusals, abstentions and boilerplate: what models say instead of an answer, or around it.

    "I'm sorry, but I cannot translate this."         a refusal
    "The passage does not mention who built it."      an abstention
    "Sure! Here is the translation: ..."              boilerplate

The phrases are data, `phrases.toml`: seven languages, all of which are looked for in every answer, since a model may
refuse a Hindi question in English. So in other languages a refusal is seen only where it is made in one of the seven.
"""

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import regex

from ...text import for_scoring
from ...toml_table import read_toml
from .samples import AnsweredSample

TABLE = "phrases.toml"
GAP = "…"
CLOSED = "$"
"""Ends a phrase that no word follows."""
_GAP_PATTERN = r"[^.!?。！？؟।\n]{0,40}?"
BEGIN = 300
"""Characters at the start of an answer in which it is looked for refusals: longer answers quote them."""
END = 200
"""The same at its end, for what is said behind an answer; never in its first sentence."""
_DENSE = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]"
_LETTER = r"[\p{L}\p{M}\p{N}]"
_SAME = str.maketrans("’‘ʼ`İıأإآى，：！،“”", "''''iiاااي,:!,\"\"", "ـ")
"""Kinds of apostrophes, commas and quotation marks; dots of i; forms of Arabic letters, of which writers keep few."""
_SENTENCE_END = regex.compile(r"(?<=[.!?:؟।])\s+|(?<=[。！？：])|\n+")
_LEADING = regex.compile(r"^[^\p{L}\p{N}]+")


class PhraseKind(StrEnum):
    """What a phrase of the table is."""

    REFUSAL = "refusal"
    ABSTENTION = "abstention"
    OPENER = "opener"
    DISCLAIMER = "disclaimer"
    CLOSER = "closer"


KEYS: Mapping[str, tuple[PhraseKind, str]] = {
    "refusal": (PhraseKind.REFUSAL, "begin"),
    "refusal_start": (PhraseKind.REFUSAL, "start"),
    "abstention": (PhraseKind.ABSTENTION, "begin"),
    "abstention_start": (PhraseKind.ABSTENTION, "start"),
    "opener": (PhraseKind.OPENER, "start"),
    "disclaimer": (PhraseKind.DISCLAIMER, "begin"),
    "closer": (PhraseKind.CLOSER, "end"),
}
"""Key of the table -> what its phrases are, and where they are looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPhrase:
    """A phrase of the table in an answer."""

    kind: PhraseKind
    language: str
    """The table that it is in."""
    text: str
    """As it stands in the answer, folded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrases:
    """What an answer says instead of the answer, or around it."""

    found: tuple[FoundPhrase, ...]

    def has(self, *kinds: PhraseKind) -> bool:
        """Return whether a phrase of any of the `kinds` was found."""
        return any(each.kind in kinds for each in self.found)

    @property
    def refuses(self) -> bool:
        """Whether the answer says that the question will not or cannot be answered by this model."""
        return self.has(PhraseKind.REFUSAL)

    @property
    def abstains(self) -> bool:
        """Whether it says that the answer is not known or not there, and is no refusal."""
        return self.has(PhraseKind.ABSTENTION) and not self.refuses

    @property
    def boilerplate(self) -> bool:
        """Whether there are words around the answer that say nothing of it."""
        return self.has(PhraseKind.OPENER, PhraseKind.DISCLAIMER, PhraseKind.CLOSER)


def find_phrases(sample: AnsweredSample) -> Phrases:
    """Return the phrases of an answer, one of a kind and language."""
    text = fold_phrase(sample.answer)
    places = {"begin": text[:BEGIN], "end": fold_phrase(_behind_first_sentence(sample.answer))[-END:]}
    stripped = _LEADING.sub("", text)
    found: dict[tuple[PhraseKind, str], FoundPhrase] = {}
    for (language, key), pattern in phrase_patterns().items():
        kind, place = KEYS[key]
        match = pattern.match(stripped) if place == "start" else pattern.search(places[place])
        if match is not None:
            found.setdefault((kind, language), FoundPhrase(kind=kind, language=language, text=match[0]))
    return Phrases(found=tuple(found.values()))


def _behind_first_sentence(text: str) -> str:
    """Return all but the first sentence or line: what closes an answer is not the answer itself."""
    end = _SENTENCE_END.search(text.strip())
    return "" if end is None else text.strip()[end.end() :]


def fold_phrase(text: str) -> str:
    """Return `text` as phrases are compared: lower case, one space, without accents of Greek and marks of Arabic."""
    decomposed = unicodedata.normalize("NFD", for_scoring(text).translate(_SAME).casefold())
    kept, last = [], ""
    for character in decomposed:
        if unicodedata.combining(character):
            if last.startswith(("GREEK", "ARABIC")):
                continue
        else:
            last = unicodedata.name(character, "")
        kept.append(character)
    return " ".join(unicodedata.normalize("NFC", "".join(kept)).translate(_SAME).split())


@lru_cache(maxsize=1)
def phrase_patterns() -> Mapping[tuple[str, str], "regex.Pattern[str]"]:
    """Return what finds the phrases of a language and a key; DataError where the table is not as it must be."""
    return {
        (language, key): _compile(phrases)
        for language, table in read_phrases().items()
        for key, phrases in table.items()
    }


def read_phrases() -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """Return the table: by language and key, the phrases."""
    return dict(_read_tables())


def _read_tables() -> Iterator[tuple[str, Mapping[str, tuple[str, ...]]]]:
    table = read_toml(Path(str(files(__package__) / TABLE)))
    for word in table.values:
        language = table.table(word)
        language.allow(tuple(KEYS))
        yield table.language(word, word), {key: language.texts(key) for key in KEYS}


def _compile(phrases: tuple[str, ...]) -> "regex.Pattern[str]":
    return regex.compile("|".join(sorted(map(_spell, phrases), key=len, reverse=True)))


def _spell(phrase: str) -> str:
    """Return the pattern of a phrase: whole words, but where the script has no spaces between them."""
    closed = phrase.endswith(CLOSED)
    folded = fold_phrase(phrase.removesuffix(CLOSED))
    text = _GAP_PATTERN.join(regex.escape(part.strip(), literal_spaces=True) + r"\s*" for part in folded.split(GAP))
    text = text.removesuffix(r"\s*")
    before = "" if regex.match(_DENSE, folded[0]) else rf"(?<!{_LETTER})"
    if "ARABIC" in unicodedata.name(folded[0], ""):
        before = rf"(?<!{_LETTER})[وف]?"
    if closed:
        return rf"{before}{text}(?!\s*{_LETTER})"
    after = rf"(?!{_LETTER})" if regex.match(_LETTER, folded[-1]) and not regex.match(_DENSE, folded[-1]) else ""
    return f"{before}{text}{after}"
