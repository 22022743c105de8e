"""Demonstrations of splits that nobody chose: they share no text, and of one split no group, with what is evaluated."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from xlingual.demonstrations import choose_demonstrations
from xlingual.errors import UsageError
from xlingual.planning import RunSettings
from xlingual.plugin import DataSource, GenerationTask
from xlingual.records import Example, Examples, Prompt
from xlingual.selection import select_tasks

SAMPLE = DataSource(folder=None, sample=True, offline=True)
START = RunSettings(data_source=SAMPLE, out=Path("out"))
SPACES = (" ", "  ", "\u00a0", "\n")


def examples(drawn: random.Random, name: str, texts: list[str]) -> list[Example]:
    """Return examples with a question of `texts`, in whatever white space, and a hint that many of them lack."""
    return [
        Example(
            id=f"{name}-{number}",
            language="en",
            group=f"g{drawn.randint(1, 6)}",
            cluster=f"c{drawn.randint(1, 9)}",
            fields={
                "question": drawn.choice(SPACES).join(drawn.choice(texts).split()),
                "hint": drawn.choice(["", " "]),
            },
            targets=("x",),
        )
        for number in range(drawn.randint(1, 30))
    ]


def seen(example: Example) -> str:
    return " ".join(example.fields["question"].split())


@pytest.mark.parametrize("shot_split", ["test", "dev"])
def test_demonstrations_share_nothing_with_what_is_evaluated(shot_split: str) -> None:
    drawn, found = random.Random(20261126), 0
    for _ in range(200):
        texts = [f"What is {number} of {number + 1}?" for number in range(drawn.randint(1, 40))]
        splits = {name: examples(drawn, name, texts) for name in ("test", "dev")}
        task = GenerationTask(
            spec=replace(select_tasks(["xquad/en"], [])[0].spec, shot_split=shot_split, splits=("test", "dev")),
            read=lambda split, _source, splits=splits: Examples(rows=tuple(splits[split]), files=()),  # type: ignore[misc]
            ask=lambda each: Prompt(instruction="", before="", passage="", after=each.fields["question"]),
        )
        rows, count = splits["test"], drawn.randint(1, 6)
        asked = {seen(each) for each in rows}
        settings = replace(START, shots=count, seed=drawn.randint(0, 99))
        free = [each for each in splits["dev"] if seen(each) not in asked]
        try:
            shots, evaluated = choose_demonstrations(task, rows, "test", settings.demonstrations)
        except UsageError:
            assert shot_split == "test" or len(free) < count
            continue
        found += 1
        by_id = {each.id: each for each in splits[shot_split]}
        shown = [by_id[shot.id] for shot in shots]
        assert len(set(by_id)) >= len({each.id for each in shown}) == count
        if shot_split == "test":
            assert {each.group for each in shown}.isdisjoint(each.group for each in evaluated)
            assert evaluated
        else:
            assert list(evaluated) == rows
            assert {seen(each) for each in shown}.isdisjoint(asked)
            assert len(free) >= count
    assert found > 50
