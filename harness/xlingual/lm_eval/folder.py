"""The folder that lm-eval's `--include_path` takes: a small file for each task of ours, written when asked for."""

import json
from collections.abc import Sequence
from pathlib import Path

from ..data import cache_folder
from ..files import replace_whole
from ..identity import content_hash
from ..plugin import Task

PREFIX = "xlingual_"
"""Begins the names of our tasks in lm-eval."""
CLASS = "xlingual.lm_eval.task.XlingualTask"


MODEL_FILE = (
    "# Named before tasks that are not ours, this makes the model known: --tasks FOLDER/model.yaml,arc_easy\n"
    "group: xlingual_model\n"
    "task: []\n"
    "metadata: {version: 0, model: !function xlingual.lm_eval.model.XlingualLM}\n"
)
"""A group without tasks: reading it imports the module that registers the model."""


def lm_eval_name(task: str) -> str:
    """Return the name that `task` has in lm-eval: xlingual_xquad_zh for xquad/zh."""
    return PREFIX + task.replace("/", "_")


def write_folder(tasks: Sequence[Task], data: str | None) -> Path:
    """Write the files of `tasks`, whose data are in the folder `data`, and return the folder; None: as ever."""
    folder = cache_folder() / "lm-eval" / content_hash(["task files", 1, data])[:12]
    folder.mkdir(parents=True, exist_ok=True)
    files = {lm_eval_name(task.spec.name): _describe(task.spec.name, data) for task in tasks}
    for name, text in {**files, "model": MODEL_FILE}.items():
        with replace_whole(folder / f"{name}.yaml") as stream:
            stream.write(text.encode("utf-8"))
    return folder


def _describe(name: str, data: str | None) -> str:
    family = name.partition("/")[0]
    lines = [
        f"task: {json.dumps(lm_eval_name(name))}",
        f"class: !function {CLASS}",
        f"dataset_name: {json.dumps(name)}",
        f"tag: {json.dumps([PREFIX + family])}",
    ]
    if data is not None:
        lines.append(f"dataset_kwargs: {json.dumps({'data': data}, ensure_ascii=False)}")
    return "\n".join(lines) + "\n"
