"""One border around the code of plugins: all that it returns is checked here, all that it raises is told here.

    tasks       the tasks of a family; a task's spec, examples, prompts and what else it offers
    models      a model's spec, counts and answers
    sources     readers of training text
    file_check  all of it on one file, for its author
    record_types, contract      types of records; what is said of them

Metrics have their own in `metrics/plugin_metric.py`. `selection` hands out nothing that has not passed here.
"""

from .models import checked_model
from .sources import checked_source
from .task_list import TaskList, list_tasks, made_tasks
from .tasks import checked_task

__all__ = ["TaskList", "checked_model", "checked_source", "checked_task", "list_tasks", "made_tasks"]
