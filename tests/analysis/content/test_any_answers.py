"""Loops, copies and places in the passage of answers that nobody chose, in nine scripts, against counting by hand."""

import random

from xlingual.analysis.content.copying import find_copying, fold, longest_common_part
from xlingual.analysis.content.loops import find_loop
from xlingual.analysis.content.passage_position import find_position
from xlingual.analysis.content.scripts import weigh

from .labelled_table import given, make_sample

LETTERS = (
    "abcdefghij", "абвгдежзик", "अकखगघिाु्", "汉字语言文学", "กขคงจฉ", "ابتثجح", "カナひら", "áéñçãİıßΣς", "가나다라",
)  # fmt: skip


def words(drawn: random.Random, letters: str, count: int) -> str:
    return " ".join("".join(drawn.choices(letters, k=drawn.randint(1, 7))) for _ in range(count))


def longest(first: str, second: str) -> int:
    size = 0
    for start in range(len(first)):
        while start + size < len(first) and first[start : start + size + 1] in second:
            size += 1
    return size


def test_a_unit_four_times_in_a_row_is_a_loop_whatever_stands_around_it() -> None:
    drawn, loops = random.Random(20261126), 0
    for _ in range(40):
        unit = words(drawn, drawn.choice(LETTERS), drawn.randint(1, 5))
        loop = drawn.choice([" ", ", ", ". ", "\n"]).join([unit] * drawn.choice([4, 4, 5, 8]))
        around = [words(drawn, drawn.choice(LETTERS), drawn.randint(0, 6)) for _ in range(2)]
        around[1] += drawn.choice(["", " " + "1" * len(unit.split(" ")[-1])]) * 12
        if weigh(loop) >= 24:
            loops += 1
            assert find_loop(make_sample(f"{around[0]} {loop} {around[1]}")).kind is not None, (around, loop)
        assert find_loop(make_sample(words(drawn, drawn.choice(LETTERS), 9))).kind is None
    assert loops > 20


def test_digits_in_a_row_hide_no_loop() -> None:
    assert find_loop(make_sample("lantern " * 4 + "1234567 " * 10)).unit == "lantern"
    assert find_loop(make_sample("1234567 " * 10)).kind is None


def test_copies_and_places_are_those_of_counting() -> None:
    drawn = random.Random(20261126)
    for _ in range(80):
        letters = drawn.choice(LETTERS)
        passage = words(drawn, letters, drawn.randint(1, 20))
        start = drawn.randint(0, len(passage) - 1)
        part = passage[start : start + drawn.randint(1, 30)]
        answer = drawn.choice([part, f"{words(drawn, letters, 2)}{part}x", words(drawn, letters, 4), passage.upper()])
        sample = make_sample(answer, given=given(passage=passage), targets=(answer,))
        ours, whole = fold(answer), fold(passage)
        if not any(map(str.isalnum, ours)):
            continue
        pieces = [ours[at : at + 5] for at in range(len(ours) - 4)]
        found = find_copying(sample)
        assert found.passage is not None
        assert found.verbatim is (ours in whole)
        assert found.passage.share == (sum(each in whole for each in pieces) / len(pieces) if pieces else None)
        assert len(found.passage.longest) == len(longest_common_part(whole, ours)) == longest(ours, whole)
        middles = [at + len(ours) / 2 for at in range(len(whole)) if whole.startswith(ours, at)]
        thirds = {min(int(3 * middle / len(whole)), 2) for middle in middles}
        gold = find_position(sample).gold
        expected = ("start", "middle", "end")[thirds.pop()] if len(thirds) == 1 else None
        assert (None if gold is None else gold.value) == expected, (answer, passage)
