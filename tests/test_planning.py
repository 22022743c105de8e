"""Which examples, which demonstrations, which folder."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from xlingual.demonstrations import choose_demonstrations
from xlingual.errors import DataError, UsageError
from xlingual.planning import Limit, RunSettings, TaskPlan, parse_limit, plan_task
from xlingual.plugin import DataSource, GenerationTask, ModelOptions, Task
from xlingual.records import (
    Example,
    Examples,
    Form,
    Message,
    ModelSpec,
    Prompt,
    Request,
    Response,
    Role,
    Statistics,
    TaskSpec,
)
from xlingual.selection import open_model, select_tasks

SAMPLE = DataSource(folder=None, sample=True, offline=True)
START = RunSettings(data_source=SAMPLE, out=Path("out"))


def _plan(task: str, settings: RunSettings = START, model: str = "echo") -> TaskPlan:
    return plan_task(select_tasks([task], [])[0], open_model(model, ModelOptions()), settings)


@pytest.mark.parametrize(("word", "limit"), [("40", Limit(1, 40)), ("11-20", Limit(11, 20)), ("7-7", Limit(7, 7))])
def test_limits(word: str, limit: Limit) -> None:
    assert parse_limit(word) == limit


@pytest.mark.parametrize("word", ["0", "-1", "abc", "5-4", "1e9", "", "1-", "-"])
def test_words_that_are_no_limit(word: str) -> None:
    with pytest.raises(UsageError, match="is not a number of examples"):
        parse_limit(word)


def test_a_limit_takes_the_first_examples_and_is_marked() -> None:
    whole, part = _plan("xquad/en"), _plan("xquad/en", replace(START, limit=Limit(3, 5)))
    assert part.examples == whole.examples[2:5]
    assert (part.protocol.limit, part.protocol.n, part.suffix) == ("3-5", 3, "-limit-3-5")
    assert part.folder == whole.folder
    assert part.protocol.data == whole.protocol.data


def test_a_limit_beyond_the_end_takes_all_and_is_no_limit() -> None:
    plan = _plan("xquad/en", replace(START, limit=Limit(1, 10**9)))
    assert (plan.protocol.limit, plan.protocol.n) == (None, 24)
    with pytest.raises(UsageError, match="has only 24 examples"):
        _plan("xquad/en", replace(START, limit=Limit(25, 30)))


@pytest.mark.parametrize(
    "change",
    [
        lambda settings: replace(settings, template="alpaca"),
        lambda settings: replace(settings, shots=1),
        lambda settings: replace(settings, shots=1, seed=5),
        lambda settings: replace(settings, max_new_tokens=7),
        lambda settings: replace(settings, stop=("x",)),
        lambda settings: replace(settings, on_overflow="skip"),
        lambda settings: replace(settings, split="dev"),
    ],
)
def test_anything_that_can_change_a_score_has_a_folder_of_its_own(change: Callable[[RunSettings], RunSettings]) -> None:
    # MLQA, since its sample has both splits
    assert _plan("mlqa/en", change(START)).folder != _plan("mlqa/en").folder


def test_folders_differ_by_model_and_task() -> None:
    folders = {_plan(task, model=model).folder for task in ("xquad/en", "xquad/zh") for model in ("echo", "oracle")}
    assert len(folders) == 4
    assert len({folder.parent for folder in folders}) == 2


@pytest.mark.parametrize(("shots", "groups"), [(1, 1), (2, 2), (7, 7), (23, 23)])
def test_where_every_example_is_a_group_more_groups_are_held_out(shots: int, groups: int) -> None:
    task = select_tasks(["xquad/en"], [])[0]

    def read(split: str, data_source: DataSource) -> Examples:
        found = task.examples(split, data_source)
        return replace(found, rows=tuple(replace(row, group=row.id, cluster=row.id) for row in found.rows))

    own = GenerationTask(spec=task.spec, read=read, ask=task.prompt)
    plan = plan_task(own, open_model("echo", ModelOptions()), replace(START, shots=shots))
    assert len(plan.demonstrations) == shots
    assert len(plan.examples) == 24 - groups
    assert {shot.id for shot in plan.demonstrations}.isdisjoint(example.id for example in plan.examples)
    assert plan.notes == (f"{groups} of 24 examples are held out: demonstrations come from their groups",)


def test_all_groups_but_one_may_be_held_out_and_no_more() -> None:
    with pytest.raises(UsageError, match="has 23 examples for demonstrations") as caught:
        test_where_every_example_is_a_group_more_groups_are_held_out(24, 24)
    assert caught.value.hint == "use --shots 23 or fewer"


def test_demonstrations_of_xquad_come_from_articles_that_are_left_out() -> None:
    task = select_tasks(["xquad/en"], [])[0]
    rows = task.examples("test", SAMPLE).rows
    shots, evaluated = choose_demonstrations(task, rows, "test", replace(START, shots=3).demonstrations)
    group = {row.id: row.group for row in rows}
    held_out = {group[shot.id] for shot in shots}
    assert len(shots) == 3
    assert len(held_out) == 1
    assert {row.group for row in evaluated} == set(group.values()) - held_out
    assert len(evaluated) == 18


def test_demonstrations_are_the_same_questions_in_every_language() -> None:
    chosen = set()
    for language in ("en", "zh", "ar"):
        plan = _plan(f"xquad/{language}", replace(START, shots=2, seed=3))
        chosen.add(tuple(shot.id for shot in plan.demonstrations))
    assert len(chosen) == 1


def test_demonstrations_change_with_the_seed() -> None:
    plans = [_plan("flores101/en-zh", replace(START, shots=2, seed=seed)) for seed in range(6)]
    assert len({tuple(shot.id for shot in plan.demonstrations) for plan in plans}) > 2


def test_demonstrations_of_flores_come_from_dev_and_spread_over_sentences() -> None:
    plan = _plan("flores101/en-zh", replace(START, shots=5))
    assert len({shot.id for shot in plan.demonstrations}) == 5
    assert {shot.id for shot in plan.demonstrations}.isdisjoint(example.id for example in plan.examples)
    assert len(plan.examples) == 24


def test_more_demonstrations_than_there_are_examples() -> None:
    with pytest.raises(UsageError) as caught:
        _plan("flores101/en-zh", replace(START, shots=9))
    assert caught.value.hint == "use --shots 8 or fewer"


def test_a_forced_template_is_part_of_the_protocol() -> None:
    assert _plan("xquad/en").protocol.template == "native"
    assert _plan("xquad/en", replace(START, template="raw")).protocol.template == "native"
    assert _plan("xquad/en", replace(START, template="alpaca")).protocol.template == "alpaca"


def _versioned(task: Task, version: str) -> Task:
    return GenerationTask(spec=replace(task.spec, version=version), read=task.examples, ask=task.prompt)


def _other_data(task: Task) -> Task:
    def read(split: str, data_source: DataSource) -> Examples:
        found = task.examples(split, data_source)
        return replace(found, rows=(*found.rows[:-1], replace(found.rows[-1], targets=("another gold",))))

    return GenerationTask(spec=task.spec, read=read, ask=task.prompt)


def _other_prompt(task: Task) -> Task:
    def ask(example: Example) -> Prompt:
        return replace(task.prompt(example), instruction="Answer.")

    return GenerationTask(spec=task.spec, read=task.examples, ask=ask)


@pytest.mark.parametrize("change", [lambda task: _versioned(task, "2"), _other_data, _other_prompt])
def test_another_version_data_or_prompt_has_a_folder_of_its_own(change: Callable[[Task], Task]) -> None:
    task, model = select_tasks(["xquad/en"], [])[0], open_model("echo", ModelOptions())
    assert plan_task(change(task), model, START).folder != plan_task(task, model, START).folder
    same = _versioned(task, task.spec.version)
    assert plan_task(same, model, START).folder == plan_task(task, model, START).folder


@dataclass(frozen=True)
class Windowed:
    """A model of known window, asked for nothing here; it may be unable to count tokens."""

    spec: ModelSpec
    counts: bool

    def count_tokens(self, requests: Sequence[Request]) -> list[int] | None:
        return [len(request.messages[0].text) for request in requests] if self.counts else None

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        raise AssertionError("nothing may be asked")

    def close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True)
class OwnRequests:
    """A task that words its own requests, each with its own limit of 300 tokens."""

    spec: TaskSpec
    form: Form

    def examples(self, split: str, place: DataSource) -> Examples:
        return select_tasks(["xquad/en"], [])[0].examples(split, place)

    def prompt(self, example: Example) -> Prompt:
        return Prompt(instruction=example.id, before="", passage="", after="")

    def request(self, example: Example) -> Request:
        message = Message(role=Role.USER, text=example.fields["question"])
        return Request(key="", form=self.form, messages=(message,), stop=(), max_new_tokens=300)

    def judge(self, example: Example, response: Response) -> Mapping[str, Statistics]:
        return {}


def _foreign(form: Form = Form.TEXT) -> Task:
    spec = replace(select_tasks(["xquad/en"], [])[0].spec, name="theirs/en", max_new_tokens=300)
    return OwnRequests(spec, form)


def _windowed(window: int, *, counts: bool = True) -> Windowed:
    return Windowed(replace(open_model("echo", ModelOptions()).spec, context_length=window), counts)


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("policy", ["truncate", "skip", "error"])
@pytest.mark.parametrize(("own", "window"), [(True, 511), (True, 512), (False, 299), (False, 300)])
def test_a_limit_that_fills_the_window_is_refused_with_the_name_of_the_task(
    own: bool, window: int, policy: str, counts: bool
) -> None:
    task = select_tasks(["xquad/en"], [])[0] if own else _foreign()
    model, settings = _windowed(window, counts=counts), replace(START, on_overflow=policy)
    limit = 512 if own else 300
    with pytest.raises(UsageError) as caught:
        plan_task(task, model, replace(settings, max_new_tokens=512) if own else settings)
    assert str(caught.value) == (
        f"{task.spec.name}: {limit} new tokens leave no room for a prompt in a window of {window}"
    )
    assert caught.value.hint == f"choose --max-new-tokens below {window}"
    assert plan_task(task, model, replace(settings, max_new_tokens=4, on_overflow="skip")).protocol.max_new_tokens == 4
    with pytest.raises(UsageError, match=f"{window} new tokens leave no room"):
        plan_task(task, model, replace(settings, max_new_tokens=window))


@pytest.mark.parametrize(("window", "limit"), [(1024, 512), (1023, 511), (600, 300), (40, 20), (None, 512)])
def test_the_limit_of_answers_is_fitted_to_a_small_window_where_the_user_chose_none(
    window: int | None, limit: int
) -> None:
    model = Windowed(replace(open_model("echo", ModelOptions()).spec, context_length=window), counts=False)
    plan = plan_task(select_tasks(["xquad/en"], [])[0], model, START)
    assert plan.protocol.max_new_tokens == limit
    assert {fitted.request.max_new_tokens for fitted in plan.fitted} == {limit}
    told = [f"answers may have {limit} tokens, the task's own limit is 512"] if limit < 512 else []
    assert list(plan.notes) == told
    assert plan_task(select_tasks(["xquad/en"], [])[0], model, replace(START, max_new_tokens=8)).notes == ()


def test_a_foreign_prompt_keeps_its_end_and_what_cannot_be_cut_is_refused_or_skipped() -> None:
    plan = plan_task(_foreign(), _windowed(301), START)
    assert {fitted.request.messages[0].text for fitted in plan.fitted} == {"?"}
    assert not any(fitted.overflow for fitted in plan.fitted)
    with pytest.raises(DataError, match="no end of a prompt fits 1 tokens, what 300 new ones leave of 301"):
        plan_task(_foreign(Form.CHAT), _windowed(301), START)
    skipped = plan_task(_foreign(Form.CHAT), _windowed(301), replace(START, on_overflow="skip"))
    assert all(fitted.overflow for fitted in skipped.fitted)


def test_a_question_that_is_asked_twice_has_two_answers() -> None:
    task, model = select_tasks(["xquad/en"], [])[0], open_model("echo", ModelOptions())

    def read(split: str, data_source: DataSource) -> Examples:
        found = task.examples(split, data_source)
        return replace(found, rows=(*found.rows, replace(found.rows[0], id="again", targets=("another gold",))))

    plan = plan_task(GenerationTask(spec=task.spec, read=read, ask=task.prompt), model, START)
    keys = [fitted.request.key for fitted in plan.fitted]
    assert len(set(keys)) == 25
    assert plan.fitted[0].request.messages == plan.fitted[24].request.messages
