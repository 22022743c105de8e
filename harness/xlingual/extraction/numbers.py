"""Numbers in texts, in the digits of every script and with the marks of every language, in one canonical form.

    "1,234.50"  "1.234,5" in German  "１２３４.5"  "1 234,5" in French  "१,२३४.५"        all are "1234.5"
    "1.234"     1.234 in English, 1234 in German: where a mark stands before exactly three digits, the language decides
    "1,23,456"  123456: the groups of India
    "12.05.2020"  "10:30"  "1/2"    no number as a whole: the last one is 2020, 30, 2

Which mark is which, in this order:

1. Of two kinds of marks the last one is the decimal mark, in any language.
2. A mark that occurs twice separates groups, in any language, if the groups are of three digits, or Indian.
3. One mark before exactly three digits, behind one to three of which the first is no zero, separates groups where
   it is the language's group mark or nobody's decimal mark, and is a decimal mark where it is the language's own.
4. Else it is a decimal mark.

Not read: number words ("three", 三千), multipliers ("2 million", 3万), fractions, exponents, Roman numerals.
"""

import re
import unicodedata

from ..text import for_scoring


def _codes(text: str) -> list[str]:
    return text.split()


DECIMAL_COMMA = frozenset(
    _codes("""
    af ast az be bg bs ca cs da de el es et fi fr gl hr hu hy id is it jv ka kea kk ky lb lt lv mk mn nb nl oc pl pt
    ro ru sk sl sr sv tg tr uk uz vi wo
""")
)
"""Languages that write 3,5 and 1.234 or 1 234 (CLDR's main region of each); all others write 3.5 and 1,234."""
SPACED_GROUPS = frozenset(_codes("af be bg cs et fi fr hu hy ka kk ky lt lv nb oc pl pt ru sk sv uk uz"))
"""Languages in which a plain space may separate groups; no-break and thin spaces do so in all, and so does a plain one
before three digits that begin with 0, which are no number of their own ("1 000")."""

_WIDE_SPACES = "\u00a0\u2007\u2009\u202f"
_MARKS = rf"[.,'’٫٬،，．{_WIDE_SPACES}]"
_SIGNS = r"\-−－﹣"
_CURRENCY = r"(?:[$€£¥₹₺₫₩₽฿₴₦¢﷼]|US\$|R\$|A\$|C\$)"
_CODES = ("rs", "rp", "rm", "usd", "eur", "inr", "gbp", "jpy", "cny", "vnd", "try", "idr", "kr", "tl")
_GROUP_MARKS = frozenset(f"'’٬،，{_WIDE_SPACES} ")
_NEAR = 8
"""Characters before a number that are looked at for its sign, its currency and the word that it may be part of."""
_NUMBER = re.compile(rf"\d+(?:{_MARKS}\d+| 0\d\d(?!\d))*")
_SPACED_NUMBER = re.compile(rf"\d+(?:(?:{_MARKS}| )\d+)*")
_CANONICAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]*[1-9])?")
_TEX = ((re.compile(r"\{,\}"), ","), (re.compile(r"\\[,;:! ]"), "\u2009"), (re.compile(r"\\%|\\\$"), " "))


def find_numbers(text: str, language: str) -> list[str]:
    """Return every number in `text` in canonical form, in order, read as a text in `language`.

    Canonical: ASCII digits, a minus sign, a point before decimals, no zero that says nothing ("-3.5", "0", "1234").
    """
    text = for_scoring(text)
    for pattern, replacement in _TEX:
        text = pattern.sub(replacement, text)
    pattern = _SPACED_NUMBER if language in SPACED_GROUPS else _NUMBER
    found: list[str] = []
    for match in pattern.finditer(text):
        if _is_inside_word(text, match.start()):
            continue
        numbers = _read(match[0], language)
        before = text[max(0, match.start() - _NEAR) : match.start()]
        if before.endswith(".") and not re.search(r"[\w.]\.$", before) and match[0].isdecimal():
            numbers = [_canonical("0", match[0])]  # ".5"
            before = before[:-1]
        if _is_negative(before):
            numbers[0] = _negated(numbers[0])
        found += numbers
    return found


