"""An answer in which there is nothing to extract is wrong, whatever the gold answer, the language and the metric."""

import random
from dataclasses import replace

from xlingual.answers import AnswerReading
from xlingual.languages import LANGUAGES
from xlingual.metrics import METRIC_NAMES, find_metric
from xlingual.plugin import GenerationTask
from xlingual.records import Example, Examples, Finish, Prompt, Response
from xlingual.scoring import score_answers
from xlingual.selection import select_tasks

NAMES = tuple(
    name for name in METRIC_NAMES if getattr(find_metric(name), "exact", False) or name.startswith("containment")
)
GOLDS = ("A", "the", "An", "!", "—", "…", "die", "la", "ال", "của", "。", "B", "Paris", "1,234")
"""Rules leave nothing of most of them: articles and punctuation."""


def test_an_answer_without_anything_to_extract_is_wrong() -> None:
    drawn, spec = random.Random(20261126), select_tasks(["xquad/en"], [])[0].spec
    assert len(NAMES) == 6
    for language in ("en", "es", "vi", "de", "ar", *drawn.sample([*LANGUAGES], 5)):
        task = GenerationTask(
            spec=replace(spec, language=language, metrics=NAMES),
            read=lambda _split, _source: Examples(rows=(), files=()),
            ask=lambda _example: Prompt(instruction="", before="", passage="", after=""),
        )
        examples = [
            Example(id=gold, language=language, group=gold, cluster=gold, fields={}, targets=(gold, "x"))
            for gold in drawn.sample(GOLDS, 10)
        ]
        said = [drawn.choice(("", "none", "?", "I do not know", "the")) for _ in examples]
        answers = [
            Response(key="k", text=text, failure=None, finish=Finish.EOS, prompt_tokens=None, tokens=None)
            for text in said
        ]
        scores = score_answers(task, examples, answers, AnswerReading(extract="boxed"))
        for name in NAMES:
            assert scores.statistics[name] == ((0.0, 1.0),) * 10, (name, language)
