"""How questions are put: what the task says, what the user says, and who wins."""

from dataclasses import replace
from pathlib import Path

import pytest

from xlingual.errors import UsageError
from xlingual.planning import RunSettings, TaskPlan, plan_task
from xlingual.plugin import DataSource, GenerationTask, ModelOptions, Task
from xlingual.plugin_checks.tasks import CheckedTask
from xlingual.question_settings import (
    QuestionSettings,
    SamplingChoice,
    sampling_notes,
    settle_question,
    word_tasks,
)
from xlingual.records import ModelSpec, Role, TaskSpec
from xlingual.sampling import Sampling, sample_sampling
from xlingual.selection import open_model, select_tasks
from xlingual.serial import to_json
from xlingual.thinking import ThinkingMode

SAMPLE = DataSource(folder=None, sample=True, offline=True)
WARM = Sampling(temperature=0.7, top_p=0.9)


def _task(name: str = "xquad/en") -> Task:
    return select_tasks([name], [])[0]


def _spec(sampling: Sampling | None = None, repeats: int | None = None) -> TaskSpec:
    return replace(_task().spec, sampling=sampling, repeats=repeats)


def _model(sampling: Sampling | None = None, template: str = "chat") -> ModelSpec:
    return replace(open_model("echo", ModelOptions()).spec, sampling=sampling, template=template)


OWN = Sampling(temperature=0.3, top_k=20)


