"""Our tasks in lm-eval: the same prompts, demonstrations and scores as in our own runs, and faults with a reason."""

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from xlingual import plugins
from xlingual.cli import run_command
from xlingual.cli.progress import SilentRunObserver
from xlingual.errors import DataError, ModelError, UsageError, XlingualError
from xlingual.planning import Limit, RunSettings
from xlingual.plugin import ChoiceTask, DataSource, ModelOptions, Task
from xlingual.records import Example, Examples, Form, Prompt, Request, Response, Role, RunRecord, TaskSpec
from xlingual.registry import TASKS, Family
from xlingual.run import evaluate
from xlingual.sampling import Sampling
from xlingual.selection import open_model, select_tasks
from xlingual.thinking import ThinkingMarkers, ThinkingMode

pytest.importorskip("lm_eval", reason="needs the extra `lm-eval`")

ERRANDS = Path(__file__).resolve().parents[2] / "docs" / "plugins"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

SAMPLE = DataSource(folder=None, sample=True, offline=True)


def part(name: str) -> Any:  # noqa: ANN401 - modules that need the extra
    return importlib.import_module(f"xlingual.lm_eval.{name}")


@pytest.fixture(scope="module")
def wide(greedy_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny Llama with a window for whole paragraphs in bytes."""
    folder = tmp_path_factory.mktemp("wide") / "llama"
    shutil.copytree(greedy_llama, folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 8192}), encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLINGUAL_CACHE", str(tmp_path / "cache"))


def capitals() -> Iterator[Task]:
    cities = {"France": "Paris", "Peru": "Lima", "Kenya": "Nairobi"}

    def read(_split: str, _data_source: DataSource) -> Examples:
        rows = [
            Example(
                id=land, language="en", group=land, cluster=land, fields={"land": land}, targets=(city,),
                choices=tuple(cities.values()),
            )
            for land, city in cities.items()
        ]  # fmt: skip
        return Examples(rows=tuple(rows), files=())

    def ask(example: Example) -> Prompt:
        return Prompt(instruction="Name the capital.", before="", passage="", after=f"Land: {example.id}\nCapital: ")

    spec = TaskSpec(
        name="capitals/en", language="en", prompt_language="en", metrics=("accuracy", "accuracy_norm"), version="1",
        split="test", max_new_tokens=0, licence="CC0", citation="none",
    )  # fmt: skip
    yield ChoiceTask(spec=spec, read=read, ask=ask)


@pytest.fixture
def with_capitals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TASKS, "_items", dict(TASKS._items))
    TASKS.add("capitals", Family(name="capitals", tasks=capitals, default=("*",), scope=("*",)), __name__)


def theirs(task: str, word: str, **options: Any) -> dict[str, float]:  # noqa: ANN401 - lm-eval's
    """Return lm-eval's scores of one of our tasks, by the files that our command writes."""
    folder = part("folder").write_folder(select_tasks([task], []), "sample")
    name = part("folder").lm_eval_name(task)
    manager = importlib.import_module("lm_eval.tasks").TaskManager(include_path=str(folder), include_defaults=False)
    part("model")
    found = importlib.import_module("lm_eval").simple_evaluate(
        model="xlingual", model_args={"model": word}, tasks=[name], task_manager=manager, bootstrap_iters=0,
        device="cuda:0", batch_size=1, log_samples=True, **options,
    )  # fmt: skip
    assert found["versions"][name] == "1"
    assert len(found["samples"][name]) == found["n-samples"][name]["effective"]
    return {key.partition(",")[0]: value for key, value in found["results"][name].items() if key.endswith(",none")}


def ours(task: str, word: str, settings: RunSettings) -> RunRecord:
    [record] = evaluate(open_model(word, ModelOptions()), select_tasks([task], []), settings, SilentRunObserver())
    return record


def same(record: RunRecord, found: Mapping[str, float]) -> int:
    compared = 0
    for estimate in record.estimates:
        if estimate.value is not None and estimate.metric != "truncated":  # lm-eval does not hear how answers end
            assert found[estimate.metric] == pytest.approx(estimate.value, abs=1e-6), estimate.metric
            compared += 1
    return compared


@pytest.mark.parametrize("template", ["raw", "chat"])
@pytest.mark.parametrize(("task", "scores"), [("xquad/zh", 9), ("flores101/en-zh", 4)])
def test_our_tasks_score_there_as_here(template: str, task: str, scores: int, wide: Path, tmp_path: Path) -> None:
    settings = RunSettings(
        data_source=SAMPLE, out=tmp_path, template=template, max_new_tokens=8, limit=Limit(1, 5), shots=1, seed=1234
    )
    record = ours(task, f"hf:{wide}", settings)
    found = theirs(
        task, f"hf:{wide}", limit=5, num_fewshot=1, gen_kwargs={"max_gen_toks": 8},
        apply_chat_template=template == "chat", fewshot_as_multiturn=template == "chat",
    )  # fmt: skip
    assert same(record, found) >= scores


def test_choices_score_there_as_here(with_capitals: None, wide: Path, tmp_path: Path) -> None:
    record = ours("capitals/en", f"hf:{wide}", RunSettings(data_source=SAMPLE, out=tmp_path, template="raw"))
    assert same(record, theirs("capitals/en", f"hf:{wide}")) == 2


def test_a_chain_of_thought_is_asked_and_read_there_as_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The stop string of the task, not the end of the first line; the last number, not the whole answer."""
    monkeypatch.setattr(plugins, "__path__", [*plugins.__path__, str(ERRANDS)])
    (tmp_path / "errands").mkdir()
    row = {"problem": "A book costs 12 and a pen 3. What do 2 books and a pen cost?", "result": "1027"}
    (tmp_path / "errands/en.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    config = {"task": "x", "dataset_name": "errands/en", "dataset_kwargs": {"data": str(tmp_path)}}
    task = part("task").XlingualTask(config)
    [doc] = task.test_docs()
    request = task.construct_requests(doc, task.fewshot_context(doc, 0))
    assert request.args[1]["until"] == ["\nProblem:"]
    for said, score in (
        ("<think>5</think>2 * 12 = 24, so it is 1,027.", 1.0),
        ("2 * 12 = 24.", 0.0),
        ("I do not know.", 0.0),
    ):
        assert task.process_results(doc, [said])["exact_match"] == (score, 1.0)
    assert task.process_results(doc, ["<think>1027"]) == {}
    TASKS.forget("errands")


def test_chats_come_through_as_they_are() -> None:
    chats = part("chats")
    history = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "中国\u2028?"}]
    form, messages = chats.read_prompt(chats.pack_chat(history))
    assert form is Form.CHAT
    assert [(each.role, each.text) for each in messages] == [(Role.SYSTEM, "Be brief."), (Role.USER, "中国\u2028?")]
    assert chats.read_prompt("") == (Form.TEXT, ())
    with pytest.raises(DataError, match="a message is by 'tool'"):
        chats.read_prompt(chats.pack_chat([{"role": "tool", "content": "x"}]))
    with pytest.raises(DataError, match="cannot be put as a chat"):
        chats.read_prompt(chats.pack_chat([*history, {"role": "assistant", "content": "It is"}]))


@pytest.mark.parametrize(
    ("given", "stop", "most"),
    [
        ({"until": "\n", "max_gen_toks": 7}, ("\n",), 7),
        ({"until": ["a", ""], "do_sample": False, "temperature": 0.7, "max_tokens": 3}, ("a",), 3),
        ({"max_new_tokens": 9, "max_tokens": 3, "top_p": 0.9}, (), 9),
        ({}, (), 256),
    ],
)
def test_generation_settings_are_read(given: dict[str, object], stop: tuple[str, ...], most: int) -> None:
    settings = part("generation").read_generation(given, "here")
    assert (settings.stop, settings.most, settings.sampling) == (stop, most, None)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"do_sample": True}, Sampling(temperature=1.0)),
        ({"temperature": 0.7}, Sampling(temperature=0.7)),
        ({"do_sample": True, "temperature": 0.6, "top_p": 0.95, "top_k": 20, "min_p": 0.1, "seed": 7},
         Sampling(temperature=0.6, top_p=0.95, top_k=20, min_p=0.1, seed=7)),
        ({"do_sample": True, "temperature": 0.6, "top_p": 1.0, "top_k": -1, "min_p": 0}, Sampling(temperature=0.6)),
        ({"do_sample": True, "temperature": 0.0}, None),
        ({"do_sample": False, "temperature": 0.7, "top_p": 0.9}, None),
        ({"do_sample": False, "num_beams": 1}, None),
        (None, None),
    ],
)  # fmt: skip
def test_settings_of_sampling_are_read(given: dict[str, object] | None, expected: Sampling | None) -> None:
    assert part("generation").read_generation(given, "here").sampling == expected


@pytest.mark.parametrize("given", [{"do_sample": False, "num_beams": 4}, {"repetition_penalty": 1.2}, "until=x"])
def test_a_way_of_generating_that_there_is_not_is_refused(given: object) -> None:
    with pytest.raises(UsageError, match="generation"):
        part("generation").read_generation(given, "here")


@pytest.mark.parametrize("name", ["temperature", "top_p", "top_k", "min_p", "seed", "max_gen_toks"])
@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_setting_that_is_no_finite_number_is_named(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"'{name}' must be a finite number"):
        part("generation").read_generation({"do_sample": True, name: value}, "here")


class Recorded:
    """A model that keeps what it is asked, and answers with texts that are given."""

    def __init__(self, *texts: str, markers: ThinkingMarkers | None = None) -> None:
        self.texts, self.asked = texts, list[Request]()
        self.spec = SimpleNamespace(thinking=markers, context_length=None, name="recorded", fingerprint="0" * 64)

    def count_tokens(self, requests: Sequence[Request]) -> None:
        return None

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        self.asked += requests
        for request, text in zip(requests, self.texts, strict=False):
            yield Response(
                key=request.key, text=text, failure=None, finish=None, prompt_tokens=None, tokens=None
            )  # fmt: skip


def made(*texts: str, markers: ThinkingMarkers | None = None, **arguments: Any) -> Any:  # noqa: ANN401 - lm-eval's
    model = part("model").XlingualLM(model="echo", **arguments)
    model.opened = Recorded(*texts, markers=markers)
    return model


@pytest.mark.parametrize(
    ("text", "markers", "expected"),
    [
        ("<think>Paris, no.</think>\nRome. And more", None, "Rome"),
        ("Paris, no.</think>\n\nRome", None, "Rome"),
        ("<think>Paris.", None, ""),
        ("<a>Paris.</a>Rome", ThinkingMarkers(start="<a>", end="</a>"), "Rome"),
        ("Rome", None, "Rome"),
    ],
)
def test_lm_eval_scores_what_comes_after_the_thinking(
    text: str, markers: ThinkingMarkers | None, expected: str
) -> None:
    asked = SimpleNamespace(args=("Where?", {"until": ["."]}), task_name="t")
    assert made(text, markers=markers).generate_until([asked]) == [expected]


@pytest.mark.parametrize(("given", "expected"), [(True, ThinkingMode.ON), (False, ThinkingMode.OFF), (None, None)])
def test_enable_thinking_goes_with_chats(given: bool | None, expected: ThinkingMode | None) -> None:
    arguments: dict[str, Any] = {} if given is None else {"enable_thinking": given}
    model = made("a", "b", **arguments)
    chat = model.apply_chat_template([{"role": "user", "content": "x"}])
    model.generate_until([SimpleNamespace(args=(text, {}), task_name="t") for text in (chat, "x")])
    assert [each.thinking for each in model.opened.asked] == [expected, None]


def test_the_end_of_thinking_is_a_text() -> None:
    with pytest.raises(UsageError, match="128 is no text"):
        part("model").XlingualLM(model="echo", think_end_token=128)


def test_a_drawn_answer_has_a_seed_of_its_own() -> None:
    """lm-eval asks a question as often as its task's `repeats` say, and wants as many answers."""
    settings = {"do_sample": True, "temperature": 0.8}
    one, other = (SimpleNamespace(args=(text, settings), task_name="t") for text in ("x", "y"))
    model = made("a", "b", "c")
    assert model.generate_until([one, one, other]) == ["a", "b", "c"]
    seeds = [each.sampling.seed for each in model.opened.asked]
    assert len({each.key for each in model.opened.asked}) == len(set(seeds)) == 3
    again = made("a", "b")
    again.generate_until([other, one])
    assert [each.sampling.seed for each in again.opened.asked] == [seeds[2], seeds[0]]
    greedy = made("a")
    plain = SimpleNamespace(args=("x", {}), task_name="t")
    assert greedy.generate_until([plain, plain]) == ["a", "a"]


def test_stop_strings_cut_as_lm_eval_cuts_but_for_our_tasks(wide: Path) -> None:
    model = part("model").XlingualLM(model=f"hf:{wide}", device="cpu", max_batch_size=None)
    [whole] = model.generate_until([SimpleNamespace(args=("the lazy dog", {"max_gen_toks": 9}), task_name="t")])
    arguments = ("the lazy dog", {"max_gen_toks": 9, "until": [whole[:1]]})
    assert model.generate_until([SimpleNamespace(args=arguments, task_name="t")]) == [""]
    assert model.generate_until([SimpleNamespace(args=arguments, task_name="xlingual_xquad_zh")]) != [""]
    twice = [SimpleNamespace(args=arguments, task_name="t")] * 2
    assert model.generate_until(twice) == ["", ""]


def test_a_prompt_that_is_too_long_loses_its_beginning(greedy_llama: Path) -> None:
    model = part("model").XlingualLM(model=f"hf:{greedy_llama}", device="cpu")
    settings = {"max_gen_toks": 9}
    text = "the quick brown fox jumps over the lazy dog " * 20
    asked = [SimpleNamespace(args=(each, settings), task_name="t") for each in (text, text[-80:])]
    answers = model.generate_until(asked)
    [cut] = model._fit([part("model")._generation(asked[0], None)])
    assert text.endswith(cut.messages[0].text)
    lengths = model.opened.count_tokens([cut, part("model")._generation(asked[1], None)])
    assert 240 <= lengths[0] <= 256 - 9
    assert lengths[1] < 100
    assert answers == model.generate_until(
        [SimpleNamespace(args=(cut.messages[0].text, settings), task_name="t"), asked[1]]
    )
    chat = model.apply_chat_template([{"role": "user", "content": text}])
    with pytest.raises(ModelError, match="leaves no room for 9 in 256"):
        model.generate_until([SimpleNamespace(args=(chat, settings), task_name="t")])


def test_faults_are_errors_with_a_reason(wide: Path) -> None:
    model = part("model").XlingualLM(model="echo")
    asked = [SimpleNamespace(args=("x", {}), task_name="t")]
    with pytest.raises(ModelError, match="unseen"):
        model.generate_until(asked)
    with pytest.raises(UsageError, match="takes no 'pretrained'"):
        part("model").XlingualLM(pretrained="x")
    with pytest.raises(UsageError, match="cannot be put as a chat"):
        model.apply_chat_template([{"role": "user", "content": "x"}], add_generation_prompt=False)
    assert model.tokenizer_name.startswith("echo-")


def test_the_path_command_writes_files_and_prints_their_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["lm-eval-path", "xquad", "flores101/en-sw", "--data", "sample"]) == 0
    folder = Path(capsys.readouterr().out.strip())
    names = sorted(path.stem for path in folder.glob("*.yaml"))
    assert len(names) == 12 + 1 + 1
    assert {"model", "xlingual_xquad_zh", "xlingual_flores101_en-sw"} <= set(names)
    assert run_command(["lm-eval-path", "xquad/zh"]) == 0
    assert Path(capsys.readouterr().out.strip()) != folder
    assert run_command(["lm-eval-path", "xquad/zz"]) == 2


