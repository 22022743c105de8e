"""Capitals: one question a line of `capitals/LANG.SPLIT.jsonl`, below the folder that `--data` names."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import xlingual as xl

WORDS = {"en": ("Answer the question.", "Answer: "), "vi": ("Hãy trả lời câu hỏi.", "Trả lời: ")}


@xl.register_task("capitals")
def capitals() -> Iterator[xl.Task]:
    """Yield `capitals/LANG`."""
    return (_task(language) for language in WORDS)


def _task(language: str) -> xl.Task:
    def read(split: str, source: xl.DataSource) -> xl.Examples:
        file = f"capitals/{language}.{split}.jsonl"
        found = xl.locate(xl.DatasetRef(name=file, candidates=(file,), sample=None, remotes=()), source)
        rows = []
        for line in xl.read_records(Path(found.path), {"id": str, "question": str, "answers": list[str]}):
            name, question = str(line.values["id"]), str(line.values["question"])
            rows.append(xl.Example(id=name, language=language, group=name, cluster=name, fields={"question": question},
                                   targets=tuple(cast(list[str], line.values["answers"]))))  # fmt: skip
        return xl.Examples(rows=tuple(rows), files=(found,))

    def ask(example: xl.Example) -> xl.Prompt:
        instruction, cue = WORDS[language]
        return xl.Prompt(instruction=instruction, before="", passage="", after=f"{example.fields['question']}\n{cue}")

    spec = xl.TaskSpec(name=f"capitals/{language}", language=language, prompt_language=language, version="1",
                       split="test", shot_split="dev", metrics=("squad_f1", "off_target"), max_new_tokens=16,
                       licence="CC0", citation="none")  # fmt: skip
    return xl.GenerationTask(spec=spec, read=read, ask=ask)