@pytest.mark.parametrize(
    ("choice", "task", "expected", "source"),
    [
        (SamplingChoice(), None, None, None),
        (SamplingChoice(), WARM, WARM, None),
        (SamplingChoice(temperature=0.0), WARM, None, None),
        (SamplingChoice(source="greedy"), WARM, None, None),
        (SamplingChoice(temperature=0.5), None, Sampling(temperature=0.5), None),
        (SamplingChoice(temperature=0.5), WARM, Sampling(temperature=0.5, top_p=0.9), None),
        (SamplingChoice(top_p=0.5), WARM, Sampling(temperature=0.7, top_p=0.5), None),
        (SamplingChoice(seed=3), WARM, replace(WARM, seed=3), None),
        (SamplingChoice(source="model"), WARM, OWN, "model"),
        (SamplingChoice(source="model", seed=4), None, replace(OWN, seed=4), "model"),
        (SamplingChoice(source="model", min_p=0.1), None, replace(OWN, min_p=0.1), None),
        (SamplingChoice(source="greedy", temperature=0.2), WARM, Sampling(temperature=0.2), None),
    ],
)
def test_who_decides_how_answers_are_drawn(
    choice: SamplingChoice, task: Sampling | None, expected: Sampling | None, source: str | None
) -> None:
    settled = settle_question(_spec(task), _model(OWN), QuestionSettings(sampling=choice))
    assert (settled.sampling, settled.sampling_source) == (expected, source)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (QuestionSettings(sampling=SamplingChoice(top_p=0.5)), "--top-p: answers are greedy here"),
        (QuestionSettings(sampling=SamplingChoice(min_p=0.5)), "--min-p: answers are greedy here"),
        (QuestionSettings(repeats=4), "--repeats: 4 greedy answers are one answer 4 times"),
        (QuestionSettings(extract="last_numbr"), "extract: 'last_numbr' extracts nothing"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: QuestionSettings, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        settle_question(_spec(), _model(), settings)
    assert str(caught.value) == words
    assert caught.value.hint


def test_a_task_of_choices_generates_nothing_so_nothing_of_generation_holds() -> None:
    spec = replace(_spec(WARM, 4), max_new_tokens=0, system="Be brief.", extract="last_number")
    settings = QuestionSettings(thinking=ThinkingMode.ON, max_thinking_tokens=5, repeats=3)
    settled = settle_question(spec, _model(), settings)
    assert (settled.sampling, settled.repeats, settled.thinking, settled.extract) == (None, None, None, None)
    assert settled.system == "Be brief."


def test_the_seed_of_a_sample_follows_from_run_example_and_repeat_alone() -> None:
    seeds = {
        sample_sampling(Sampling(temperature=1.0, seed=seed), example, repeat).seed
        for seed in (0, 1)
        for example in ("a", "b")
        for repeat in (0, 1)
    }
    assert len(seeds) == 8
    assert sample_sampling(WARM, "a", 0) == sample_sampling(WARM, "a", 0)
    assert sample_sampling(WARM, "a", 0).top_p == 0.9


def _plan(task: Task, question: QuestionSettings, *, shots: int = 0, template: str = "chat") -> TaskPlan:
    model = open_model("echo", ModelOptions())
    object.__setattr__(model, "spec", _model(template=template))
    return plan_task(task, model, RunSettings(data_source=SAMPLE, out=Path("out"), shots=shots, question=question))


def test_the_same_settings_leave_every_older_folder_where_it_was() -> None:
    """The protocol of a run without any of this reads and hashes as before there was any of it."""
    protocol = _plan(_task(), QuestionSettings()).protocol
    known = to_json(protocol)
    assert isinstance(known, dict)
    names = "task task_version split data n limit prompts template shots seed max_new_tokens stop on_overflow"
    assert set(known) == set(names.split())


def test_a_system_message_comes_first_in_every_form() -> None:
    question = QuestionSettings(system="Be brief.")
    for template in ("chat", "raw", "alpaca"):
        plan = _plan(_task(), question, template=template)
        first = plan.fitted[0].request.messages[0]
        if template == "chat":
            assert (first.role, first.text) == (Role.SYSTEM, "Be brief.")
        else:
            assert first.text.startswith("Be brief.\n\n")
        assert plan.protocol.system == "Be brief."
        assert plan.folder != _plan(_task(), QuestionSettings(), template=template).folder


def test_the_user_s_system_message_goes_before_the_task_s_and_an_empty_one_is_none() -> None:
    checked = _task()
    assert isinstance(checked, CheckedTask)
    task = checked.task
    assert isinstance(task, GenerationTask)
    task = replace(task, spec=replace(task.spec, system="Answer in one word."))
    assert _plan(task, QuestionSettings()).protocol.system == "Answer in one word."
    assert _plan(task, QuestionSettings(system="Be brief.")).protocol.system == "Be brief."
    assert _plan(task, QuestionSettings(system="")).protocol.system is None


def test_demonstrations_are_turns_or_stand_in_the_one_message() -> None:
    turns = _plan(_task(), QuestionSettings(), shots=2)
    text = _plan(_task(), QuestionSettings(shots_as_text=True), shots=2)
    assert [message.role for message in turns.fitted[0].request.messages] == [Role.USER, Role.ASSISTANT] * 2 + [
        Role.USER
    ]
    [message] = text.fitted[0].request.messages
    for shot in text.demonstrations:
        assert f"{shot.prompt.input}{shot.answer}\n\n" in message.text
    assert message.text.count(text.demonstrations[0].prompt.instruction) == 1
    assert (turns.protocol.shots_as_text, text.protocol.shots_as_text) == (None, True)
    assert turns.folder != text.folder


def test_repeats_ask_each_question_so_often_each_with_a_seed_of_its_own() -> None:
    question = QuestionSettings(sampling=SamplingChoice(temperature=0.5), repeats=3)
    plan = _plan(_task(), question)
    assert len(plan.fitted) == len(plan.examples) == 72
    assert plan.protocol.n == 24
    assert [example.id for example in plan.examples[:4]] == [plan.examples[0].id] * 3 + [plan.examples[3].id]
    assert len({fitted.request.key for fitted in plan.fitted}) == 72
    seeds = [fitted.request.sampling.seed for fitted in plan.fitted if fitted.request.sampling]
    assert len(set(seeds)) == 72
    alone = _plan(_task(), replace(question, repeats=1))
    assert [each.request.key for each in alone.fitted] == [each.request.key for each in plan.fitted[::3]]


def test_thinking_is_part_of_every_request_and_of_the_protocol() -> None:
    question = QuestionSettings(thinking=ThinkingMode.OFF, max_thinking_tokens=64)
    plan = _plan(_task(), question)
    assert {(each.request.thinking, each.request.max_thinking_tokens) for each in plan.fitted} == {
        (ThinkingMode.OFF, 64)
    }
    assert (plan.protocol.thinking, plan.protocol.max_thinking_tokens) == (ThinkingMode.OFF, 64)
    assert {each.request.key for each in plan.fitted}.isdisjoint(
        each.request.key for each in _plan(_task(), QuestionSettings()).fitted
    )


@pytest.mark.parametrize(("word", "code"), [("en", "en"), ("native", None), ("de", None), (None, None)])
def test_the_instruction_is_asked_in_another_language(word: str | None, code: str | None) -> None:
    [task] = word_tasks([_task("xquad/de")], QuestionSettings(prompt_language=word))
    example = _task("xquad/en").examples("test", SAMPLE).rows[0]
    english = _task("xquad/en").prompt(example)
    assert (task.prompt(example) == english) is (code == "en")
    assert (task.spec.name, task.spec.language) == ("xquad/de", "de")
    assert task.spec.asked_in == code


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("xquad/de", QuestionSettings(prompt_language="tr"), "--prompt-language: xquad/de has no instruction in tr"),
        ("flores101/en-de", QuestionSettings(prompt_language="de"), "flores101/en-de has no instruction in de"),
        ("xquad/de", QuestionSettings(variants=("upside-down",)), "--variants: xquad/de has no wording 'upside-down'"),
    ],
)
def test_words_that_a_task_does_not_have_are_refused(name: str, settings: QuestionSettings, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        word_tasks([_task(name)], settings)
    assert words in str(caught.value)
    assert caught.value.hint.startswith("it has ")


def test_all_wordings_are_runs_of_their_own() -> None:
    tasks = word_tasks([_task("xquad/zh"), _task("flores101/en-zh")], QuestionSettings(variants=("all",)))
    assert [(task.spec.name, task.spec.variant) for task in tasks] == [
        ("xquad/zh", None),
        ("xquad/zh", "question-first"),
        ("xquad/zh", "no-instruction"),
        ("flores101/en-zh", None),
        ("flores101/en-zh", "labels"),
    ]
    example = _task("xquad/en").examples("test", SAMPLE).rows[0]
    prompts = [task.prompt(example) for task in tasks[:3]]
    assert prompts[1].before.startswith("问题: ")
    assert (prompts[2].instruction, prompts[2].input) == ("", prompts[0].input)


def test_language_and_wording_are_chosen_together() -> None:
    settings = QuestionSettings(prompt_language="en", variants=("question-first",))
    [task] = word_tasks([_task("xquad/zh")], settings)
    example = _task("xquad/en").examples("test", SAMPLE).rows[0]
    assert task.prompt(example).before.startswith("Question: ")
    assert (task.spec.asked_in, task.spec.variant, task.spec.language) == ("en", "question-first", "zh")


@pytest.mark.parametrize(
    ("choice", "own", "said"),
    [
        (SamplingChoice(source="model"), None, "no parameters of sampling, so its answers are greedy"),
        (SamplingChoice(source="model", seed=4), None, "so its answers are greedy"),
        (SamplingChoice(source="model", temperature=0.0), None, "so its answers are greedy"),
        (SamplingChoice(source="model", temperature=0.5), None, "so only what is given of them holds"),
        (SamplingChoice(source="model"), OWN, ""),
        (SamplingChoice(), None, ""),
        (SamplingChoice(source="greedy"), None, ""),
    ],
)
def test_a_model_that_recommends_no_sampling_is_said_to(
    choice: SamplingChoice, own: Sampling | None, said: str
) -> None:
    spec, model = _spec(), _model(own)
    settled = settle_question(spec, model, QuestionSettings(sampling=choice))
    notes = list(sampling_notes(spec, model, choice, settled))
    assert len(notes) == bool(said)
    assert all(note.startswith("--sampling model: echo recommends ") and said in note for note in notes)
    assert not list(sampling_notes(replace(spec, max_new_tokens=0), model, choice, settled))


def test_the_note_on_sampling_is_one_of_the_plan(tmp_path: Path) -> None:
    settings = RunSettings(
        data_source=SAMPLE, out=tmp_path, question=QuestionSettings(sampling=SamplingChoice(source="model"))
    )
    notes = plan_task(_task(), open_model("echo", ModelOptions()), settings).notes
    assert [note for note in notes if "greedy" in note]
