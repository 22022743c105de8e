"""The packs of a step over ranks and micro-batches: every row once, evenly filled; plans count those of training."""

import numpy as np
import pytest

from xlingual.tune.packing import assign_packs, pack


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
@pytest.mark.parametrize("pack_length", [512, 2048, 8192])
def test_every_row_once_in_as_few_micro_batches_as_best_fit_needs(ranks: int, pack_length: int) -> None:
    draw = np.random.default_rng(ranks)
    for count in (1, 7, 128):
        lengths = draw.gamma(2.0, 94.0, count).astype(int).clip(4, 512).tolist()
        rows = list(range(100, 100 + count))
        assignment = assign_packs(rows, lengths, pack_length, ranks)
        packs = [pack_ for each in assignment.micro_batches for pack_ in each]
        assert sorted(row for pack_ in packs for row in pack_) == rows
        assert all(
            len(each) == ranks for each in assignment.micro_batches
        )  # pitfall 11: no rank runs out before another
        assert len(assignment.micro_batches) == -(-len(pack(lengths, pack_length)) // ranks)
        sizes = [[sum(lengths[row - 100] for row in pack_) for pack_ in each] for each in assignment.micro_batches]
        assert max(size for each in sizes for size in each) <= pack_length
        assert assignment.counts.tokens == sum(lengths)
        assert assignment.counts.idle == sum(max(each) * ranks - sum(each) for each in sizes)


def test_ranks_hardly_wait_for_each_other() -> None:
    """128 rows of the CoIT kind on 8 ranks: padded lock-step wastes 62% there."""
    draw = np.random.default_rng(1)
    idle = tokens = 0
    for _ in range(20):
        lengths = draw.gamma(2.0, 94.0, 128).astype(int).clip(4, 512).tolist()
        assignment = assign_packs(range(128), lengths, 4096, 8)
        idle, tokens = idle + assignment.counts.idle, tokens + assignment.counts.tokens
    assert idle / (idle + tokens) < 0.01


@pytest.mark.parametrize(
    ("lengths", "ranks", "micro_batches"),
    [
        ([4, 3, 2, 1], 2, [[[0, 3], [1, 2]]]),
        ([9], 2, [[[0], []]]),
        ([12, 3], 1, [[[0]], [[1]]]),  # a row longer than a pack has one of its own
        ([6, 6, 4, 4], 2, [[[0, 2], [1, 3]]]),
    ],
)
def test_assignments_by_hand(lengths: list[int], ranks: int, micro_batches: list[list[list[int]]]) -> None:
    assert assign_packs(range(len(lengths)), lengths, 10, ranks).micro_batches == micro_batches
