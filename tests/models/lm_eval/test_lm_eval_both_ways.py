"""Tasks of lm-eval's here and ours there, on a tiny model: one set of answers, one set of scores; no network."""

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xlingual.cli.progress import SilentRunObserver
from xlingual.errors import DataError, UsageError
from xlingual.metrics import find_metric
from xlingual.planning import RunSettings, plan_task
from xlingual.plugin import DataSource, ModelOptions
from xlingual.records import RunRecord
from xlingual.rescore import rescore_run
from xlingual.run import evaluate
from xlingual.sampling import Sampling
from xlingual.selection import open_model, select_tasks

pytest.importorskip("lm_eval", reason="needs the extra `lm-eval`")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

DOCUMENTS = [
    {"question": "Where is Warszawa?", "choices": ["in Poland", "nowhere", "by the brown fox"], "gold": 0},
    {"question": "中国的首都是", "choices": ["Αθήνα", "the lazy dog", "北京"], "gold": 2},
    {"question": "Who jumps over the dog?", "choices": ["Vistula", "the quick fox", "it"], "gold": 1},
    {"question": "What runs through it?", "choices": ["the capital", "question", "Vistula and so on"], "gold": 2},
]
COMMON = "dataset_path: json\ntest_split: train\ndataset_kwargs: {data_files: FILE}\nmetadata: {version: 1.0}\n"
CHOICES = "doc_to_text: 'Q: {{question}}\nA:'\ndoc_to_choice: '{{choices}}'\ndoc_to_target: gold\n"
SHOTS = "fewshot_split: train\nnum_fewshot: 1\n"


def metrics(*names: str) -> str:
    return "metric_list:\n" + "".join(f"  - {{metric: {name}}}\n" for name in names)


TASKS = {
    "tiny_choice_zh": "output_type: multiple_choice\n" + CHOICES + metrics("acc", "acc_norm", "brier_score"),
    "tiny_shots": "output_type: multiple_choice\n" + CHOICES + SHOTS + metrics("acc"),
    "tiny_mutual": "output_type: multiple_choice\n" + CHOICES + metrics("acc", "acc_mutual_info"),
    "tiny_contexts": (
        "output_type: multiple_choice\ndoc_to_text: '{{gold}}'\n"
        "doc_to_choice: '{{choices}}'\ndoc_to_target: question\n" + metrics("acc")
    ),
    "tiny_ending": (
        "output_type: loglikelihood\ndoc_to_text: '{{question}}'\ndoc_to_target: '{{choices[gold]}}'\n"
        + metrics("perplexity", "acc")
    ),
    "tiny_text": (
        "output_type: loglikelihood_rolling\ndoc_to_text: ''\ndoc_to_target: '{{question * 9}}'\n"
        + metrics("word_perplexity", "byte_perplexity", "bits_per_byte")
    ),
    "tiny_answer": (
        "output_type: generate_until\ndoc_to_text: '{{question}}'\ndoc_to_target: '{{choices[gold]}}'\n"
        "generation_kwargs: {until: ['e', '中'], max_gen_toks: 12, do_sample: false}\n"
        "filter_list:\n  - {name: first, filter: [{function: regex, regex_pattern: '(.)'}, {function: take_first}]}\n"
        "  - {name: all, filter: [{function: take_first}]}\n" + metrics("exact_match", "bleu", "chrf", "ter")
    ),
}  # fmt: skip


