"""XQuAD: SQuAD v1.1 questions on Wikipedia paragraphs, translated by professionals (Artetxe et al., ACL 2020)."""

from collections.abc import Iterator

from xlingual import (
    DatasetRef,
    DataSource,
    Example,
    Examples,
    GenerationTask,
    Prompt,
    Task,
    TaskSpec,
    ask_question,
    locate,
    register_task,
)
from xlingual.data import hub_files, question_files, squad_examples, xquad_sources
from xlingual.wording import question_wordings

LANGUAGES = ("ar", "de", "el", "en", "es", "hi", "ro", "ru", "th", "tr", "vi", "zh")
CONTAINMENT = ("containment", "containment_first")
METRICS = (*CONTAINMENT, "mlqa_em", "mlqa_f1", "mlqa_fixed_em", "mlqa_fixed_f1", "squad_em", "squad_f1")
DIAGNOSTICS = ("off_target", "empty", "source_copy", "truncated", "passage_copy", "length_ratio")


@register_task("xquad")
def xquad() -> Iterator[Task]:
    """Yield `xquad/LANG`: 1,190 questions on 240 paragraphs of 48 articles in each language, one gold answer each."""
    for language in LANGUAGES:
        yield _task(language)


def _task(language: str) -> Task:
    file = f"xquad.{language}.json"
    ref = DatasetRef(
        name=f"xquad/{file}",
        candidates=question_files(("xquad", "", "xquad-master"), f"xquad.{language}")
        + hub_files(("xquad", ""), f"xquad.{language}", ("validation", "test")),
        sample=f"xquad/{file}",
        remotes=xquad_sources(language),
    )

    def read(_split: str, data_source: DataSource) -> Examples:
        return squad_examples(locate(ref, data_source), language)

    def ask(example: Example) -> Prompt:
        return ask_question(language, context=example.fields["context"], question=example.fields["question"])

    spec = TaskSpec(
        name=f"xquad/{language}",
        language=language,
        prompt_language=language,
        metrics=METRICS + DIAGNOSTICS,
        version="1",
        split="test",
        shot_split="test",
        splits=("test",),
        description="questions on Wikipedia paragraphs, SQuAD v1.1 translated by professionals",
        max_new_tokens=512,
        licence="CC BY-SA 4.0",
        citation="Artetxe et al. 2020, On the Cross-lingual Transferability of Monolingual Representations",
    )
    return GenerationTask(spec=spec, read=read, ask=ask, wordings=question_wordings(language))
