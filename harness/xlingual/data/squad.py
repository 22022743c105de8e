"""Files in the layout of SQuAD v1.1, as XQuAD and MLQA have them, to examples."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from ..errors import DataError
from ..files import Problem, data_error, read_json
from ..identity import Json
from ..records import DataFile, Example
from .jsonl import type_problem


def read_squad(file: DataFile, language: str) -> tuple[Example, ...]:
    """Return the questions of `file` in its order, with answers in the language whose code is `language`.

    The group is the article's title, or "#N" with its index from 0 where it has none; the cluster is
    "ARTICLE.PARAGRAPH", counted from 0; targets are the distinct answer texts. Where answers start does not matter
    here: see `check_offsets`. Raises one DataError that lists every bad question with its place and id.
    """
    problems: list[Problem] = []
    rows = [_example(question, language) for question in _questions(Path(file.path), problems)]
    places: dict[str, str] = {}
    for row, place in rows:
        if row.id in places:
            problems.append(Problem(f": {place}", f"id {row.id!r} is also that of {places[row.id]}"))
        places.setdefault(row.id, place)
    if problems:
        raise data_error(file.path, problems)
    if not rows:
        raise DataError("no records", where=file.path)
    return tuple(row for row, _ in rows)


def check_offsets(path: Path) -> tuple[str, ...]:
    """Return the ids of questions with an answer that is not at its "answer_start" (in characters) in the context.

    Scores do not use it, but such a file was damaged or converted badly. Raises DataError for a broken file.
    """
    problems: list[Problem] = []
    wrong = tuple(
        question.id
        for question in _questions(path, problems)
        if not all(_starts_right(answer, question.context) for answer in question.answers)
    )
    if problems:
        raise data_error(str(path), problems)
    return wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    place: str
    group: str
    cluster: str
    context: str
    id: str
    question: str
    answers: list[dict[str, Json]]


@dataclass(frozen=True, slots=True)
class _Node:
    """A JSON object, where it is in the file, and where to note what is wrong with it."""

    values: dict[str, Json]
    place: str
    problems: list[Problem]
    shown_id: str = field(default="")

    def note(self, name: str, what: str) -> None:
        """Note what is wrong with the field `name`."""
        where = f" {self.place}{self.shown_id}" if self.place else ""
        self.problems.append(Problem(f":{where}" if where else "", f"field {name!r} {what}"))

    def get(self, name: str, kind: type) -> Json:
        """Return the field `name`, or None after noting that it is missing or not of `kind`."""
        if name not in self.values:
            self.note(name, f"is missing (has: {', '.join(self.values)})")
            return None
        if wrong := type_problem(self.values[name], kind):
            self.note(name, wrong)
            return None
        return self.values[name]

    def text(self, name: str) -> str:
        """Return the text in the field `name`, or "" after noting that it is missing, no string or blank."""
        value = self.get(name, str)
        if isinstance(value, str) and not value.strip():
            self.note(name, "is empty")
        return value if isinstance(value, str) else ""

    def children(self, name: str) -> Iterator["_Node"]:
        """Yield the objects in the list `name`."""
        prefix = f"{self.place}.{name}" if self.place else name
        for index, item in enumerate(cast(list[Json], self.get(name, list) or [])):
            if wrong := type_problem(item, dict):
                self.problems.append(Problem(f": {prefix}[{index}]", wrong))
                continue
            values = cast(dict[str, Json], item)
            shown = f" (id {values['id']})" if isinstance(values.get("id"), str) else self.shown_id
            yield _Node(values, f"{prefix}[{index}]", self.problems, shown)


def _questions(path: Path, problems: list[Problem]) -> Iterator[_Question]:
    """Yield every well-formed question; what is wrong with the others goes into `problems`."""
    data = read_json(path)
    if wrong := type_problem(data, dict):
        problems.append(Problem("", wrong))
        return
    root = _Node(cast(dict[str, Json], data), "", problems)
    for article_index, article in enumerate(root.children("data")):
        title = article.text("title") if "title" in article.values else ""
        for paragraph_index, paragraph in enumerate(article.children("paragraphs")):
            context = paragraph.text("context")
            for node in paragraph.children("qas"):
                before = len(problems)
                question = _Question(
                    place=node.place,
                    group=title or f"#{article_index}",
                    cluster=f"{article_index}.{paragraph_index}",
                    context=context,
                    id=node.text("id"),
                    question=node.text("question"),
                    answers=_answers(node),
                )
                if context and len(problems) == before:
                    yield question


def _answers(node: _Node) -> list[dict[str, Json]]:
    if node.values.get("answers") == []:
        node.note("answers", "is empty")
    answers = []
    for answer in node.children("answers"):
        answer.text("text")
        answers.append(answer.values)
    return answers


def _starts_right(answer: dict[str, Json], context: str) -> bool:
    start, text = answer.get("answer_start"), cast(str, answer["text"])
    return start is None or (isinstance(start, int) and start >= 0 and context.startswith(text, start))


def _example(question: _Question, language: str) -> tuple[Example, str]:
    example = Example(
        id=question.id,
        language=language,
        group=question.group,
        cluster=question.cluster,
        fields={"context": question.context, "question": question.question},
        targets=tuple(dict.fromkeys(cast(str, answer["text"]) for answer in question.answers)),
    )
    return example, question.place
