"""Questions with their passages, as SQuAD, XQuAD and MLQA have them, in every form of these files, to examples."""

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from ..errors import DataError
from ..files import Problem, data_error
from ..identity import Json
from ..records import DataFile, Example, Examples
from ..text import is_blank
from .nodes import Node, read_nodes

_LOG = logging.getLogger("xlingual")
_ROW_FIELDS = frozenset({"context", "question", "answers"})


def read_squad(file: DataFile, language: str) -> tuple[Example, ...]:
    """Return the rows of `squad_examples`."""
    return squad_examples(file, language).rows


def squad_examples(file: DataFile, language: str) -> Examples:
    """Return the questions of `file` in its order, with answers in the language whose code is `language`.

    Read are the articles of SQuAD's own layout, and the flat rows of the hub's {id, title, context, question, answers:
    {text, answer_start}}, in the forms that `read_nodes` knows. All forms of the same questions give the same texts in
    the same order. Articles and paragraphs are the same where flat rows tell them: each article has a title of its own,
    and each of its paragraphs a context of its own. Without titles each context is an article.

    The group is the article's title, or where it has none "#N" with its index from 0, in flat rows its number among
    those without, from 1; the cluster is "ARTICLE.PARAGRAPH", counted from 0; targets are the distinct answer texts, to
    the letter. Ids may be whole numbers. Where answers start does not matter here: see `check_offsets`.

    Questions without an answer, as SQuAD 2.0 has them, are left out, counted as skipped, and said in a warning. Raises
    one DataError that lists every bad question with its place and id, and one where no question has an answer.
    """
    problems: list[Problem] = []
    questions = list(_questions(Path(file.path), problems))
    places: dict[str, str] = {}
    for question in questions:
        if question.id in places:
            what = f"id {question.id!r} is also that of {_spoken(places[question.id])}"
            problems.append(Problem(question.place, what))
        places.setdefault(question.id, question.place)
    if problems:
        raise data_error(file.path, problems)
    if not questions:
        raise DataError("no records", where=file.path)
    rows = tuple(_example(question, language) for question in questions if question.answers)
    skipped = len(questions) - len(rows)
    if not rows:
        raise DataError(f"none of its {len(questions)} questions has an answer", where=file.path)
    if skipped:
        what = "%s: SQuAD 2.0: %d of %d questions have no answer (is_impossible) and are left out"
        _LOG.warning(what, file.path, skipped, len(questions))
    return Examples(rows=rows, files=(file,), skipped=skipped)


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
    """[]: the question has none."""


@dataclass(frozen=True, slots=True)
class _Articles:
    """The articles of flat rows, in the order in which they begin."""

    numbers: dict[str, int] = field(default_factory=dict)
    paragraphs: dict[tuple[str, str], int] = field(default_factory=dict)
    sizes: Counter[str] = field(default_factory=Counter)
    untitled: dict[str, str] = field(default_factory=dict)

    def place(self, title: str, context: str) -> tuple[str, str]:
        """Return the group and the cluster of a row: those of `squad_document`, which makes articles of such rows."""
        group = title or self.untitled.setdefault(context, str(len(self.untitled) + 1))
        if (group, context) not in self.paragraphs:
            self.paragraphs[group, context] = self.sizes[group]
            self.sizes[group] += 1
        number = self.numbers.setdefault(group, len(self.numbers))
        return group, f"{number}.{self.paragraphs[group, context]}"


def _questions(path: Path, problems: list[Problem]) -> Iterator[_Question]:
    """Yield every well-formed question; what is wrong with the others goes into `problems`."""
    articles = _Articles()
    for index, node in enumerate(read_nodes(path, "data", problems)):
        title = "" if _is_untitled(node) else node.name("title")
        if "paragraphs" not in node.values and _ROW_FIELDS & node.values.keys():
            context = node.text("context")
            yield from _question(node, context, *articles.place(title, context))
            continue
        for number, paragraph in enumerate(node.children("paragraphs")):
            context = paragraph.text("context")
            for each in paragraph.children("qas"):
                yield from _question(each, context, title or f"#{index}", f"{index}.{number}")


def _is_untitled(node: Node) -> bool:
    title = node.values.get("title")
    return title is None or (isinstance(title, str) and is_blank(title))


def _question(node: Node, context: str, group: str, cluster: str) -> Iterator[_Question]:
    before = len(node.problems)
    question = _Question(
        place=node.place,
        group=group,
        cluster=cluster,
        context=context,
        id=node.name("id"),
        question=node.text("question"),
        answers=_answers(node),
    )
    if context and len(node.problems) == before:
        yield question


def _answers(node: Node) -> list[dict[str, Json]]:
    """Return {text, answer_start} of each answer; none for a question that is marked as having none."""
    if node.values.get("is_impossible") is not None and node.get("is_impossible", bool):
        return []
    value = node.values.get("answers")
    if isinstance(value, dict):
        return _column_answers(Node(value, node.inside("answers"), node.problems, node.shown_id))
    if value == []:
        node.note("answers", "is empty")
    answers = []
    for answer in node.children("answers"):
        answer.text("text")
        answers.append(dict(answer.values))
    return answers


def _column_answers(node: Node) -> list[dict[str, Json]]:
    """Return the answers of a flat row, which are a list of texts and one of starts, as SQuAD has them.

    No texts at all are the hub's way to say that there is no answer.
    """
    texts = cast(list[str], node.get("text", list[str]) or [])
    starts = cast(list[Json], node.get("answer_start", list) or []) if "answer_start" in node.values else []
    if starts and len(starts) != len(texts):
        node.note("answer_start", f"has {len(starts)} numbers for {len(texts)} texts")
        return []
    for index, text in enumerate(texts):
        if is_blank(text):
            node.note(f"text[{index}]", "is empty")
    return [{"text": text, "answer_start": starts[index] if starts else None} for index, text in enumerate(texts)]


def _starts_right(answer: dict[str, Json], context: str) -> bool:
    start, text = answer.get("answer_start"), cast(str, answer["text"])
    return start is None or (isinstance(start, int) and start >= 0 and context.startswith(text, start))


def _example(question: _Question, language: str) -> Example:
    return Example(
        id=question.id,
        language=language,
        group=question.group,
        cluster=question.cluster,
        fields={"context": question.context, "question": question.question},
        targets=tuple(dict.fromkeys(cast(str, answer["text"]) for answer in question.answers)),
    )


def _spoken(place: str) -> str:
    """Return a place as it is called inside a sentence: "data[0].paragraphs[1]", "line 3"."""
    return place[2:] if place.startswith(": ") else f"line {place[1:]}"
