"""Scores of groups of tasks, computed from the scores of the tasks whenever they are shown.

    lm-eval/capitals_en   acc 50.0 of 40 examples
    lm-eval/capitals_zh   acc 20.0 of 10 examples       -> lm-eval/capitals   acc 44.0 of 50 examples

What a group is lies in OUT/MODEL-xxxxxxxx/group-NAME-xxxxxxxx.json, beside the folders of its tasks; its scores lie
nowhere, so that they never differ from those of the tasks. A group without a finished run of each task has none.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .files import pretty_json, read_json, write_atomically
from .identity import Json, content_hash, slug
from .metrics import LM_EVAL_PREFIX
from .plugin import GroupMember, Task
from .records import Counts, Estimate, GroupMetric, RunRecord, TaskGroup
from .serial import from_json, to_json

SCHEMA = 1
FILE = re.compile(r"group-.+-[0-9a-f]{8}\.json")
SEVERAL = "several"
"""Stands for what the tasks of a group do not share."""
SEVERAL_LANGUAGES = "mul"
"""The code of ISO 639 for several languages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredGroup:
    """What a group's file holds."""

    schema: int
    group: TaskGroup
    folders: tuple[str, ...]
    """Names of the run folders of its tasks, in their order."""


def groups_of(tasks: Iterable[Task]) -> list[TaskGroup]:
    """Return the groups that `tasks` were chosen with, each once, those with all of their tasks only."""
    chosen = list(tasks)
    names = {task.spec.name for task in chosen}
    found = {group.name: group for task in chosen if isinstance(task, GroupMember) for group in task.groups}
    return [group for group in found.values() if names.issuperset(group.members)]


def write_groups(groups: Sequence[TaskGroup], folders: dict[str, Path]) -> None:
    """Write the file of each group beside the run folders of its tasks, `folders` by the names of the tasks."""
    for group in groups:
        names = tuple(folders[name].name for name in group.members)
        stored = StoredGroup(schema=SCHEMA, group=group, folders=names)
        name = slug(group.name, content_hash([to_json(group), list(names)]))
        write_atomically(folders[group.members[0]].parent / f"group-{name}.json", pretty_json(to_json(stored)))


def is_group_file(path: Path) -> bool:
    """Return whether `path` is called as the file of a group is."""
    return FILE.fullmatch(path.name) is not None


def read_group(path: Path, where: str) -> StoredGroup:
    """Read the file of a group, called `where` in messages; DataError where it is none."""
    return from_json(StoredGroup, read_json(path, name=where), where=where)


def aggregate(groups: Iterable[TaskGroup], records: Sequence[RunRecord]) -> list[RunRecord]:
    """Return the record of each group for each model that has all of its tasks among `records`, limited alike.

    With a limit, a task that has no more examples than it is whole all the same.
    """
    models: dict[str, dict[str | None, dict[str, RunRecord]]] = {}
    for record in records:
        limits = models.setdefault(record.model.fingerprint, {})
        limits.setdefault(record.protocol.limit, {})[record.protocol.task] = record
    found = list(groups)
    return [
        _combine(group, [tasks[name] for name in group.members], limit)
        for limits in models.values()
        for limit, limited in limits.items()
        for tasks in [{**limits.get(None, {}), **limited}]
        for group in found
        if limited.keys() & set(group.members) and tasks.keys() >= set(group.members)
    ]