def test_stock_lm_eval_knows_our_model_by_the_model_file(wide: Path) -> None:
    """As its command line does it: files that are named are read before the model is looked up."""
    folder = part("folder").write_folder(select_tasks(["xquad/en"], []), "sample")
    code = (
        "from lm_eval.tasks._yaml_loader import load_yaml; from lm_eval.api.registry import get_model; import sys;"
        "load_yaml(sys.argv[1], resolve_func=True); print(get_model('xlingual').__name__, get_model('dummy').__name__)"
    )
    for name in ("model.yaml", "xlingual_xquad_en.yaml"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(folder / name)], capture_output=True, text=True, timeout=120, check=True
        )
        assert done.stdout.split() == ["XlingualLM", "DummyLM"]


def test_any_task_of_ours_may_be_named() -> None:
    words = ["--tasks", "arc_easy,xlingual_flores101_en-sw", "--tasks=x", "xlingual_xquad", "xlingual_mlqa_zh-en"]
    assert importlib.import_module("xlingual.cli.lm_eval")._our_tasks(words) == ("flores101/en-sw", "mlqa/zh-en")


@pytest.mark.slow
@pytest.mark.parametrize("program", ["lm-eval", "xlingual"])
def test_the_command_lines_run(program: str, wide: Path, tmp_path: Path) -> None:
    """lm-eval's own command with our folder, and ours that wraps it; an index of all tasks takes them many seconds."""
    folder = part("folder").write_folder(select_tasks(["xquad/en"], []), "sample")
    binary = Path(sys.executable).parent / program
    words = [
        "--model",
        "xlingual",
        "--model_args",
        f"model=hf:{wide}",
        "--limit",
        "2",
        "--gen_kwargs",
        "max_gen_toks=4",
    ]
    words += ["--output_path", str(tmp_path / "out.json")]
    if program == "lm-eval":
        words += ["--tasks", f"{folder}/model.yaml,xlingual_xquad_en", "--include_path", str(folder)]
    else:
        words = ["lm-eval", "--data", "sample", *words, "--tasks", "xlingual_xquad_en"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(binary), *words], capture_output=True, text=True, timeout=280, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "|      Tasks      |" in done.stdout
    assert "|xlingual_xquad_en|" in done.stdout
    assert issubclass(UsageError, XlingualError)