GENERATIONS = {
    "drawn": "do_sample: true, temperature: 0.7, top_p: 0.9, top_k: 40, min_p: 0.05",
    "drawn_by_temperature": "temperature: 0.5, top_p: 1.0, top_k: -1",
    "not_drawn": "do_sample: false, temperature: 0.7",
    "without_heat": "do_sample: true, temperature: 0.0",
    "voted": "do_sample: true, temperature: 0.7",
    "beams": "num_beams: 4",
    "beamless": "do_sample: false, num_beams: 1",
}
"""Settings in the place of `do_sample: false` of tiny_answer."""
LONG = "the quick brown fox jumps over the lazy dog " * 20


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of tasks for lm-eval's include path, on a local file."""
    folder = tmp_path_factory.mktemp("tasks")
    file = folder / "documents.jsonl"
    file.write_text("".join(json.dumps(each, ensure_ascii=False) + "\n" for each in DOCUMENTS), encoding="utf-8")
    for name, body in TASKS.items():
        text = f"task: {name}\n" + COMMON.replace("FILE", str(file)) + body
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    (folder / "tiny_long.yaml").write_text(
        (folder / "tiny_answer.yaml").read_text(encoding="utf-8")
        .replace("'{{question}}'", f"'{LONG}{{{{question}}}}'").replace("tiny_answer", "tiny_long"),
        encoding="utf-8",
    )  # fmt: skip
    for name, settings in GENERATIONS.items():
        (folder / f"{name}.yaml").write_text(
            (folder / "tiny_answer.yaml").read_text(encoding="utf-8")
            .replace("do_sample: false", settings).replace("tiny_answer", name)
            + ("repeats: 4\n" if name == "voted" else ""),
            encoding="utf-8",
        )  # fmt: skip
    return folder


@pytest.fixture(autouse=True)
def environment(tasks: Path, search_only: Callable[[Path], None]) -> None:
    search_only(tasks)


@pytest.fixture(scope="module")
def stock(tasks: Path, greedy_llama: Path) -> dict[str, dict[str, Any]]:
    """What lm-eval itself says, with its own HFLM."""
    return lm_eval_says(tasks, list(TASKS), "hf", {"pretrained": str(greedy_llama), "dtype": "float32"})


def lm_eval_says(tasks: Path, names: list[str], model: str, arguments: dict[str, str]) -> dict[str, dict[str, Any]]:
    # Only here, for it takes seconds, and skips where lm-eval is not installed.
    simple_evaluate = importlib.import_module("lm_eval").simple_evaluate
    manager = importlib.import_module("lm_eval.tasks").TaskManager(include_path=str(tasks), include_defaults=False)
    found = simple_evaluate(
        model=model, model_args=arguments, tasks=names, task_manager=manager, bootstrap_iters=0, device="cpu",
        batch_size=2, log_samples=False,
    )  # fmt: skip
    results: dict[str, dict[str, Any]] = found["results"]
    return results


def run(word: str, task: str, out: Path) -> RunRecord:
    settings = RunSettings(data_source=DataSource(folder=None, sample=True, offline=True), out=out)
    model = open_model(word, ModelOptions(device="cpu"))
    [record] = evaluate(model, select_tasks([task], []), settings, SilentRunObserver())
    return record


OWN_SCALE = ("perplexity", "weighted_perplexity", "bits_per_byte", "bleu", "chrf")


def compare(record: RunRecord, theirs: Mapping[str, Any]) -> int:
    """Compare every score that both know, and return how many."""
    compared = 0
    for estimate in record.estimates:
        _, label, aggregation, *_ = estimate.metric.split(":")
        expected = theirs[label if "," in label else f"{label},none"]
        if estimate.value is not None:
            scale = 1.0 if aggregation in OWN_SCALE else 100.0
            assert estimate.value == pytest.approx(float(expected) * scale, rel=1e-4, abs=1e-4), estimate.metric
            compared += 1
        else:
            assert "no formula of sums" in (estimate.reason or "")
    return compared


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_task_of_lm_eval_scores_here_as_there(
    name: str, stock: dict[str, dict[str, Any]], greedy_llama: Path, tmp_path: Path
) -> None:
    record = run(f"hf:{greedy_llama}", f"lm-eval:{name}", tmp_path)
    assert record.complete
    assert (record.protocol.task, record.template, record.protocol.template) == (f"lm-eval/{name}", "own", "native")
    assert compare(record, stock[name]) == {"tiny_text": 3, "tiny_answer": 6, "tiny_choice_zh": 3}.get(
        name, len(record.estimates)
    )
    assert record.language == ("zh" if name.endswith("_zh") else "und")
    [path] = tmp_path.rglob("results.json")
    [task] = select_tasks([f"lm-eval/{name}"], [])
    rescored = rescore_run(path.parent, task, DataSource(folder=None, sample=True, offline=True))
    assert rescored.estimates == record.estimates


