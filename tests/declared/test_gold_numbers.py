"""Gold numbers of declared tasks: the number is right as its language writes it, and no other number is."""

import json
import random
from pathlib import Path

from xlingual.extraction import extract_answer
from xlingual.extraction.numbers import DECIMAL_COMMA
from xlingual.languages import LANGUAGES
from xlingual.metrics import find_metric
from xlingual.plugin import DataSource
from xlingual.records import Example, Response

from .conftest import Declare

SUMS = """\
description = "Sums"
licence = "CC0"
citation = "none"
version = "1"
files = "sums/{language}.jsonl"
prompt = "{sum}"
answer = "result"
extract = "last_number"
"""


def is_right(example: Example, said: str) -> bool:
    found = extract_answer("last_number", example.language, said)
    response = Response(key="k", text=found, failure=None, finish=None, prompt_tokens=None, tokens=None)
    return find_metric("exact_match").measure(example, response) == (1.0, 1.0)


def test_a_gold_number_is_right_in_every_language_and_no_other_is(declare: Declare, tmp_path: Path) -> None:
    drawn, codes = random.Random(20261126), [*LANGUAGES]
    decimals = ["".join(drawn.choices("123456789", k=drawn.choice([1, 2, 3, 3, 4]))) for _ in codes]
    numbers = [f"{drawn.choice(['', '-'])}{drawn.randint(1, 999)}.{each}" for each in decimals]
    folder = tmp_path / "data" / "sums"
    folder.mkdir(parents=True)
    for code, number in zip(codes, numbers, strict=True):
        rows = [number, float(number)]
        (folder / f"{code}.jsonl").write_text("".join(json.dumps({"sum": "?", "result": each}) + "\n" for each in rows))
    tasks = declare(text=f"{SUMS}languages = {json.dumps(codes)}\n")
    source = DataSource(folder=tmp_path / "data", sample=False, offline=True)
    for code, number in zip(codes, numbers, strict=True):
        own, other = (number.replace(".", ","), number) if code in DECIMAL_COMMA else (number, number.replace(".", ","))
        for example in tasks[code].examples("test", source).rows:
            assert is_right(example, f"So it is {own}."), (code, own)
            groups = len(number.partition(".")[2]) == 3
            assert is_right(example, f"So it is {other}.") is not groups, (code, other)


def test_only_texts_are_read_as_the_declared_language_writes_numbers(declare: Declare, tmp_path: Path) -> None:
    """With `numbers = "de"` the text "1.234" is 1234; a JSON number of the same look is one and a bit."""
    drawn = random.Random(20261127)
    numbers = [f"{drawn.randint(1, 9)}.{drawn.randint(100, 999)}" for _ in range(20)]
    folder = tmp_path / "data" / "sums"
    folder.mkdir(parents=True)
    rows = [each for number in numbers for each in (number, float(number))]
    (folder / "en.jsonl").write_text("".join(json.dumps({"sum": "?", "result": each}) + "\n" for each in rows))
    answer = 'answer = { column = "result", kind = "number", numbers = "de" }'
    tasks = declare(text=SUMS.replace('answer = "result"', answer) + 'languages = ["en"]\n')
    read = tasks["en"].examples("test", DataSource(folder=tmp_path / "data", sample=False, offline=True)).rows
    whole = [number.replace(".", "") for number in numbers]
    for text, value, number, thousands in zip(read[::2], read[1::2], numbers, whole, strict=True):
        assert (is_right(text, thousands), is_right(text, number)) == (True, False)
        assert (is_right(value, number.rstrip("0")), is_right(value, thousands)) == (True, False)
