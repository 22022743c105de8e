"""Any task of lm-eval's as a task here: `lm-eval:TASK`, its own prompts, demonstrations, filters and metrics.

lm-eval's groups and tags stand for their tasks. `lm-eval:TASK@5` shows five demonstrations. Tasks of your own are found
in the folders that `$XLINGUAL_LM_EVAL_PATH` names, as by lm-eval's `--include_path`.
"""

import re
from collections.abc import Iterator

from xlingual import Task, register_task
from xlingual.errors import UsageError

from .faults import faults_of
from .finding import load_tasks
from .grouping import describe_groups
from .wrapping import wrap


def find(variant: str) -> list[Task]:
    """Return the tasks that `variant` stands for; UsageError where there are none that can be run here."""
    name, _, count = variant.partition("@")
    if not name or (count and not re.fullmatch(r"\d{1,3}", count)):
        raise UsageError(f"no task is named by {variant!r}", where="lm-eval", hint="lm-eval:TASK or lm-eval:TASK@SHOTS")
    shots = int(count) if count else None
    found = load_tasks(name)
    groups = describe_groups(found.groups, shots)
    with faults_of(f"lm-eval:{name}", "lm-eval cannot make the task"):
        return [wrap(task, shots, groups) for task in found.tasks]


@register_task("lm_eval", find=find)
def lm_eval() -> Iterator[Task]:
    """Yield nothing: lm-eval has fourteen thousand tasks, and making one reads its data; `find` makes what is named."""
    yield from ()
