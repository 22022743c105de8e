"""Prompt-lookup decoding: what is proposed as a draft, and how long drafts are by their acceptance."""

import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import pytest

from xlingual.records import Form, Request


def part(name: str) -> ModuleType:
    return importlib.import_module(f"xlingual.plugins.models.hf.{name}")


def sequence_of(ids: Sequence[int], new: Sequence[int], limit: int = 30) -> Any:  # noqa: ANN401 - of the plugin
    request = Request(key="", form=Form.TEXT, messages=(), stop=(), max_new_tokens=limit)
    [sequence] = part("packed.prefix_tree").build_prefix_tree(
        [part("tokens.rendering").Rendered(request=request, ids=tuple(ids))]
    )
    sequence.output_ids += new
    return sequence


@pytest.mark.parametrize(
    ("ids", "new", "limit", "draft"),
    [
        # What follows the last occurrence of the longest n-gram at the end of the answer.
        ([1, 2, 3, 4, 5, 9, 3, 7], [2, 3], 30, [4, 5, 9]),
        ([1, 3, 4, 5, 9, 3, 7, 8], [3], 30, [7, 8, 3]),
        # No more than the answer may have: one token is always the model's own.
        ([1, 2, 3, 4, 5, 9], [2, 3], 4, [4]),
        ([1, 2, 3, 4, 5, 9], [2, 3], 3, []),
        # No match.
        ([1, 2, 3, 4], [9], 30, []),
        # The answer repeats itself.
        ([1, 2], [5, 6, 7, 5, 6], 30, [7, 5, 6]),
        # Code points beyond 16 bits, and those of surrogates.
        ([100000, 55300, 55301, 7], [100000, 55300], 30, [55301, 7, 100000]),
    ],
)
def test_what_is_proposed(ids: list[int], new: list[int], limit: int, draft: list[int]) -> None:
    lookup = part("packed.prompt_lookup").PromptLookup()
    lookup.proposed, lookup.accepted = [0.0] + [100.0] * 8, [0.0] + [90.0] * 8
    [found] = lookup.propose([sequence_of(ids, new, limit)])
    assert found[:3] == draft


def test_an_answer_that_grows_is_looked_up_again_and_forgotten_when_done() -> None:
    lookup, sequence = part("packed.prompt_lookup").PromptLookup(), sequence_of([1, 2, 3, 4, 5, 6, 7, 8], [2])
    [first] = lookup.propose([sequence])
    assert first[:1] == [3]
    sequence.output_ids += [3, 4, 7]
    [second] = lookup.propose([sequence])
    assert second[:1] == [8]
    lookup.forget(sequence)
    assert lookup.texts == {}


def test_rejected_drafts_end_and_accepted_ones_grow() -> None:
    """By hand: a prior acceptance of 0.8 allows ten tokens, since 0.8 ** 10 is above the break-even of 1 / 11.1."""
    lookup, sequence = part("packed.prompt_lookup").PromptLookup(), sequence_of(range(1, 60), [20, 21, 22, 23])
    [before] = lookup.propose([sequence])
    for _ in range(3):
        lookup.propose([sequence])
        lookup.record_acceptance(sequence, before, len(before))
    [after] = lookup.propose([sequence])
    assert len(after) > len(before) == 10
    for _ in range(400):
        [draft] = lookup.propose([sequence])
        lookup.record_acceptance(sequence, draft, 0)
    assert lookup.propose([sequence]) == [[]]


def test_the_more_sequences_the_shorter_the_drafts() -> None:
    lengths = []
    for count in (1, 8, 64):
        lookup = part("packed.prompt_lookup").PromptLookup()
        lookup.proposed, lookup.accepted = [0.0] + [100.0] * 8, [0.0] + [85.0] * 8
        sequences = [sequence_of(range(1, 60), [20, 21, 22, 23]) for _ in range(count)]
        lengths.append(len(lookup.propose(sequences)[0]))
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] > lengths[2]


@pytest.mark.parametrize(("count", "longest"), [(1, 16), (2, 8), (4, 4), (64, 4)])
def test_sequences_share_the_draft_tokens(count: int, longest: int) -> None:
    lookup = part("packed.prompt_lookup").PromptLookup()
    lookup.proposed, lookup.accepted = [0.0] + [100.0] * 8, [0.0] + [100.0] * 8
    sequences = [sequence_of(range(1, 60), [20, 21, 22, 23]) for _ in range(count)]
    assert [len(draft) for draft in lookup.propose(sequences)] == [longest] * count


@pytest.mark.parametrize(("ngram", "acceptance"), [(1, 0.45), (2, 0.65), (4, 0.8), (8, 0.95), (9, 0.95)])
def test_a_longer_ngram_gets_a_longer_draft(ngram: int, acceptance: float) -> None:
    """One sequence and the prior alone: as many tokens as the break-even of 1 / 11.1 allows."""
    [draft] = (
        part("packed.prompt_lookup")
        .PromptLookup()
        .propose([sequence_of([*range(1, 60), 99, 20], [*range(10, 10 + ngram)])])
    )
    assert len(draft) == next(count for count in range(17) if count == 16 or acceptance ** (count + 1) <= 1 / 11.1)


def test_isolated_sequences_get_no_draft_and_nobody_does_when_disabled() -> None:
    sequence = sequence_of([1, 2, 3, 4, 5, 6], [2])
    sequence.is_isolated = True
    assert part("packed.prompt_lookup").PromptLookup().propose([sequence]) == [[]]
    assert part("packed.prompt_lookup").PromptLookup(enabled=False).propose([sequence_of([1, 2, 3, 4], [2])]) == [[]]
