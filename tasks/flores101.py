"""Flores-101: 3,001 sentences of English Wikimedia in 101 languages, by professionals (Goyal et al., TACL 2022)."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from xlingual import (
    LANGUAGES,
    DataFile,
    DatasetRef,
    DataSource,
    Example,
    Examples,
    GenerationTask,
    Prompt,
    Task,
    TaskSpec,
    ask_translation,
    read_parallel,
    register_task,
)
from xlingual.data import flores101_sources, locate
from xlingual.wording import ask_labelled

METRICS = ("chrf++", "spbleu", "spbleu_flores200", "bleu", "chrf++_cleaned", "bleu_cleaned")
DIAGNOSTICS = ("off_target", "empty", "source_copy", "truncated")
PAPER_DIRECTIONS = ("en-ar", "en-el", "en-hi", "en-tr", "en-vi", "en-zh")


@register_task("flores101", default=PAPER_DIRECTIONS, scope=("en-*",))
def flores101() -> Iterator[Task]:
    """Yield `flores101/SRC-TGT` for every direction: 997 sentences in dev, 1,012 in devtest."""
    for source in LANGUAGES:
        for target in LANGUAGES:
            if source != target:
                yield _task(source, target)


def _file(split: str, language: str, data_source: DataSource) -> DataFile:
    flores, flores200 = LANGUAGES[language].flores, f"{LANGUAGES[language].flores200}.{split}"
    file = f"{split}/{flores}.{split}"
    ref = DatasetRef(
        name=f"flores101/{file}",
        candidates=tuple(f"{folder}{file}" for folder in ("flores101/", "flores101_dataset/", ""))
        + tuple(f"{folder}{split}/{flores200}" for folder in ("flores200_dataset/", "flores200/", "flores101/", "")),
        sample=f"flores101/{file}",
        remotes=flores101_sources(split, flores),
    )
    found = locate(ref, data_source)
    from_flores200 = Path(found.path).name == flores200
    return replace(found, name=f"{found.name} (FLORES-200's {flores200})") if from_flores200 else found


def _task(source: str, target: str) -> Task:
    def read(split: str, data_source: DataSource) -> Examples:
        files = (_file(split, source, data_source), _file(split, target, data_source))
        return Examples(rows=read_parallel(*files, language=target, name=split), files=files)

    def ask(example: Example) -> Prompt:
        return ask_translation(source, target, example.fields["source"])

    def ask_with_labels(example: Example) -> Prompt:
        return ask_labelled(source, target, example.fields["source"])

    spec = TaskSpec(
        name=f"flores101/{source}-{target}",
        language=target,
        source_language=source,
        prompt_language="en",
        metrics=METRICS + DIAGNOSTICS,
        version="1",
        split="devtest",
        shot_split="dev",
        splits=("dev", "devtest"),
        description=f"sentences of Wikimedia: {LANGUAGES[source].name} into {LANGUAGES[target].name}",
        max_new_tokens=512,
        licence="CC BY-SA 4.0",
        citation="Goyal et al. 2022, The Flores-101 Evaluation Benchmark for Low-Resource and Multilingual MT",
    )
    return GenerationTask(spec=spec, read=read, ask=ask, wordings={("en", "labels"): ask_with_labels})
