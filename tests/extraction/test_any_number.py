"""Rules of docs/declared-tasks.md for numbers, on numbers that nobody chose: every language, digits of six scripts."""

import random
from collections.abc import Iterator

from xlingual.extraction.numbers import DECIMAL_COMMA, SPACED_GROUPS, find_numbers
from xlingual.languages import LANGUAGES

DIGITS = ("0123456789", "٠١٢٣٤٥٦٧٨٩", "०१२३४५६७८९", "０１２３４５６７８９", "๐๑๒๓๔๕๖๗๘๙", "۰۱۲۳۴۵۶۷۸۹")
AROUND = (("", ""), ("It is ", "."), ("答案是", "。"), ("= ", " km"), ("(", ")"))
SPACES = ("\u00a0", "\u2009", "\u202f", "'", "’")
"""Marks of groups in every language."""


def grouped(number: int, mark: str, size: int = 3) -> str:
    """Return the digits in groups: the last of three, the others of `size`."""
    rest, last = divmod(number, 1000)
    parts = [f"{last:03}"]
    while rest:
        rest, part = divmod(rest, 10**size)
        parts.insert(0, f"{part:0{size}}" if rest else str(part))
    return mark.join(parts)


def canonical(whole: int | str, decimals: str) -> str:
    decimals = decimals.rstrip("0")
    return f"{int(whole)}.{decimals}" if decimals else str(int(whole))


def written(drawn: random.Random, language: str) -> Iterator[tuple[str, str]]:
    """Yield numbers as each rule has them, and what they are."""
    number, large = drawn.randint(1000, 10 ** drawn.randint(4, 12)), drawn.randint(10**6, 10**12)
    decimals = "".join(drawn.choices("0123456789", k=drawn.choice([1, 2, 4, 5])))
    first, second = drawn.sample([",", "."], 2)
    space = drawn.choice(SPACES)
    yield grouped(number, first) + second + decimals, canonical(number, decimals)
    yield grouped(number, space) + second + decimals, canonical(number, decimals)
    yield grouped(large, first), str(large)
    yield grouped(number, space), str(number)
    yield grouped(large, ",", size=2), str(large)
    small, three = drawn.randint(1, 999), f"{drawn.randint(0, 999):03}"
    groups_by_point = language in DECIMAL_COMMA
    yield f"{small}.{three}", f"{small}{three}" if groups_by_point else canonical(small, three)
    yield f"{small},{three}", canonical(small, three) if groups_by_point else f"{small}{three}"
    yield f"0{first}{three}", canonical(0, three)
    yield f"{number}{first}{decimals}", canonical(number, decimals)
    if language in SPACED_GROUPS:
        yield grouped(number, " "), str(number)


def test_numbers_are_read_by_the_rules() -> None:
    drawn = random.Random(20261126)
    for language in [*LANGUAGES] * 5:
        for text, number in written(drawn, language):
            before, after = drawn.choice(AROUND)
            said = f"{before}{text.translate(str.maketrans(DIGITS[0], drawn.choice(DIGITS)))}{after}"
            assert find_numbers(said, language) == [number], (language, said)