@pytest.mark.parametrize("name", sorted(TASKS))
def test_our_hf_backend_in_lm_eval_scores_as_its_own(
    name: str, tasks: Path, stock: dict[str, dict[str, Any]], greedy_llama: Path
) -> None:
    importlib.import_module("xlingual.lm_eval.model")  # registers the model
    ours = lm_eval_says(tasks, [name], "xlingual", {"model": f"hf:{greedy_llama}", "dtype": "float32"})[name]
    numbers = {key: value for key, value in stock[name].items() if isinstance(value, float)}
    assert numbers
    for key, value in numbers.items():
        assert ours[key] == pytest.approx(value, rel=1e-4, abs=1e-4), key


def test_lm_evals_own_backend_runs_its_tasks_here(
    stock: dict[str, dict[str, Any]], greedy_llama: Path, tmp_path: Path
) -> None:
    word = f"lm-eval:hf,pretrained={greedy_llama},dtype=float32,device=cpu"
    for name in ("tiny_choice_zh", "tiny_answer"):
        assert compare(run(word, f"lm-eval/{name}", tmp_path / name), stock[name])


def test_a_finished_run_is_not_asked_again_and_shots_are_another_run(greedy_llama: Path, tmp_path: Path) -> None:
    first = run(f"hf:{greedy_llama}", "lm-eval:tiny_choice_zh", tmp_path)
    again = run("oracle", "lm-eval:tiny_choice_zh", tmp_path)
    assert {each.metric: each.value for each in again.estimates}["lm-eval:acc:mean"] == 100.0
    assert run(f"hf:{greedy_llama}", "lm-eval:tiny_choice_zh", tmp_path).estimates == first.estimates
    shown = run(f"hf:{greedy_llama}", "lm-eval:tiny_shots@2", tmp_path)
    assert shown.protocol.task == "lm-eval/tiny_shots@2"
    assert "2 shots" in shown.protocol.task_version
    assert len(list(tmp_path.rglob("results.json"))) == 3


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("lm-eval", "no task is named"),
        ("lm-eval:tiny_shots@x", "no task is named"),
        ("lm-eval:voted", "puts 4 drawn answers together"),
        ("lm-eval:beams", "no setting 'num_beams'"),
    ],
)
def test_what_cannot_be_run_is_refused(word: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        run("oracle", word, tmp_path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("drawn", Sampling(temperature=0.7, top_p=0.9, top_k=40, min_p=0.05)),
        ("drawn_by_temperature", Sampling(temperature=0.5)),
        ("not_drawn", None),
        ("without_heat", None),
        ("tiny_answer", None),
        ("tiny_choice_zh", None),
    ],
)
def test_a_task_that_samples_its_answers_says_how(name: str, expected: Sampling | None) -> None:
    [task] = select_tasks([f"lm-eval:{name}"], [])
    assert task.spec.sampling == expected


def test_drawn_answers_have_a_seed_each_and_are_a_run_of_their_own(greedy_llama: Path, tmp_path: Path) -> None:
    settings = RunSettings(data_source=DataSource(folder=None, sample=True, offline=True), out=tmp_path)
    model = open_model(f"hf:{greedy_llama}", ModelOptions(device="cpu"))
    plans = {
        name: plan_task(select_tasks([f"lm-eval:{name}"], [])[0], model, settings) for name in ("drawn", "beamless")
    }
    expected = Sampling(temperature=0.7, top_p=0.9, top_k=40, min_p=0.05)
    assert plans["drawn"].protocol.sampling == expected
    asked = [each.request.sampling for each in plans["drawn"].fitted]
    assert {replace(each, seed=0) for each in asked if each is not None} == {expected}
    assert len({each.seed for each in asked if each is not None}) == len(DOCUMENTS)
    assert plans["beamless"].protocol.sampling is None
    assert [each.request.sampling for each in plans["beamless"].fitted] == [None] * len(DOCUMENTS)


