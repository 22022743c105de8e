"""A small declared family, its data, and how to change a line of it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from xlingual.declared import DeclaredTask, read_family
from xlingual.plugin import DataSource

TEXT = """\
description = "Rivers: which sea they flow into"
licence = "CC0"
citation = "none"
version = "1"
files = "rivers/{language}.{split}.jsonl"
shots = "dev"
id = "{id}"
prompt = { instruction = "{task}", input = "{label} {river}\\n{answer_label} " }
answer = "seas"
[languages]
en = { task = "Name the sea.", label = "River:", answer_label = "Sea:" }
de = { task = "Nenne das Meer.", label = "Fluss:", answer_label = "Meer:" }
"""
ROWS = {
    "en.test": '{"id": 1, "river": "Vistula", "seas": ["the Baltic", "Baltic Sea"]}\n'
    '{"id": 2, "river": "Po", "seas": "Adriatic"}\n',
    "en.dev": '{"id": 9, "river": "Nile", "seas": ["Mediterranean"]}\n',
    "de.test": '{"id": 1, "river": "Weichsel", "seas": ["Ostsee"]}\n',
    "de.dev": '{"id": 9, "river": "Nil", "seas": ["Mittelmeer"]}\n',
}


@pytest.fixture
def data(tmp_path: Path) -> DataSource:
    folder = tmp_path / "data" / "rivers"
    folder.mkdir(parents=True)
    for name, text in ROWS.items():
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return DataSource(folder=tmp_path / "data", sample=False, offline=True)


Declare = Callable[..., dict[str, DeclaredTask]]


@pytest.fixture
def declare(tmp_path: Path) -> Declare:
    """Return the tasks of a text, by language; each pair is an old part of the text and what takes its place."""

    def tasks(*changes: tuple[str, str], text: str = TEXT) -> dict[str, DeclaredTask]:
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "rivers.toml"
        path.write_text(text, encoding="utf-8")
        found = {}
        for task in read_family(path).tasks():
            assert isinstance(task, DeclaredTask)
            found[task.spec.language] = task
        return found

    return tasks
