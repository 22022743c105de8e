"""Runs with samples on disk, and a page taken apart again, for the tests of the view."""

import base64
import dataclasses
import gzip
import json
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from xlingual.board import collect_runs
from xlingual.records import RunRecord
from xlingual.view import ViewOptions, ViewSummary, write_view

from ..board.factory import make_estimate, make_run, write_run

Row = dict[str, object]


def make_rows(answers: Sequence[str | None], *, template: str = "Q", **more: object) -> list[Row]:
    """Return a line of samples.jsonl for each answer; "yes" is right, None failed."""
    return [
        {
            "id": f"q{number}",
            "cluster": str(number // 2),
            "targets": ["yes"],
            "answer": answer,
            "failure": None if answer is not None else {"kind": "timeout", "message": "30 s"},
            "finish": None if answer is None else "eos",
            "statistics": {"containment": None if answer is None else [float(answer == "yes"), 1.0]},
            "shots_dropped": 0,
            "passage_cut": 0,
            "key": "0" * 64,
            "messages": [{"role": "user", "text": f"{template}: question {number}?"}],
            **more,
        }
        for number, answer in enumerate(answers)
    ]


def put_run(folder: Path, record: RunRecord, rows: Sequence[Row], suffix: str = "") -> RunRecord:
    """Write a run folder whose counts and value fit its rows."""
    scored = [row for row in rows if row["answer"] is not None]
    right = sum(row["answer"] == "yes" for row in scored)
    failed = len(rows) - len(scored)
    value = 100.0 * right / len(scored) if scored else None
    estimates = (make_estimate("containment", value, n=len(scored), unscored=failed),)
    record = dataclasses.replace(
        record,
        protocol=dataclasses.replace(record.protocol, n=len(rows)),
        counts=dataclasses.replace(record.counts, answered=len(scored), failed=failed),
        estimates=estimates,
    )
    write_run(folder, record, f"results{suffix}.json")
    lines = "".join(json.dumps(row, ensure_ascii=True) + "\n" for row in rows)
    (folder / f"samples{suffix}.jsonl").write_text(lines, encoding="utf-8")
    return record


def put_runs(root: Path, *, questions: int = 6) -> Path:
    """Write two models and two controls on three languages; in Arabic one failed, in Chinese one is limited."""
    for code in ("ar", "hi", "zh"):
        wrong = ["no", "yes"] * (questions // 2)
        for model, answers in {
            "alpaca": wrong,
            "x-llama": ["yes"] * questions,
            "oracle": ["yes"] * questions,
            "echo": ["q"] * questions,
        }.items():
            record = make_run(model, f"xquad/{code}", 0.0)
            if model in ("oracle", "echo"):
                record = dataclasses.replace(record, model=dataclasses.replace(record.model, backend=model))
            rows = make_rows([None, *answers[1:]] if (model, code) == ("alpaca", "ar") else answers)
            put_run(root / f"{model}-1" / f"xquad-{code}", record, rows)
    return root


def view_runs(root: Path, target: Path, **options: object) -> tuple[ViewSummary, "PageParts"]:
    """Write the page of all runs below `root` and take it apart."""
    settings = ViewOptions(**options)  # type: ignore[arg-type]  # the test's own words
    summary = write_view(collect_runs([root], include_limited=True), target, settings)
    return summary, read_page(target)


@dataclasses.dataclass(frozen=True, slots=True)
class PageParts:
    """A page, as a browser sees it before any script runs."""

    html: str
    tags: tuple[tuple[str, Mapping[str, str | None]], ...]
    """In their order, with attributes."""
    texts: Mapping[str, str]
    """Of scripts by id; "" is the one that runs."""

    @property
    def index(self) -> dict[str, Any]:
        """What the page knows at once."""
        found: dict[str, Any] = json.loads(self.texts["index"])
        return found

    def chunk(self, name: str) -> dict[str, Any]:
        """Return the data of a chunk, decoded as the page does it."""
        found: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(self.texts[name])))
        return found

    def names(self, kind: str) -> list[str]:
        """Return the ids of all chunks of a kind: t, r, s or o."""
        return [name for name in self.texts if name[:1] == kind and name[1:2].isdigit()]


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, Mapping[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self._script: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._script = str(dict(attrs).get("id", "")) if tag == "script" else "style" if tag == "style" else None

    def handle_endtag(self, tag: str) -> None:
        self._script = None

    def handle_data(self, data: str) -> None:
        if self._script is not None:
            self.texts[self._script] = self.texts.get(self._script, "") + data


def read_page(path: Path) -> PageParts:
    """Take a page apart with Python's own HTML parser."""
    html = path.read_bytes().decode("utf-8")
    parser = _Parser()
    parser.feed(html)
    return PageParts(html=html, tags=tuple(parser.tags), texts=parser.texts)
