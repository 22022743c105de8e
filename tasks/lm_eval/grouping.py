"""lm-eval's groups as ours: which tasks they have, and of which metrics they have a score of their own."""

from collections.abc import Sequence

from xlingual.records import GroupMetric, TaskGroup

from .finding import HarnessGroup

FAMILY = "lm-eval"


def our_name(name: str, shots: int | None) -> str:
    """Return what a task or group of lm-eval's is called here: lm-eval/arc_easy, with the shots that were asked for."""
    return f"{FAMILY}/{name}" + ("" if shots is None else f"@{shots}")


def describe_groups(found: Sequence[HarnessGroup], shots: int | None) -> tuple[TaskGroup, ...]:
    """Return the groups that have a score of their own; the others are but names for several tasks."""
    return tuple(
        TaskGroup(
            name=our_name(group.name, shots),
            version=f"lm-eval group {group.version}",
            members=tuple(our_name(task.task_name, shots) for task in group.get_all_tasks()),
            metrics=tuple(
                GroupMetric(
                    metric=each.metric,
                    filters=None if each.filter_list is None else tuple(each.filter_list),
                    weight_by_size=bool(each.weight_by_size),
                )
                for each in group.aggregate_metric_list
            ),
        )
        for group in found
        if group.aggregate_metric_list
    )
