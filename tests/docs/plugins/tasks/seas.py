"""Seas: which of two seas a city lies at."""

from collections.abc import Iterator

from xlingual import ChoiceTask, DataSource, Example, Examples, Prompt, Task, TaskSpec, register_task

QUESTIONS = {"en": ("Which sea is at {}?", "Answer: "), "tr": ("{} hangi denizin kıyısındadır?", "Cevap: ")}
SEAS = {"en": {"Gdańsk": "the Baltic Sea", "Odesa": "the Black Sea"}, "tr": {"İzmir": "Ege", "Trabzon": "Karadeniz"}}


@register_task("seas")
def seas() -> Iterator[Task]:
    """Yield `seas/LANG`."""
    for language in QUESTIONS:
        yield _task(language)


def _task(language: str) -> Task:
    question, cue = QUESTIONS[language]
    choices = tuple(SEAS[language].values())

    def read(split: str, _source: DataSource) -> Examples:
        rows = [
            Example(id=city, language=language, group=city, cluster=city, fields={}, targets=(sea,), choices=choices)
            for city, sea in SEAS[language].items()
        ]
        return Examples(rows=tuple(rows), files=())

    def ask(example: Example) -> Prompt:
        return Prompt(instruction=question.format(example.id), before="", passage="", after=cue)

    spec = TaskSpec(
        name=f"seas/{language}",
        language=language,
        prompt_language=language,
        metrics=("accuracy", "accuracy_norm"),
        version="1",
        split="test",
        max_new_tokens=0,
        licence="CC0",
        citation="none",
    )
    return ChoiceTask(spec=spec, read=read, ask=ask)
