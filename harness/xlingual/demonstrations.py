"""Which solved examples are shown before the question; the evaluated examples share nothing with them."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from .errors import UsageError
from .plugin import DataSource, Task
from .records import Demonstration, Example
from .text import single_line

SHOTS_PER_GROUP = 5
"""Demonstrations taken from one held-out article before another is held out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemonstrationChoice:
    """What the choice of demonstrations goes by."""

    shots: int
    seed: int
    data_source: DataSource


def choose_demonstrations(
    task: Task, rows: Sequence[Example], split: str, choice: DemonstrationChoice
) -> tuple[tuple[Demonstration, ...], tuple[Example, ...]]:
    """Return `shots` demonstrations and the examples to evaluate, which share nothing with them.

    Where demonstrations come from the evaluated split itself, the groups (articles) they are drawn from are left out of
    the evaluation; the choice goes by position and seed, so it is the same in every language of parallel data. Raises
    UsageError for a task without a few-shot form, and where there are fewer examples than `shots`.
    """
    if choice.shots == 0:
        return (), tuple(rows)
    shot_split = task.spec.shot_split
    if shot_split is None:
        raise UsageError(f"{task.spec.name} has no few-shot form", where="--shots", hint="use --shots 0")
    generator = random.Random(choice.seed)  # noqa: S311 (a seeded draw of examples, not a secret)
    if shot_split == split:
        held_out = _hold_out(rows, choice.shots, generator)
        pool = [row for row in rows if row.group in held_out]
        evaluated = tuple(row for row in rows if row.group not in held_out)
    else:
        evaluated = tuple(rows)
        seen = {single_line(text) for row in rows for text in (*row.fields.values(), *row.targets)}
        candidates = task.examples(shot_split, choice.data_source).rows
        pool = [row for row in candidates if not _texts(row) & seen]
    pool = [row for row in pool if row.demonstration or row.targets]
    picked = _spread(pool, choice.shots, generator)
    if len(picked) < choice.shots:
        raise UsageError(
            f"{task.spec.name} has {len(pool)} examples for demonstrations in {shot_split}",
            where="--shots",
            hint=f"use --shots {len(pool)} or fewer",
        )
    shots = tuple(
        Demonstration(id=row.id, prompt=task.prompt(row), answer=row.demonstration or row.targets[0]) for row in picked
    )
    return shots, evaluated


def _hold_out(rows: Sequence[Example], shots: int, generator: random.Random) -> set[str]:
    """Return the groups that demonstrations come from: one for every five, more where groups are small; never all."""
    sizes = Counter(row.group for row in rows)
    groups = list(dict.fromkeys(row.group for row in rows))
    most = len(groups) - 1
    held_out = generator.sample(groups, min(most, -(-shots // SHOTS_PER_GROUP)))
    others = [group for group in groups if group not in set(held_out)]
    missing = shots - sum(sizes[group] for group in held_out)
    if missing > 0:
        for group in generator.sample(others, max(0, most - len(held_out))):
            if missing <= 0:
                break
            held_out.append(group)
            missing -= sizes[group]
    return set(held_out)


def _texts(row: Example) -> set[str]:
    """The texts by which a demonstration would give an evaluated example away; answers and empty fields are none."""
    return {single_line(text) for text in row.fields.values()} - {""}


def _spread(pool: Sequence[Example], count: int, generator: random.Random) -> list[Example]:
    """Return up to `count` examples, from as many clusters as there are before any cluster gives a second."""
    shuffled = generator.sample(list(pool), len(pool))
    rank: dict[str, int] = {}
    order = []
    for index, row in enumerate(shuffled):
        rank[row.cluster] = rank.get(row.cluster, -1) + 1
        order.append((rank[row.cluster], index))
    return [shuffled[index] for _, index in sorted(order)[:count]]
