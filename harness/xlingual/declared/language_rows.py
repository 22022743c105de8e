"""The table of languages of a declared family: codes, and the words that each is asked in."""

from collections.abc import Mapping

from ..text import did_you_mean
from ..toml_table import TomlTable
from .declaration import LanguageRow


def read_languages(table: TomlTable) -> dict[str, LanguageRow]:
    """Return the languages with their words: of a table, or of a list of codes, which have none.

    A key may name several languages; a text in place of words names the language whose words are taken.
    """
    if table.has("languages") and isinstance(table.values["languages"], list):
        codes = [table.language("languages", word) for word in table.texts("languages")]
        return {code: LanguageRow(words_of=code, words={}) for code in codes}
    given = table.table("languages")
    found: dict[str, LanguageRow] = {}
    borrowed: dict[str, tuple[str, str]] = {}
    for key, value in given.values.items():
        for code in [given.language(key, word) for word in key.split()]:
            if code in found or code in borrowed:
                raise given.fault(key, f"the language {code!r} is there twice")
            if isinstance(value, str):
                borrowed[code] = (key, given.language(key, value))
            else:
                found[code] = LanguageRow(words_of=code, words=_read_words(given, key))
    for code, (key, other) in borrowed.items():
        if other not in found or found[other].words_of != other:
            hint = did_you_mean(other, [each for each in found if each not in borrowed])
            raise given.fault(key, f"{code!r} takes the words of {other!r}, which has none of its own", hint=hint)
        found[code] = LanguageRow(words_of=other, words=found[other].words)
    if not found:
        raise table.fault("languages", "there is no language")
    _require_same(given, {code: row.words for code, row in found.items() if code not in borrowed})
    return found


def read_prompt_words(table: TomlTable, languages: Mapping[str, LanguageRow]) -> dict[str, Mapping[str, str]]:
    """Return the words of each language that can be asked in: of `languages`, and of those that are asked in only."""
    found = {code: row.words for code, row in languages.items() if row.words_of == code and row.words}
    if table.has("words"):
        given = table.table("words")
        for key in given.values:
            code = given.language(key, key)
            if code in languages:
                raise given.fault(key, f"{code!r} is among the languages", hint="its words belong there")
            found[code] = _read_words(given, key)
        _require_same(given, found)
    return found


def _read_words(table: TomlTable, key: str) -> Mapping[str, str]:
    words = table.table(key)
    return {name: words.get(name, str) for name in words.values}


def _require_same(table: TomlTable, words: Mapping[str, Mapping[str, str]]) -> None:
    """Refuse a language that lacks a word that another has: it would be found out only when it is asked in."""
    names = {name: code for code, row in words.items() for name in row}
    for key in table.values:
        for code in [table.language(key, word) for word in key.split()]:
            if missing := [name for name in names if code in words and name not in words[code]]:
                what = f"{code!r} has no word {missing[0]!r}, which {names[missing[0]]!r} has"
                hint = did_you_mean(missing[0], words[code]) if words[code] else ""
                raise table.fault(key, what, hint=hint)
