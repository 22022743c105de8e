"""What holds for any prompt, any answer and any name: hypothesis looks for one for which it does not."""

import json
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlingual.board import board_json, board_markdown, build_board
from xlingual.board.export import EXPORTS
from xlingual.cli import printable
from xlingual.identity import repair_surrogates
from xlingual.metrics import METRIC_NAMES, find_metric
from xlingual.prompt import Rendering, render
from xlingual.records import Example, Finish, ModelSpec, Response
from xlingual.wording import ask_question, ask_translation

from ..board.factory import collect, make_run, make_spec
from ..board.hostile import HOSTILE

QUICK = settings(max_examples=60, deadline=None, derandomize=True)
FEW = settings(max_examples=25, deadline=None, derandomize=True)
MODEL = ModelSpec(
    word="m", backend="test", name="m", revision=None, fingerprint="f", dtype=None, template="chat",
    context_length=None, parent=None,
)  # fmt: skip
TEXTS = st.one_of(
    st.text(max_size=30),
    st.sampled_from(["{instruction}", "{input}", "{{", "%s", "\\", "### Response:", "<|user|>", "\ud800", "\x00"]),
)


def _rendering(template: str) -> Rendering:
    return Rendering(model=MODEL, template=template, stop=None, max_new_tokens=8, on_overflow="error")


@pytest.mark.parametrize("template", ["alpaca", "chat", "raw"])
@QUICK
@given(passage=TEXTS, question=TEXTS)
def test_a_prompt_holds_passage_and_question_whatever_they_are(template: str, passage: str, question: str) -> None:
    request = render(ask_question("en", context=passage, question=question), (), _rendering(template))
    text = request.messages[-1].text
    assert passage in text
    assert question in text
    again = render(ask_question("en", context=passage, question=question), (), _rendering(template))
    assert request == again


@QUICK
@given(first=TEXTS, second=TEXTS)
def test_two_questions_have_one_key_only_where_they_are_one(first: str, second: str) -> None:
    """But for lone surrogates, which no file and no request can hold."""
    keys = [render(ask_translation("en", "de", each), (), _rendering("raw")).key for each in (first, second)]
    same = repair_surrogates(first).strip() == repair_surrogates(second).strip()
    assert (keys[0] == keys[1]) == same or first.strip() != first or second.strip() != second


LOCAL = [name for name in METRIC_NAMES if name.partition("_")[0] not in ("comet22", "cometkiwi22", "judge")]


@pytest.mark.parametrize("language", ["en", "ar", "zh", "th"])
@FEW
@given(
    answers=st.lists(st.tuples(TEXTS, TEXTS, TEXTS), min_size=1, max_size=4), finish=st.sampled_from([*Finish, None])
)
def test_scores_of_any_answers_are_within_their_bounds(
    language: str, answers: list[tuple[str, str, str]], finish: Finish | None
) -> None:
    for name in LOCAL:
        metric = find_metric(name)
        if metric.missing(language) is not None:
            continue
        rows = [_measure(metric, language, *answer, finish) for answer in answers]
        known = [row for row in rows if row is not None]
        if not known:
            continue
        assert all(math.isfinite(number) for row in known for number in row), name
        score = float(metric.combine(np.array(known, dtype=np.float64).sum(axis=0)))
        least, most = metric.bounds
        assert math.isnan(score) or least is None or score >= least - 1e-9, name
        assert math.isnan(score) or most is None or score <= most + 1e-9, name


def _measure(
    metric: object, language: str, answer: str, gold: str, source: str, finish: Finish | None
) -> tuple[float, ...] | None:
    example = Example(
        id="1", language=language, group="g", cluster="c", targets=(gold,),
        fields={"source": source, "context": source, "question": source},
    )  # fmt: skip
    response = Response(key="k", text=answer, failure=None, finish=finish, prompt_tokens=None, tokens=3)
    return metric.measure(example, response)  # type: ignore[attr-defined, no-any-return]


NAMES = st.one_of(st.text(min_size=1, max_size=20), st.sampled_from([name for name in HOSTILE if len(name) < 100]))
SCORES = st.one_of(st.floats(0, 100), st.none())


@FEW
@given(
    runs=st.lists(
        st.tuples(NAMES, SCORES, st.sampled_from(["ar", "zh"])),
        min_size=1,
        max_size=5,
        unique_by=lambda run: (run[0], run[2]),
    )
)
def test_a_board_of_any_names_is_well_formed(runs: list[tuple[str, float | None, str]]) -> None:
    collection = collect(*(make_run(name, f"xquad/{code}", score) for name, score, code in runs))
    board = build_board(make_spec(), collection)
    page = board_markdown(board, command="xlingual board test")
    page.encode("utf-8")
    for block in (each.splitlines() for each in page.split("\n\n") if each.startswith("| ")):
        widths = {len(re.split(r"(?<!\\)\|", line)) for line in block}
        assert len(widths) == 1, block
    assert printable(page) == page
    json.dumps(board_json(board), allow_nan=False).encode("utf-8")
    for write in EXPORTS.values():
        repair_surrogates(write(board, collection, "xlingual board test")).encode("utf-8")


@QUICK
@given(
    scores=st.lists(
        st.tuples(st.text("abc", min_size=1, max_size=4), st.integers(0, 1000)),
        min_size=2,
        max_size=6,
        unique_by=lambda run: run[0],
    )
)
def test_the_rows_of_a_board_stand_in_the_order_of_their_scores(scores: list[tuple[str, int]]) -> None:
    runs = [make_run(name, "xquad/zh", score / 10) for name, score in scores]
    tables = [build_board(make_spec(), collect(*each)).tables[0] for each in (runs, runs[::-1])]
    found = [{(row.model, row.rank, row.average) for row in table.rows} for table in tables]
    assert found[0] == found[1]
    ranked = [(row.rank, row.average) for row in tables[0].rows if row.rank is not None and row.average is not None]
    for rank, average in ranked:
        assert all((rank < other) == (average > less) for other, less in ranked)
