"""Drafts: looked up in the right place, as long as they pay, and never part of an answer that is not the model's."""

import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import pytest

from xlingual.records import Form, Request


def part(name: str) -> ModuleType:
    return importlib.import_module(f"xlingual.plugins.models.hf.{name}")


def row_of(ids: Sequence[int], new: Sequence[int], limit: int = 30) -> Any:  # noqa: ANN401 - of the plugin
    request = Request(key="", form=Form.TEXT, messages=(), stop=(), max_new_tokens=limit)
    [row] = part("packed.prefix_tree").build_prefix_tree(
        [part("tokens.rendering").Rendered(request=request, ids=tuple(ids))]
    )
    row.new += new
    return row


@pytest.mark.parametrize(
    ("ids", "new", "limit", "draft"),
    [
        # The longest end of the answer that occurs before, and what follows its last occurrence.
        ([1, 2, 3, 4, 5, 9, 3, 7], [2, 3], 30, [4, 5, 9]),
        ([1, 3, 4, 5, 9, 3, 7, 8], [3], 30, [7, 8, 3]),
        # Only what fits the answer: one token is always the model's own.
        ([1, 2, 3, 4, 5, 9], [2, 3], 4, [4]),
        ([1, 2, 3, 4, 5, 9], [2, 3], 3, []),
        # Nothing alike.
        ([1, 2, 3, 4], [9], 30, []),
        # The answer repeats itself.
        ([1, 2], [5, 6, 7, 5, 6], 30, [7, 5, 6]),
        # Code points beyond 16 bits, and those of surrogates.
        ([100000, 55300, 55301, 7], [100000, 55300], 30, [55301, 7, 100000]),
    ],
)
def test_what_is_looked_up(ids: list[int], new: list[int], limit: int, draft: list[int]) -> None:
    drafts = part("packed.prompt_lookup").PromptLookup()
    drafts.proposed, drafts.accepted = [0.0] + [100.0] * 8, [0.0] + [90.0] * 8
    [found] = drafts.propose([row_of(ids, new, limit)])
    assert found[:3] == draft


def test_an_answer_that_grows_is_looked_up_anew_and_forgotten_when_done() -> None:
    drafts, row = part("packed.prompt_lookup").PromptLookup(), row_of([1, 2, 3, 4, 5, 6, 7, 8], [2])
    [first] = drafts.propose([row])
    assert first[:1] == [3]
    row.new += [3, 4, 7]
    [second] = drafts.propose([row])
    assert second[:1] == [8]
    drafts.forget(row)
    assert drafts.texts == {}


def test_bad_drafts_are_given_up_and_good_ones_grow() -> None:
    """By hand: a share of 0.75 before any trial allows eight tokens, since 0.75 ** 8 is above the price, 1 / 11.1."""
    drafts, row = part("packed.prompt_lookup").PromptLookup(), row_of(range(1, 60), [20, 21, 22, 23])
    [before] = drafts.propose([row])
    for _ in range(3):
        drafts.propose([row])
        drafts.record_acceptance(row, before, len(before))
    [after] = drafts.propose([row])
    assert len(after) > len(before) == 8
    for _ in range(400):
        [draft] = drafts.propose([row])
        drafts.record_acceptance(row, draft, 0)
    assert drafts.propose([row]) == [[]]


def test_the_more_rows_the_shorter_the_drafts() -> None:
    lengths = []
    for count in (1, 8, 64):
        drafts = part("packed.prompt_lookup").PromptLookup()
        drafts.proposed, drafts.accepted = [0.0] + [100.0] * 8, [0.0] + [85.0] * 8
        rows = [row_of(range(1, 60), [20, 21, 22, 23]) for _ in range(count)]
        lengths.append(len(drafts.propose(rows)[0]))
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] > lengths[2]


@pytest.mark.parametrize(("count", "longest"), [(1, 16), (2, 8), (4, 4), (64, 4)])
def test_rows_share_the_longest_draft(count: int, longest: int) -> None:
    drafts = part("packed.prompt_lookup").PromptLookup()
    drafts.proposed, drafts.accepted = [0.0] + [100.0] * 8, [0.0] + [100.0] * 8
    rows = [row_of(range(1, 60), [20, 21, 22, 23]) for _ in range(count)]
    assert [len(draft) for draft in drafts.propose(rows)] == [longest] * count


@pytest.mark.parametrize(("match", "believed"), [(1, 0.35), (2, 0.6), (4, 0.75), (8, 0.9), (9, 0.9)])
def test_a_longer_match_is_believed_sooner(match: int, believed: float) -> None:
    """Untried, one row: as many tokens as the price of 1 / 11.1 allows."""
    [draft] = (
        part("packed.prompt_lookup").PromptLookup().propose([row_of([*range(1, 60), 99, 20], [*range(10, 10 + match)])])
    )
    assert len(draft) == next(count for count in range(17) if count == 16 or believed ** (count + 1) <= 1 / 11.1)


def test_rows_to_be_computed_alone_get_none_and_neither_does_anybody_when_off() -> None:
    row = row_of([1, 2, 3, 4, 5, 6], [2])
    row.is_isolated = True
    assert part("packed.prompt_lookup").PromptLookup().propose([row]) == [[]]
    assert part("packed.prompt_lookup").PromptLookup(on=False).propose([row_of([1, 2, 3, 4], [2])]) == [[]]
