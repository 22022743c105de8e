"""A split of an evaluation task that no leaderboard tests on: "flores101/en-zh@dev", asked just as in evaluation."""

from xlingual import DataSource, Example, Examples, Prompt, Task
from xlingual.errors import UsageError
from xlingual.records import Corpus
from xlingual.registry import register_source
from xlingual.selection import select_tasks
from xlingual.text import did_you_mean


def ask(corpus: Corpus, example: Example, _number: int) -> Prompt:
    """Ask what the task asks."""
    return _find(corpus)[0].prompt(example)


@register_source("task", ask=ask)
def read(corpus: Corpus, data_source: DataSource) -> Examples:
    """Read the split; UsageError for one that is tested on, or that the task does not keep for other uses."""
    task, split = _find(corpus)
    spec = task.spec
    if split == spec.split:
        what = f"{spec.name} is tested on its {split} split"
        raise UsageError(what, where=corpus.name, hint=f"{spec.name}@{spec.shot_split} may be learnt"
                         if spec.shot_split not in (None, spec.split) else "no part of it may be learnt")  # fmt: skip
    if split != spec.shot_split:
        raise UsageError(f"{spec.name} has no split {split!r} to learn from", where=corpus.name,
                         hint=did_you_mean(split, [spec.shot_split or "none"]))  # fmt: skip
    if corpus.language != spec.language:
        raise UsageError(f"{spec.name} answers in {spec.language}, not {corpus.language}", where=corpus.name)
    return task.examples(split, data_source)


def _find(corpus: Corpus) -> tuple[Task, str]:
    name, _, split = corpus.path.partition("@")
    family = name.partition("/")[0]
    if (name, family) not in _FOUND:
        try:
            found = select_tasks([name], [])
        except UsageError as error:
            raise UsageError(f"no such task: {name!r}", where=corpus.name, hint=error.hint) from error
        if [each.spec.name for each in found] != [name]:
            raise UsageError(
                f"{name!r} is not the name of one task", where=corpus.name, hint=f"{found[0].spec.name}@dev"
            )
        _FOUND[name, family] = found[0]
    return _FOUND[name, family], split


_FOUND: dict[tuple[str, str], Task] = {}
"""Tasks that were looked up: a family may have ten thousand."""
