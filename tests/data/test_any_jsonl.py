"""JSONL that nobody chose: every record is read as it was written, or the file is refused, never a row less."""

import json
import random
from pathlib import Path

import pytest

from xlingual.data import read_records
from xlingual.errors import DataError

FIELDS: dict[str, type] = {"id": str, "question": str, "answers": list[str], "n": int}
TEXTS = ("Paris", "a\u2028b", "x\x85y", "e\u0301", "", "\0", "\U0001f600", "٣", "a\tb", 'q"uote', "\\", "\r\n")
FAULTS = ("none", "byte", "lost", "added", "cut", "field", "type", "id")


def drawn_file(drawn: random.Random, fault: str) -> tuple[list[dict[str, object]], bytes]:
    """Return records and their file, with one fault."""
    records: list[dict[str, object]] = [
        {"id": str(number), "question": drawn.choice(TEXTS) + drawn.choice(TEXTS), "answers": ["x"], "n": number}
        for number in range(drawn.randint(2, 6))
    ]
    written = [dict(record) for record in records]
    one, other = drawn.sample(written, 2)
    if fault == "field":
        del one[drawn.choice([*FIELDS])]
    elif fault == "type":
        one[drawn.choice([*FIELDS])] = drawn.choice([None, 1.5, True, {}, [1]])
    elif fault == "id":
        one["id"] = other["id"]
    end = drawn.choice(["\n", "\r\n"])
    text = end.join(json.dumps(each, ensure_ascii=drawn.random() < 0.5) for each in written)
    raw = bytearray(text.encode())
    place = drawn.randrange(1, len(raw))
    if fault == "byte":
        raw[place] ^= drawn.randint(1, 255)
    elif fault == "lost":
        del raw[place]
    elif fault == "added":
        raw.insert(place, drawn.randrange(256))
    elif fault == "cut":
        del raw[place:]
        while raw.endswith((b"\n", b"\r", b"}")):  # a file that ends with a whole line is a shorter file
            del raw[-1]
    else:
        raw += end.encode() * drawn.randint(0, 2)
    return records, bytes(raw)


def test_records_are_read_whole_or_refused(tmp_path: Path) -> None:
    drawn, path = random.Random(20261126), tmp_path / "a.jsonl"
    for _ in range(200):
        fault = drawn.choice(FAULTS)
        records, raw = drawn_file(drawn, fault)
        path.write_bytes(raw)
        if fault in ("cut", "field", "type", "id"):
            with pytest.raises(DataError) as caught:
                read_records(path, FIELDS)
            assert "a.jsonl:" in str(caught.value), raw
            continue
        try:
            found = read_records(path, FIELDS)
        except DataError:
            assert fault != "none", raw
            continue
        assert len(found) == len(records), raw
        if fault == "none":
            assert [dict(row.values) for row in found] == records
