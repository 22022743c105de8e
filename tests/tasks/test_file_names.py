"""The names under which the shipped benchmarks find their files below `--data`."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from xlingual.errors import DataError
from xlingual.planning import hash_examples
from xlingual.plugin import DataSource
from xlingual.records import Example
from xlingual.selection import select_tasks

ROW = {"id": "1", "context": "In Rome.", "question": "?", "answers": {"text": ["Rome"], "answer_start": [3]}}


def read(task: str, folder: Path, split: str = "test") -> tuple[Example, ...]:
    place = DataSource(folder=folder, sample=False, offline=True)
    return select_tasks([task], [])[0].examples(split, place).rows


def write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist([ROW]), path)
        return
    text = (json.dumps(ROW) + "\n").encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


@pytest.mark.parametrize(
    ("task", "split", "name"),
    [
        *(
            ("xquad/es", "test", name)
            for name in (
                "xquad/xquad.es.json",
                "xquad.es.json",
                "xquad-master/xquad.es.json",
                "xquad.es.jsonl",
                "xquad/xquad.es.json.gz",
                "xquad.es/validation-00000-of-00001.parquet",
                "xquad/xquad.es/validation-00000-of-00001.parquet",
                "xquad.es/test-00000-of-00001.parquet",
                "xquad/xquad.es/test-00000.parquet",
                "xquad.es/validation/0000.parquet",
            )
        ),
        ("mlqa/zh-es", "test", "MLQA_V1/test/test-context-zh-question-es.jsonl"),
        ("mlqa/zh-es", "test", "mlqa.zh.es/test-00000-of-00001.parquet"),
        ("mlqa/zh-es", "dev", "mlqa/mlqa.zh.es/validation-00000-of-00001.parquet"),
        ("mlqa/es", "dev", "mlqa.es.es/dev-00000.parquet"),
    ],
)
def test_questions_are_found_by_their_usual_names(tmp_path: Path, task: str, split: str, name: str) -> None:
    write(tmp_path / name)
    (row,) = read(task, tmp_path, split)
    assert (row.id, row.language, row.targets) == ("1", task.partition("/")[2][:2], ("Rome",))


@pytest.mark.parametrize(
    ("task", "split", "name"),
    [
        ("xquad/es", "test", "test-00000-of-00001.parquet"),
        ("xquad/es", "test", "xquad.en/validation-00000-of-00001.parquet"),
        ("mlqa/zh-es", "test", "mlqa.es.zh/test-00000-of-00001.parquet"),
        ("mlqa/es", "test", "mlqa.es.es/validation-00000-of-00001.parquet"),
    ],
)
def test_a_table_of_another_language_or_split_is_never_taken(tmp_path: Path, task: str, split: str, name: str) -> None:
    write(tmp_path / name)
    with pytest.raises(DataError, match="not in the data folder"):
        read(task, tmp_path, split)


def test_an_error_names_the_first_names_and_counts_the_rest(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read("xquad/es", tmp_path)
    names = ", ".join(str(tmp_path / name) for name in ("xquad/xquad.es.json", "xquad.es.json"))
    assert f"looked for {names}, " in str(caught.value)
    assert str(caught.value).endswith(", 21 other names")


def test_the_first_name_wins(tmp_path: Path) -> None:
    write(tmp_path / "xquad.es" / "validation-00000-of-00001.parquet")
    write(tmp_path / "xquad.es.json")
    place = DataSource(folder=tmp_path, sample=False, offline=True)
    found = select_tasks(["xquad/es"], [])[0].examples("test", place)
    assert [file.path for file in found.files] == [str(tmp_path / "xquad.es.json")]
    assert hash_examples(found.rows) == hash_examples(read("xquad/es", tmp_path))
