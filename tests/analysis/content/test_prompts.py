"""What was given is read back from prompts: of every task, template, wording and number of demonstrations."""

import dataclasses
from pathlib import Path

import pytest

from xlingual.analysis.content.prompts import NOTHING, GivenTexts, PromptReader
from xlingual.errors import XlingualError
from xlingual.planning import RunSettings, plan_task
from xlingual.plugin import ModelOptions
from xlingual.question_settings import QuestionSettings
from xlingual.records import Example, RunRecord
from xlingual.selection import open_model, select_tasks
from xlingual.wording import QUESTION_WORDS

from ...board.factory import make_run
from .runs import SAMPLE


def read_back(name: str, template: str, shots: int, question: QuestionSettings) -> list[tuple[Example, GivenTexts]]:
    """Plan a run and read what its prompts give."""
    [task] = select_tasks([name], [])
    if question.prompt_language or question.variants:
        variant = question.variants[0] if question.variants else None
        task = task.reword(prompt_language=question.prompt_language, variant=variant)  # type: ignore[attr-defined]  # it can
    model = open_model("echo", ModelOptions())
    settings = RunSettings(
        data_source=SAMPLE, out=Path("out"), template=template, shots=shots, question=question,
        split="dev" if name.startswith("mgsm") else None,
    )  # fmt: skip
    plan = plan_task(task, model, settings)
    record = dataclasses.replace(make_run("m", name, 1.0), protocol=plan.protocol, template=plan.template)
    reader = PromptReader.of(record)
    messages = [[each.text for each in fitted.request.messages if each.role.value == "user"] for fitted in plan.fitted]
    return [(example, reader.read(texts)) for example, texts in zip(plan.examples, messages, strict=True)]


@pytest.mark.parametrize("template", ["chat", "alpaca", "raw"])
@pytest.mark.parametrize("shots", [0, 2])
@pytest.mark.parametrize("name", ["xquad/zh", "xquad/ar", "xquad/en", "mlqa/hi", "mlqa/vi"])
def test_questions_on_passages(name: str, template: str, shots: int) -> None:
    pairs = read_back(name, template, shots, QuestionSettings())
    assert len(pairs) > 5
    for example, given in pairs:
        fields = example.fields
        assert (given.passage, given.question, given.source) == (fields["context"], fields["question"], None)
        assert given.instruction == QUESTION_WORDS[name.partition("/")[2]].instruction


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize(
    ("language", "variants"),
    [("en", ()), (None, ("question-first",)), (None, ("no-instruction",)), ("en", ("question-first",))],
)
def test_other_wordings(language: str | None, variants: tuple[str, ...], as_text: bool) -> None:
    question = QuestionSettings(prompt_language=language, variants=variants, shots_as_text=as_text)
    for template in ("chat", "raw"):
        for example, given in read_back("xquad/el", template, 2, question):
            assert (given.passage, given.question) == (example.fields["context"], example.fields["question"])


@pytest.mark.parametrize("template", ["chat", "alpaca", "raw"])
@pytest.mark.parametrize("name", ["flores101/en-zh", "flores101/en-ar", "flores101/en-tr"])
def test_sentences_to_translate(name: str, template: str) -> None:
    for example, given in read_back(name, template, 0, QuestionSettings()):
        assert (given.passage, given.question, given.source) == (None, None, example.fields["source"])
        assert str(given.instruction).startswith("Translate the following sentences from English to")
    for example, given in read_back(name, template, 0, QuestionSettings(variants=("labels",), prompt_language="en")):
        assert given == GivenTexts(source=example.fields["source"])


def _record(task: str) -> RunRecord:
    return dataclasses.replace(make_run("m", task, 1.0), template="chat")


@pytest.mark.parametrize("task", ["no-such/zh", "xquad/xx", "xcopa/zh", "belebele/zh"])
def test_where_the_fields_cannot_be_found_nothing_is_given(task: str) -> None:
    assert PromptReader.of(_record(task)).read(["段落: 一\n问题: 二\n答案: "]) == NOTHING


def test_a_prompt_that_looks_otherwise_gives_nothing() -> None:
    reader = PromptReader.of(_record("xquad/zh"))
    for prompt in ([], [""], ["段落"], ["问题: 二\n答案: "], ["Context: a\nQuestion: b\nAnswer: "]):
        assert reader.read(prompt) == NOTHING
    words = "请根据以下段落，回答问题"
    assert reader.read(["段落: 一\n问题: 二\n答案: "]) == GivenTexts(passage="一", question="二", instruction=words)
    cut = reader.read(["指示\n\n段落: 一\n二\n\n三\n问题: 四？\n答案:\n\n### Response:"])
    assert cut == GivenTexts(passage="一\n二\n\n三", question="四？", instruction=words)


def test_a_plugin_that_breaks_on_marks_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import xlingual as xl\n\n\n@xl.register_task('odd')\ndef odd():\n    raise RuntimeError('none')\n    yield\n"
    )
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "odd.py").write_text(code, encoding="utf-8")
    monkeypatch.setenv("XLINGUAL_PLUGINS", str(tmp_path))
    with pytest.raises(XlingualError):
        select_tasks(["odd/zh"], [])
    assert PromptReader.of(_record("odd/zh")).read(["段落: 一"]) == NOTHING