def test_what_is_too_long_loses_its_beginning_and_is_counted(greedy_llama: Path, tmp_path: Path) -> None:
    """The window is of 256 tokens, and the answer needs 12."""
    record = run(f"hf:{greedy_llama}", "lm-eval:tiny_long", tmp_path)
    assert record.complete
    assert record.counts.passages_cut == 4
    assert record.counts.prompt_tokens is not None
    assert 4 * 240 <= record.counts.prompt_tokens <= 4 * (256 - 12)
    [samples] = tmp_path.rglob("samples.jsonl")
    for line in map(json.loads, samples.read_text(encoding="utf-8").splitlines()):
        text = line["messages"][0]["text"]
        assert text == (LONG + DOCUMENTS[int(line["id"])]["question"])[line["passage_cut"] :]  # type: ignore[operator]  # a text
    for policy in ("error", "skip"):
        settings = RunSettings(
            data_source=DataSource(folder=None, sample=True, offline=True), out=tmp_path / policy, on_overflow=policy
        )
        model = open_model(f"hf:{greedy_llama}", ModelOptions(device="cpu"))
        tasks = select_tasks(["lm-eval:tiny_long"], [])
        if policy == "error":
            with pytest.raises(DataError, match="longer than 244 tokens"):
                evaluate(model, tasks, settings, SilentRunObserver())
        else:
            [skipped] = evaluate(model, tasks, settings, SilentRunObserver())
            assert skipped.counts.failed == 4


@pytest.mark.parametrize("backend", ["hf:", "lm-eval:hf,device=cpu,dtype=float32,pretrained="])
def test_a_limit_that_fills_the_window_is_refused_as_lm_eval_does(
    backend: str, tasks: Path, greedy_llama: Path, tmp_path: Path
) -> None:
    """The window is of 256 tokens, and so is lm-eval's own limit for tasks that set none."""
    name = "tiny_limitless"
    text = (tasks / "tiny_answer.yaml").read_text(encoding="utf-8").replace("tiny_answer", name)
    (tasks / f"{name}.yaml").write_text(text.replace("max_gen_toks: 12, ", ""), encoding="utf-8")
    with pytest.raises(AssertionError, match=r"\(256\) must be less than model's maximum sequence length \(256\)"):
        lm_eval_says(tasks, [name], "hf", {"pretrained": str(greedy_llama), "dtype": "float32"})
    with pytest.raises(UsageError, match="256 new tokens leave no room for a prompt in a window of 256") as caught:
        run(f"{backend}{greedy_llama}", f"lm-eval:{name}", tmp_path)
    assert caught.value.hint == "choose --max-new-tokens below 256"
    assert not list(tmp_path.rglob("results.json"))
    if backend != "hf:":  # whose window is known when the answers are planned
        with pytest.raises(UsageError, match="512 new tokens leave no room for a prompt in a window of 256"):
            run(f"{backend}{greedy_llama}", "xquad/en", tmp_path)


@pytest.mark.parametrize("change", [{"template": "alpaca"}, {"template": "raw"}, {"stop": ("x",)}])
def test_settings_that_would_change_the_words_are_refused(change: dict[str, Any], tmp_path: Path) -> None:
    settings = RunSettings(data_source=DataSource(folder=None, sample=True, offline=True), out=tmp_path, **change)
    with pytest.raises(UsageError, match="words its own requests"):
        evaluate(
            open_model("oracle", ModelOptions()),
            select_tasks(["lm-eval:tiny_answer"], []),
            settings,
            SilentRunObserver(),
        )


@pytest.mark.parametrize("name", ["lm-eval:acc", "lm-eval::mean", "lm-eval:acc:mean:higher"])
def test_a_metric_without_an_aggregation_is_none(name: str) -> None:
    with pytest.raises(UsageError, match="no such metric"):
        find_metric(name)