def canonical_number(text: str, language: str) -> str | None:
    """Return the canonical form of a text that is one number and nothing else, but for signs, units of money and "%".

    None where it is not.
    """
    bare = re.sub(rf"{_CURRENCY}|[%٪％]", "", for_scoring(text)).strip().rstrip(".。").strip()
    if not re.fullmatch(rf"[{_SIGNS}+]?\s?\.?\d(?:[\d ]|{_MARKS})*", bare):
        return None
    numbers = find_numbers(re.sub(rf"^([{_SIGNS}])\s", r"\1", bare), language)
    return numbers[0] if len(numbers) == 1 else None


def describe_numbers(language: str) -> str:
    """Return the part of a signature that names the marks of `language`."""
    return f"decimal-{'comma' if language in DECIMAL_COMMA else 'point'}"


def is_canonical(text: str) -> bool:
    """Return whether `text` is a number in canonical form."""
    return _CANONICAL.fullmatch(text) is not None


def _is_inside_word(text: str, start: int) -> bool:
    """Whether digits belong to a Latin, Greek or Cyrillic word, as in CO2; a currency before them is none ("Rs500")."""
    word = re.search(r"[^\W\d_]+$", text[max(0, start - _NEAR) : start])
    if word is None or word[0].casefold() in _CODES:
        return False
    return unicodedata.name(word[0][-1], "").startswith(("LATIN ", "GREEK ", "CYRILLIC "))


def _is_negative(before: str) -> bool:
    """Whether a number is negative by what stands before it: a sign that no digit, letter or bracket is before."""
    before = re.sub(rf"{_CURRENCY}\s?$", "", before)
    return bool(re.search(rf"(?:^|[^\w)\]}}%{_SIGNS}–])[{_SIGNS}]$|[=(:]\s?–$", before))


def _read(run: str, language: str) -> list[str]:
    """Return what digits with marks between them mean: one number, or several where they do not make one."""
    whole = _read_whole(run, language)
    if whole is not None:
        return [whole]
    if " " in run:
        return [number for part in run.split(" ") for number in _read(part, language)]
    return [_canonical(digits, "") for digits in re.findall(r"\d+", run)]


def _read_whole(run: str, language: str) -> str | None:
    parts = re.split(r"\D", run)
    marks = re.findall(r"\D", run)
    kinds = list(dict.fromkeys("'" if mark == "’" else "." if mark == "．" else mark for mark in marks))
    if not kinds:
        return _canonical(run, "")
    decimals = ""
    if kinds[-1] not in _GROUP_MARKS and _ends_in_decimals(parts, marks, len(kinds), language):
        decimals = parts[-1]
        parts, kinds = parts[:-1], list(dict.fromkeys(marks[:-1]))
    if len(kinds) > 1 or not _are_groups(parts):
        return None
    return _canonical("".join(parts), decimals)


def _ends_in_decimals(parts: list[str], marks: list[str], kinds: int, language: str) -> bool:
    """Whether the last mark, "." or "," or the Arabic one, is the decimal mark."""
    last = marks[-1]
    if last == "٫" or kinds > 1:
        return True
    if len(marks) > 1:
        return False
    could_be_groups = len(parts[1]) == 3 and len(parts[0]) <= 3 and unicodedata.decimal(parts[0][0]) != 0
    own = "," if language in DECIMAL_COMMA else "."
    return not could_be_groups or ("." if last == "．" else last) == own


def _are_groups(parts: list[str]) -> bool:
    """Whether digits between marks are groups of three, or those of India: three at the end, twos before."""
    first, *rest = [len(part) for part in parts]
    if not rest:
        return True
    if not 1 <= first <= 3 or unicodedata.decimal(parts[0][0]) == 0:
        return False
    thousands = all(length == 3 for length in rest)
    indian = first <= 2 and rest[-1] == 3 and all(length == 2 for length in rest[:-1])
    return thousands or indian


def _canonical(whole: str, decimals: str) -> str:
    digits, fraction = ("".join(str(unicodedata.decimal(each)) for each in part) for part in (whole, decimals))
    fraction = fraction.rstrip("0")
    return (digits.lstrip("0") or "0") + (f".{fraction}" if fraction else "")


def _negated(number: str) -> str:
    return number if number == "0" else f"-{number}"
