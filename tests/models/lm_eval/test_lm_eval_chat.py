"""Tasks of lm-eval's through the chat template: the requests and scores of its own `apply_chat_template`."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, cast

import pytest

from xlingual.cli.progress import SilentRunObserver
from xlingual.errors import UsageError
from xlingual.planning import RunSettings, TaskPlan, plan_task
from xlingual.plugin import ChatTask, DataSource, ModelOptions, SelfScoredTask, Task, Trainable
from xlingual.question_settings import QuestionSettings
from xlingual.records import Form, Role
from xlingual.run import evaluate
from xlingual.selection import open_model, select_tasks
from xlingual.thinking import ThinkingMode

pytest.importorskip("lm_eval", reason="needs the extra `lm-eval`")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

ROWS = [
    {"question": "Where?", "choices": ["in Poland", "nowhere"], "gold": 0},
    {"question": "中国的首都是", "choices": ["Αθήνα", "北京"], "gold": 1},
    {"question": "Who jumps?", "choices": ["Vistula", "the fox"], "gold": 1},
]
COMMON = "dataset_path: json\ntest_split: train\ndataset_kwargs: {data_files: FILE}\nmetadata: {version: 1.0}\n"
CHOICE = (
    "output_type: multiple_choice\ndoc_to_text: 'Q: {{question}}'\ndoc_to_choice: '{{choices}}'\ndoc_to_target: gold\n"
)
SHOTS = "fewshot_split: train\nnum_fewshot: 1\ndescription: 'Answer.'\n"
ANSWER = (
    "output_type: generate_until\ndoc_to_text: '{{question}}'\ndoc_to_target: '{{choices[gold]}}'\n"
    "generation_kwargs: {until: ['e'], max_gen_toks: 6, do_sample: false}\n"
)
ACC, EXACT = ("metric_list:\n  - {metric: " + name + "}\n" for name in ("acc", "exact_match"))
TASKS = {
    "chat_choice": CHOICE + ACC + "  - {metric: acc_norm}\n",
    "chat_choice_shots": CHOICE + SHOTS + ACC,
    "chat_answer": ANSWER + EXACT,
    "chat_answer_shots": ANSWER + SHOTS + EXACT,
    "chat_ending": (
        "output_type: loglikelihood\ndoc_to_text: '{{question}}'\ndoc_to_target: ' {{choices[gold]}}'\n"
        "metric_list:\n  - {metric: perplexity}\n"
    ),
    "chat_text": (
        "output_type: loglikelihood_rolling\ndoc_to_text: ''\ndoc_to_target: '{{question * 3}}'\n"
        "metric_list:\n  - {metric: word_perplexity}\n"
    ),
}
REFUSED = {
    "chat_mutual": (CHOICE + ACC + "  - {metric: acc_mutual_info}\n", "a text of its own"),
    "chat_begun": (ANSWER + "gen_prefix: 'It is'\n" + EXACT, "an answer that is begun for the model"),
    "chat_contexts": (
        "output_type: multiple_choice\ndoc_to_text: '{{gold}}'\ndoc_to_choice: '{{choices}}'\n"
        "doc_to_target: question\n" + ACC,
        "a text of its own",
    ),
}


class HarnessModel(Protocol):
    """What is used of lm-eval's HFLM."""

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str: ...

    def tok_encode(self, string: str) -> list[int]: ...


