"""Which requests go to one worker together, and how those of a dead worker are asked again."""

import importlib
import random
from itertools import pairwise
from typing import Any

import pytest

from xlingual.records import Form, Message, Request, Role


def part(name: str) -> Any:  # noqa: ANN401 - a module of the plugin, which is none of the public names
    return importlib.import_module(f"xlingual.plugins.models.ray.{name}")


def request(text: str) -> Request:
    message = Message(role=Role.USER, text=text)
    return Request(key=text, form=Form.TEXT, messages=(message,), stop=(), max_new_tokens=8)


def drain(queue: Any) -> list[list[str]]:  # noqa: ANN401 - see above
    chunks = []
    while (chunk := queue.next()) is not None:
        chunks.append(list(chunk.requests))
    return chunks


@pytest.mark.parametrize(("count", "workers"), [(1, 4), (7, 2), (100, 1), (100, 3), (1190, 8), (5000, 2)])
def test_every_request_is_in_one_chunk_in_order_and_chunks_get_smaller(count: int, workers: int) -> None:
    texts = [f"{each:05}" for each in range(count)]
    shuffled = [request(text) for text in texts]
    random.Random(1).shuffle(shuffled)
    chunks = drain(part("chunks").make_queue(shuffled, workers))
    assert [text for chunk in chunks for text in chunk] == texts
    assert max(map(len, chunks)) <= part("chunks").MAX_CHUNK * 1.25
    if workers > 1:
        assert len(chunks[-1]) <= part("chunks").MIN_CHUNK * 1.25
        assert len(chunks) >= min(count, workers)
    if count >= 1000:
        assert len(chunks) >= 2 * workers


def test_chunks_are_cut_between_paragraphs() -> None:
    passages = [f"{passage} " * 30 for passage in "abcdefghijklmnopqrst"]
    texts = [f"{passage}question {each}" for passage in passages for each in range(11)]
    chunks = drain(part("chunks").make_queue([request(text) for text in texts], 2))
    assert len(chunks) >= 4
    assert not [chunk for chunk, after in pairwise(chunks) if chunk[-1][0] == after[0][0]]


def test_a_few_requests_are_divided_evenly() -> None:
    """20 questions alone take a model nearly as long as 40."""
    texts = [chr(0x4E00 + each) for each in range(40)]
    sizes = [len(chunk) for chunk in drain(part("chunks").make_queue([request(text) for text in texts], 2))]
    assert sizes == [20, 20]
    assert [len(chunk) for chunk in drain(part("chunks").make_queue([request(text) for text in texts], 1))] == [40]


def test_the_chunk_of_a_dead_worker_is_quartered_until_one_request_is_alone() -> None:
    texts = [chr(0x4E00 + each) for each in range(64)]  # nothing in common, so that the sizes are round
    queue = part("chunks").make_queue([request(text) for text in texts], 1)
    chunk = queue.next()
    sizes = [len(chunk.requests)]
    while queue.requeue(chunk) is None:
        chunk = queue.next()
        sizes.append(len(chunk.requests))
    assert sizes == [64, 16, 4, 1, 1, 1]
    left = [text for rest in drain(queue) for text in rest]
    assert sorted([*left, *chunk.requests]) == texts


def test_whatever_kills_workers_every_other_request_is_answered_once_and_a_killer_fails_after_three() -> None:
    drawn = random.Random(20261126)
    for _ in range(25):
        texts = [f"{drawn.choice('abकع中')}{each}" for each in range(drawn.randint(1, 120))]
        killers = set(drawn.sample(texts, min(len(texts), drawn.randint(0, 5))))
        queue = part("chunks").make_queue([request(text) for text in texts], drawn.randint(1, 6))
        answered, failed, alone = [], [], dict.fromkeys(killers, 0)
        while (chunk := queue.next()) is not None:
            asked = list(chunk.requests)
            drawn.shuffle(asked)  # a model answers in an order of its own
            chance = drawn.randint(0, len(asked)) if drawn.random() < 0.2 and len(asked) > 1 else len(asked)
            stop = next((place for place, text in enumerate(asked) if text in killers), chance)
            answered += asked[: min(stop, chance)]
            for text in asked[: min(stop, chance)]:
                del chunk.requests[text]
            if min(stop, chance) == len(asked):
                continue
            if len(chunk.requests) == 1 and set(chunk.requests) <= killers:
                alone[next(iter(chunk.requests))] += 1
            if (found := queue.requeue(chunk)) is not None:
                failed.append(found[0].key)
        assert sorted(answered) == sorted(set(texts) - killers)
        assert sorted(failed) == sorted(killers)
        assert set(alone.values()) <= {3}