def _combine(group: TaskGroup, members: Sequence[RunRecord], limit: str | None) -> RunRecord:
    first = members[0]
    estimates = tuple(each for metric in group.metrics for each in _estimates(metric, members))
    protocols = [member.protocol for member in members]
    splits, languages = {each.split for each in protocols}, {member.language for member in members}
    protocol = replace(
        first.protocol,
        task=group.name,
        task_version=f"{group.version}, tasks {_short_hash([[each.task, each.task_version] for each in protocols])}",
        split=first.protocol.split if len(splits) == 1 else SEVERAL,
        data=content_hash([each.data for each in protocols]),
        prompts=content_hash([each.prompts for each in protocols]),
        n=sum(each.n for each in protocols),
        limit=limit,
        max_new_tokens=max(each.max_new_tokens for each in protocols),
    )
    return replace(
        first,
        protocol=protocol,
        language=first.language if len(languages) == 1 else SEVERAL_LANGUAGES,
        files=tuple(file for member in members for file in member.files),
        demonstrations=(),
        main_metric=estimates[0].metric,
        estimates=estimates,
        counts=_add([member.counts for member in members]),
        finished_at=max(member.finished_at for member in members),
    )


def _short_hash(value: Json) -> str:
    return content_hash(value)[:12]


def _estimates(metric: GroupMetric, members: Sequence[RunRecord]) -> list[Estimate]:
    """Return the group's score by each filter of one metric.

    Without named filters lm-eval takes those that any task has, in alphabetical order. A task without the metric, or
    without this filter, has no part in the score.
    """
    known = {_label(each): None for member in members for each in member.estimates}
    filters = metric.filters or tuple(sorted(_filter(label) for label in known if _base(label) == metric.metric))
    return [_estimate(metric, _join(metric.metric, each), members) for each in filters or ("none",)]


def _estimate(metric: GroupMetric, label: str, members: Sequence[RunRecord]) -> Estimate:
    parts = [(member, each) for member in members for each in member.estimates if _label(each) == label]
    names = {each.metric for _, each in parts}
    name = names.pop() if len(names) == 1 else f"{LM_EVAL_PREFIX}{label}:mean"
    weights = [member.counts.answered if metric.weight_by_size else 1 for member, _ in parts]
    gone = next((f"{member.protocol.task}: {each.reason}" for member, each in parts if each.value is None), None)
    reason = f"no task of the group has {metric.metric}" if not parts else gone
    values = [each.value for _, each in parts if each.value is not None]
    total = sum(weights)
    value = sum(v * w for v, w in zip(values, weights, strict=True)) / total if reason is None and total else None
    return Estimate(
        metric=name,
        value=value,
        low=None,
        high=None,
        n=sum(each.n for _, each in parts) if value is not None else 0,
        unscored=sum(each.unscored for _, each in parts),
        signature=f"{name}|mean of {len(parts)} of {len(members)} tasks|weight_by_size:{metric.weight_by_size}",
        reason=(reason or "no example was answered") if value is None else None,
        higher_is_better=next((each.higher_is_better for _, each in parts), None),
        bounds=next((each.bounds for _, each in parts), None),
    )


def _label(estimate: Estimate) -> str:
    """Return lm-eval's name of a metric, with the filter behind a comma where it is not "none"; else the name."""
    name = estimate.metric
    return name.split(":")[1] if name.startswith(LM_EVAL_PREFIX) else name


def _base(label: str) -> str:
    return label.partition(",")[0]


def _filter(label: str) -> str:
    return label.partition(",")[2] or "none"


def _join(metric: str, filter_name: str) -> str:
    return metric if filter_name == "none" else f"{metric},{filter_name}"


def _add(counts: Sequence[Counts]) -> Counts:
    return Counts(
        answered=sum(each.answered for each in counts),
        failed=sum(each.failed for each in counts),
        missing=sum(each.missing for each in counts),
        shots_dropped=sum(each.shots_dropped for each in counts),
        passages_cut=sum(each.passages_cut for each in counts),
        prompt_tokens=_total([each.prompt_tokens for each in counts]),
        tokens=_total([each.tokens for each in counts]),
        thinking_tokens=_total([each.thinking_tokens for each in counts]),
        unfinished_thinking=_total([each.unfinished_thinking for each in counts]),
        unextracted=_total([each.unextracted for each in counts]),
    )


def _total(values: Sequence[int | None]) -> int | None:
    known = [each for each in values if each is not None]
    return sum(known) if known else None
