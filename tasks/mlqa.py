"""MLQA: extractive questions on aligned Wikipedia passages in 7 languages, any pair of them (Lewis et al. 2020)."""

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
from xlingual.data import hub_files, mlqa_sources, question_files, squad_examples
from xlingual.languages import find_language
from xlingual.wording import question_wordings

LANGUAGES = ("ar", "de", "en", "es", "hi", "vi", "zh")
NAMES = {code: find_language(code).name for code in LANGUAGES}
CONTAINMENT = ("containment", "containment_first")
METRICS = (*CONTAINMENT, "mlqa_em", "mlqa_f1", "mlqa_fixed_em", "mlqa_fixed_f1", "squad_em", "squad_f1")
DIAGNOSTICS = ("off_target", "empty", "source_copy", "truncated", "passage_copy", "length_ratio")

HUB_SPLITS = {"dev": ("validation", "dev")}


@register_task("mlqa", default=LANGUAGES, scope=LANGUAGES)
def mlqa() -> Iterator[Task]:
    """Yield `mlqa/LANG`, then `mlqa/CONTEXT-QUESTION` for all 49 pairs; answers are in the context's language."""
    for language in LANGUAGES:
        yield _task(language, language, language)
    for context in LANGUAGES:
        for question in LANGUAGES:
            yield _task(f"{context}-{question}", context, question)


def _task(variant: str, context: str, question: str) -> Task:
    def read(split: str, data_source: DataSource) -> Examples:
        stem = f"{split}/{split}-context-{context}-question-{question}"
        file = f"{stem}.json"
        ref = DatasetRef(
            name=f"mlqa/{file}",
            candidates=question_files(("mlqa/MLQA_V1", "MLQA_V1", ""), stem)
            + hub_files(("mlqa", ""), f"mlqa.{context}.{question}", HUB_SPLITS.get(split, (split,))),
            sample=f"mlqa/MLQA_V1/{file}",
            remotes=mlqa_sources(split, context, question),
        )
        return squad_examples(locate(ref, data_source), context)

    def ask(example: Example) -> Prompt:
        return ask_question(context, context=example.fields["context"], question=example.fields["question"])

    spec = TaskSpec(
        name=f"mlqa/{variant}",
        language=context,
        prompt_language=context,
        metrics=METRICS + DIAGNOSTICS,
        version="1",
        split="test",
        shot_split="dev",
        splits=("dev", "test"),
        description=f"questions on Wikipedia paragraphs: context {NAMES[context]}, question {NAMES[question]}",
        max_new_tokens=512,
        licence="CC BY-SA 3.0",
        citation="Lewis et al. 2020, MLQA: Evaluating Cross-lingual Extractive Question Answering",
    )
    return GenerationTask(spec=spec, read=read, ask=ask, wordings=question_wordings(context))
