"""Open instructions without a gold answer, in the place of the x-LLaMA paper's MI-Eval, whose data are not public.

Answers are stored and looked at by what needs no gold; `xlingual judge` scores them: docs/judging.md.
"""

from collections.abc import Iterator
from pathlib import Path

import xlingual as xl
from xlingual.errors import DataError
from xlingual.text import is_blank

METRICS = ("judge_win", "off_target", "empty", "source_copy", "truncated")
SEVEN = ("ar", "el", "en", "hi", "tr", "vi", "zh")
TEXTS = ("instruction", "prompt", "text")
"""What the field with the instruction is called: of MI-Eval and Alpaca, of HPLT's prompts, of Vicuna's questions."""
FIELDS = {**dict.fromkeys((*TEXTS, "input", "id"), str), "question_id": int}


@xl.register_task("instructions", default=SEVEN)
def instructions() -> Iterator[xl.Task]:
    """Yield `instructions/LANG`: every line of `instructions/LANG.jsonl` is asked as it stands."""
    for language in xl.LANGUAGES:
        yield _task(language)


def _task(language: str) -> xl.Task:
    name = xl.LANGUAGES[language].name
    files = (f"{language}.jsonl", f"test_{language}.jsonl", f"questions_{name}.jsonl")
    folders = ("instructions/", "mi-eval/", "hplt/test-data/", "test-data/", "vicuna80/", "")
    ref = xl.DatasetRef(
        name=f"instructions/{language}.jsonl",
        candidates=tuple(f"{folder}{file}" for folder in folders for file in files),
        sample=f"instructions/{language}.jsonl",
        remotes=(),
    )

    def read(_split: str, data_source: xl.DataSource) -> xl.Examples:
        found = xl.locate(ref, data_source)
        return xl.Examples(rows=tuple(_examples(Path(found.path), language)), files=(found,))

    spec = xl.TaskSpec(
        name=f"instructions/{language}",
        language=language,
        prompt_language=language,
        metrics=METRICS,
        version="1",
        split="test",
        splits=("test",),
        description="open instructions without a gold answer; a judge scores them",
        max_new_tokens=512,
        stop=(),
        licence="of the user's own file; the packaged sample: Apache-2.0",
        citation="in the place of MI-Eval, Zhu et al. 2023, arXiv 2308.04948",
    )
    return xl.GenerationTask(spec=spec, read=read, ask=_ask)


def _examples(path: Path, language: str) -> Iterator[xl.Example]:
    lines: dict[str, int] = {}
    for line in xl.read_records(path, FIELDS, optional=FIELDS):
        text = next((str(line.values[each]) for each in TEXTS if line.values.get(each)), "")
        if is_blank(text):
            raise DataError("holds no instruction", where=f"{path}:{line.line}", hint='{"id": ..., "instruction": ...}')
        name = str(line.values.get("id", line.values.get("question_id", f"line-{line.line}")))
        if lines.setdefault(name, line.line) != line.line:
            raise DataError(f"id {name!r} on lines {lines[name]} and {line.line}", where=f"{path}:{line.line}")
        given = {each: str(line.values[each]) for each in ("input",) if line.values.get(each)}
        fields = {"instruction": text, **given}
        yield xl.Example(id=name, language=language, group=name, cluster=name, fields=fields, targets=())


def _ask(example: xl.Example) -> xl.Prompt:
    return xl.Prompt(
        instruction=example.fields["instruction"], before="", passage=example.fields.get("input", ""), after=""
    )
