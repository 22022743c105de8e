"""Steps: every row as often as drawn, the same on every machine; packs: cases by hand, and an exact lower bound."""

import numpy as np
import pytest

from xlingual.tune.order import order_epoch, steps_of_epoch
from xlingual.tune.packing import pack
from xlingual.tune.recipe_records import Norm, Schedule
from xlingual.tune.records import EncodedRows


def make_rows(lengths: list[int], draws: list[int]) -> EncodedRows:
    return EncodedRows(
        tokens=np.arange(sum(lengths), dtype=np.int32),
        offsets=np.cumsum([0, *lengths]),
        answer_starts=np.ones(len(lengths), dtype=np.int64),
        sources=np.zeros(len(lengths), dtype=np.int64),
        draws=np.array(draws),
    )


def make_schedule(*, rows: int | None = None, tokens: int | None = None) -> Schedule:
    return Schedule(
        epochs=2.0, rows_per_step=rows, tokens_per_step=tokens, learning_rate=1e-3, warmup=0.0, weight_decay=0.0,
        clip=1.0, norm=Norm.TOKEN,
    )  # fmt: skip


def test_an_epoch_draws_each_row_as_often_as_the_mix_says() -> None:
    rows = make_rows([3, 4, 5, 6], [1, 0, 2, 3])
    for epoch in range(3):
        assert np.bincount(order_epoch(rows, 7, epoch), minlength=4).tolist() == [1, 0, 2, 3]


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    rows = make_rows([2] * 50, [1] * 50)
    first = order_epoch(rows, 1, 0)
    assert order_epoch(rows, 1, 0).tolist() == first.tolist()
    assert order_epoch(rows, 1, 1).tolist() != first.tolist()
    assert order_epoch(rows, 2, 0).tolist() != first.tolist()


def test_steps_of_rows() -> None:
    rows = make_rows([2] * 10, [1] * 10)
    steps = steps_of_epoch(rows, make_schedule(rows=4), 0, 0)
    assert [len(step) for step in steps] == [4, 4, 2]
    assert np.concatenate(steps).tolist() == order_epoch(rows, 0, 0).tolist()


@pytest.mark.parametrize("most", [1, 5, 9, 17, 1000])
def test_steps_of_tokens_are_as_full_as_the_next_row_lets_them(most: int) -> None:
    lengths = [3, 5, 2, 9, 4, 4, 1, 7, 6, 2]
    rows = make_rows(lengths, [1, 2, 1, 1, 3, 1, 1, 1, 1, 2])
    steps = steps_of_epoch(rows, make_schedule(tokens=most), 3, 1)
    assert np.concatenate(steps).tolist() == order_epoch(rows, 3, 1).tolist()
    sums = [sum(lengths[row] for row in step) for step in steps]
    for step, total in enumerate(sums):
        assert total <= most or len(steps[step]) == 1
        if step + 1 < len(steps):
            assert total + lengths[steps[step + 1][0]] > most


@pytest.mark.parametrize(
    ("lengths", "capacity", "expected"),
    [
        ([], 10, []),
        ([4, 6, 3, 7], 10, [[3, 2], [1, 0]]),
        ([5, 5, 5], 10, [[0, 1], [2]]),
        ([8, 3, 2, 7], 10, [[0, 2], [3, 1]]),
        ([12, 3], 10, [[0], [1]]),
    ],
)
def test_packs_by_hand(lengths: list[int], capacity: int, expected: list[list[int]]) -> None:
    assert pack(lengths, capacity) == expected


def test_packs_of_many_rows_are_almost_full() -> None:
    generator = np.random.default_rng(0)
    lengths = generator.gamma(2.0, 94.0, 10_000).astype(int).clip(4, 512).tolist()
    packs = pack(lengths, 4096)
    assert sorted(item for each in packs for item in each) == list(range(10_000))
    assert max(sum(lengths[item] for item in each) for each in packs) <= 4096
    assert len(packs) == -(-sum(lengths) // 4096)