SYSTEMS = (None, "Be brief.")
TURNS = (True, False)
SOURCE = DataSource(folder=None, sample=True, offline=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("chats")
    file = made / "rows.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in ROWS), encoding="utf-8")
    for name, body in {**TASKS, **{name: body for name, (body, _) in REFUSED.items()}}.items():
        (made / f"{name}.yaml").write_text(f"task: {name}\n" + COMMON.replace("FILE", str(file)) + body, "utf-8")
    return made


@pytest.fixture(autouse=True)
def environment(folder: Path, search_only: Callable[[Path], None]) -> None:
    search_only(folder)


@pytest.fixture(scope="module")
def their_model(greedy_llama: Path) -> Any:  # noqa: ANN401 - lm-eval carries no types
    get_model = importlib.import_module("lm_eval.api.registry").get_model
    return get_model("hf")(pretrained=str(greedy_llama), dtype="float32", device="cpu", batch_size=2)


def ours(name: str, *, template: bool = True, as_turns: bool = True, system: str | None = None) -> Task:
    [task] = select_tasks([f"lm-eval:{name}"], [])
    assert isinstance(task, ChatTask)
    return task.with_chat(template=template, as_turns=as_turns, system=system)


def theirs(folder: Path, name: str) -> Any:  # noqa: ANN401 - lm-eval carries no types
    manager = importlib.import_module("lm_eval.tasks").TaskManager(include_path=str(folder), include_defaults=False)
    [task] = manager.load([name])["tasks"].values()
    task.set_fewshot_seed(1234)
    return task


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("as_turns", TURNS)
@pytest.mark.parametrize("name", [name for name in TASKS if name != "chat_text"])
def test_prompts_are_lm_evals_token_for_token(
    name: str, as_turns: bool, system: str | None, folder: Path, their_model: HarnessModel, greedy_llama: Path
) -> None:
    other = theirs(folder, name)
    other.build_all_requests(
        system_instruction=system, apply_chat_template=True, fewshot_as_multiturn=as_turns,
        chat_template=their_model.apply_chat_template,
    )  # fmt: skip
    contexts = {each.doc_id: their_model.tok_encode(each.args[0]) for each in other.instances}
    endings = [each.args[1] for each in other.instances if each.request_type == "loglikelihood"]
    task = ours(name, as_turns=as_turns, system=system)
    model = open_model(f"hf:{greedy_llama}", ModelOptions(device="cpu"))
    assert isinstance(task, SelfScoredTask)
    requests = [task.request(example) for example in task.examples(task.spec.split, SOURCE).rows]
    assert {each.form for each in requests} == {Form.CHAT}
    has_system = bool(system) or name.endswith("shots")
    assert all((each.messages[0].role is Role.SYSTEM) == has_system for each in requests)
    assert [list(cast(tuple[int, ...], ids)) for ids in cast(Trainable, model).prompt_ids(requests)] == [
        contexts[place] for place in range(len(ROWS))
    ]
    assert [choice.text for each in requests for choice in each.choices or ()] == endings


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("template", [True, False])
@pytest.mark.parametrize("name", sorted(TASKS))
def test_scores_are_lm_evals(
    name: str,
    template: bool,
    system: str | None,
    folder: Path,
    their_model: HarnessModel,
    greedy_llama: Path,
    tmp_path: Path,
) -> None:
    manager = importlib.import_module("lm_eval.tasks").TaskManager(include_path=str(folder), include_defaults=False)
    found = importlib.import_module("lm_eval").simple_evaluate(
        model=their_model, tasks=[name], task_manager=manager, bootstrap_iters=0, log_samples=False,
        apply_chat_template=template, fewshot_as_multiturn=template, system_instruction=system,
    )["results"][name]  # fmt: skip
    task = ours(name, template=template, as_turns=template, system=system)
    settings = RunSettings(data_source=SOURCE, out=tmp_path)
    [record] = evaluate(
        open_model(f"hf:{greedy_llama}", ModelOptions(device="cpu")), [task], settings, SilentRunObserver()
    )
    assert record.complete
    for estimate in record.estimates:
        _, label, aggregation, *_ = estimate.metric.split(":")
        scale = 1.0 if "perplexity" in aggregation else 100.0
        assert estimate.value == pytest.approx(float(found[f"{label},none"]) * scale, rel=1e-4, abs=1e-4)


def test_the_options_of_eval_mean_what_those_of_lm_eval_do(greedy_llama: Path, tmp_path: Path) -> None:
    """`--template chat`, `--system TEXT` and demonstrations as one text: four runs of their own, asked as said."""
    asked, folders = [], set()
    for template, question in (
        ("auto", QuestionSettings()),
        ("auto", QuestionSettings(system="Be brief.")),
        ("chat", QuestionSettings(system="Be brief.")),
        ("chat", QuestionSettings(system="Be brief.", shots_as_text=True)),
    ):
        settings = RunSettings(data_source=SOURCE, out=tmp_path, template=template, question=question)
        model = open_model(f"hf:{greedy_llama}", ModelOptions(device="cpu"))
        plan = plan_task(select_tasks(["lm-eval:chat_answer_shots"], [])[0], model, settings)
        request = plan.fitted[0].request
        asked.append((plan.template, plan.protocol.system, request.form, [each.role for each in request.messages]))
        folders.add(plan.folder)
    assert len(folders) == 4
    own, chat, system, user, assistant = "own", "own, chat", Role.SYSTEM, Role.USER, Role.ASSISTANT
    assert asked == [
        (own, None, Form.TEXT, [user]),
        (own, "Be brief.", Form.TEXT, [user]),
        (chat, "Be brief.", Form.CHAT, [system, user, assistant, user]),
        (chat, "Be brief.", Form.CHAT, [system, user]),
    ]


def test_thinking_is_asked_for_in_chats_only(tmp_path: Path) -> None:
    model = open_model("echo", ModelOptions())
    question = QuestionSettings(thinking=ThinkingMode.OFF, max_thinking_tokens=7)

    def plan(name: str, template: str) -> TaskPlan:
        settings = RunSettings(data_source=SOURCE, out=tmp_path, template=template, question=question)
        return plan_task(select_tasks([f"lm-eval:{name}"], [])[0], model, settings)

    asked = {(each.request.thinking, each.request.max_thinking_tokens) for each in plan("chat_answer", "chat").fitted}
    assert asked == {(ThinkingMode.OFF, 7)}
    with pytest.raises(UsageError, match="without the chat template"):
        plan("chat_answer", "auto")
    assert {each.request.thinking for each in plan("chat_choice", "auto").fitted} == {None}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_no_chat_is_refused_with_the_reason(name: str) -> None:
    task = ours(name)
    assert isinstance(task, SelfScoredTask)
    with pytest.raises(UsageError, match=REFUSED[name][1]):
        [task.request(example) for example in task.examples(task.spec.split, SOURCE).rows]
    plain = ours(name, template=False)
    assert isinstance(plain, SelfScoredTask)
    assert [plain.request(each).form for each in plain.examples(plain.spec.split, SOURCE).rows] == [Form.TEXT] * 3


def test_the_same_task_can_be_asked_in_both_ways() -> None:
    """One reads its questions after the other; the demonstrations are drawn anew, the same for both."""
    [plain] = select_tasks(["lm-eval:chat_answer_shots"], [])
    assert isinstance(plain, ChatTask)
    assert isinstance(plain, SelfScoredTask)
    chat = plain.with_chat(template=True, as_turns=True, system=None)
    assert isinstance(chat, SelfScoredTask)
    said = []
    for task in (plain, chat, plain):
        rows = cast(Task, task).examples("train", SOURCE).rows
        said.append([[message.text for message in task.request(row).messages] for row in rows])
    assert said[0] == said[2]
    for [text], (system, *turns) in zip(said[0], said[1], strict=True):
        assert text.startswith(system)
        assert all(turn in text for turn in turns)
