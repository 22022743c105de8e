"""Models that look at the examples: two tasks may ask them the same of unlike ones."""

from dataclasses import replace
from pathlib import Path

from xlingual.cli.progress import SilentRunObserver
from xlingual.declared import read_family
from xlingual.planning import RunSettings
from xlingual.plugin import DataSource, ModelOptions
from xlingual.records import Response, RunRecord
from xlingual.run import evaluate
from xlingual.selection import open_model

BARE = """\
description = "d"
licence = "CC0"
citation = "c"
version = "1"
prompt = "Translate: {text}\\n"
where = { language = "{language}" }
languages = ["de", "tr"]
metrics = ["squad_em"]
rows = [
    { language = "de", text = "one", answer = "eins" },
    { language = "de", text = "two", answer = "zwei" },
    { language = "tr", text = "one", answer = "bir" },
    { language = "tr", text = "two", answer = "iki" },
]
"""


class Counter(SilentRunObserver):
    """An observer that counts answers."""

    def __init__(self) -> None:
        self.answers = 0

    def answered(self, task: str, response: Response) -> None:
        self.answers += 1


def _score(record: RunRecord) -> float | None:
    return record.estimates[0].value


def test_tasks_that_ask_the_same_of_unlike_examples_each_get_their_own_answer(tmp_path: Path) -> None:
    """A prompt that does not name its target language: the oracle answers in that of the task all the same."""
    path = tmp_path / "bare.toml"
    path.write_text(BARE, encoding="utf-8")
    tasks = list(read_family(path).tasks())
    source = DataSource(folder=None, sample=False, offline=True)
    settings = RunSettings(data_source=source, out=tmp_path / "out")
    oracle, watch = open_model("oracle", ModelOptions()), Counter()
    first = evaluate(oracle, tasks[:1], settings, watch)
    both = evaluate(oracle, tasks, settings, watch)  # the answers of the one are not taken over by the other
    assert watch.answers == 4
    again = evaluate(oracle, tasks, replace(settings, fresh=True), watch)
    assert watch.answers == 8
    assert [_score(each) for each in [*first, *both, *again]] == [100.0] * 5
