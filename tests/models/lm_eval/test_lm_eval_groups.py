"""Groups of lm-eval's: their own scores are those of lm-eval, at the end of a run and on a board."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xlingual.board import build_board, collect_runs, find_board
from xlingual.cli import run_command
from xlingual.cli.progress import SilentRunObserver
from xlingual.groups import aggregate, groups_of
from xlingual.planning import Limit, RunSettings
from xlingual.plugin import DataSource, ModelOptions
from xlingual.records import RunRecord
from xlingual.run import evaluate
from xlingual.selection import open_model, select_tasks

pytest.importorskip("lm_eval", reason="needs the extra `lm-eval`")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

ROWS = [
    {"question": "Where is Warszawa?", "choices": ["in Poland", "nowhere", "by the brown fox"], "gold": 0},
    {"question": "Who jumps over the dog?", "choices": ["Vistula", "the quick fox", "it"], "gold": 1},
    {"question": "What runs through it?", "choices": ["the capital", "question", "Vistula and so on"], "gold": 2},
    {"question": "中国的首都是", "choices": ["Αθήνα", "the lazy dog", "北京"], "gold": 2},
    {"question": "the quick brown", "choices": ["fox", "dog", "it"], "gold": 0},
]
COMMON = "dataset_path: json\ntest_split: train\ndataset_kwargs: {data_files: FILE}\nmetadata: {version: 1.0}\n"
CHOICE = (
    "output_type: multiple_choice\ndoc_to_text: 'Q: {{question}}\nA:'\ndoc_to_choice: '{{choices}}'\n"
    "doc_to_target: gold\nmetric_list:\n  - {metric: acc}\n  - {metric: acc_norm}\n"
)
ANSWER = (
    "output_type: generate_until\ndoc_to_text: '{{question}}'\ndoc_to_target: '{{choices[gold]}}'\n"
    "generation_kwargs: {until: ['e'], max_gen_toks: 4, do_sample: false}\n"
    "filter_list:\n  - {name: first, filter: [{function: regex, regex_pattern: '(.)'}, {function: take_first}]}\n"
    "  - {name: all, filter: [{function: take_first}]}\n"
    "metric_list:\n  - {metric: exact_match, aggregation: mean, higher_is_better: true}\n"
)
ROLLING = (
    "output_type: loglikelihood_rolling\ndoc_to_text: ''\ndoc_to_target: '{{question * 5}}'\nmetric_list:\n"
    "  - {metric: word_perplexity}\n  - {metric: byte_perplexity}\n  - {metric: bits_per_byte}\n"
)
TASKS = {"one": (CHOICE, 5), "two": (CHOICE, 2), "three_zh": (CHOICE, 4), "words": (ANSWER, 3), "text": (ROLLING, 2)}
"""Body and number of documents."""
GROUPS = {
    "by_size": "task: [one, two]\naggregate_metric_list: [{metric: acc}, {metric: acc_norm, filter_list: none}]\n",
    "by_task": "task: [one, two]\naggregate_metric_list: [{metric: acc, weight_by_size: false}]\n",
    "nested": "task: [by_size, three_zh]\naggregate_metric_list: [{metric: acc, weight_by_size: true}]\n",
    "filtered": "task: [words]\naggregate_metric_list: [{metric: exact_match}]\n",
    "one_filter": "task: [words]\naggregate_metric_list: [{metric: exact_match, filter_list: [first]}]\n",
    "rolling": "task: [text]\naggregate_metric_list: [{metric: word_perplexity}, {metric: bits_per_byte}]\n",
    "unlike": "task: [one, words]\naggregate_metric_list: [{metric: acc}]\n",
    "bare": "task: [one, two]\n",
}
SETTINGS = DataSource(folder=None, sample=True, offline=True)
OWN_SCALE = ("weighted_perplexity", "bits_per_byte")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("groups")
    for name, (body, count) in TASKS.items():
        file = made / f"{name}.jsonl"
        file.write_text("".join(json.dumps(each) + "\n" for each in ROWS[:count]), encoding="utf-8")
        text = f"task: {name}\n" + COMMON.replace("FILE", str(file)) + body
        (made / f"{name}.yaml").write_text(text, encoding="utf-8")
    for name, body in GROUPS.items():
        text = f"group: {name}\n{body}metadata: {{version: 2.0}}\n"
        (made / f"{name}.yaml").write_text(text, encoding="utf-8")
    return made


@pytest.fixture(autouse=True)
def environment(folder: Path, search_only: Callable[[Path], None]) -> None:
    search_only(folder)


@pytest.fixture(scope="module")
def stock(folder: Path, greedy_llama: Path) -> dict[str, dict[str, Any]]:
    """What lm-eval says of each group, with its own HFLM."""
    simple_evaluate = importlib.import_module("lm_eval").simple_evaluate
    manager = importlib.import_module("lm_eval.tasks").TaskManager(include_path=str(folder), include_defaults=False)
    found: dict[str, dict[str, Any]] = {}
    for name in GROUPS:
        said = simple_evaluate(
            model="hf", model_args={"pretrained": str(greedy_llama), "dtype": "float32"}, tasks=[name],
            task_manager=manager, bootstrap_iters=0, device="cpu", batch_size=2, log_samples=False,
        )  # fmt: skip
        found |= said.get("groups", {})
    return found


def run(word: str, names: list[str], out: Path, limit: Limit | None = None) -> tuple[list[RunRecord], list[RunRecord]]:
    """Return the records of tasks and those of their groups."""
    tasks = select_tasks([f"lm-eval:{name}" for name in names], [])
    settings = RunSettings(data_source=SETTINGS, out=out, limit=limit)
    records = evaluate(open_model(word, ModelOptions(device="cpu")), tasks, settings, SilentRunObserver())
    return records, aggregate(groups_of(tasks), records)


@pytest.mark.parametrize("name", [name for name in GROUPS if name != "bare"])
def test_a_group_scores_as_in_lm_eval(
    name: str, stock: dict[str, dict[str, Any]], greedy_llama: Path, tmp_path: Path
) -> None:
    _, groups = run(f"hf:{greedy_llama}", [name], tmp_path)
    found = {record.protocol.task.partition("/")[2]: record for record in groups}
    assert set(found) == ({"by_size", "nested"} if name == "nested" else {name})
    compared = 0
    for group, record in found.items():
        theirs = stock[group]
        ours = {each.metric.split(":")[1]: each for each in record.estimates}
        keys = [key for key in theirs if "," in key and "_stderr" not in key]
        assert sorted(ours) == sorted(key.removesuffix(",none") for key in keys)
        for key in keys:
            estimate = ours[key.removesuffix(",none")]
            scale = 1.0 if estimate.metric.split(":")[2] in OWN_SCALE else 100.0
            assert estimate.value == pytest.approx(float(theirs[key]) * scale, rel=1e-4, abs=1e-6), key
            compared += 1
        assert record.protocol.n == theirs["sample_len"]
    assert compared >= 1


def test_a_group_without_a_score_of_its_own_is_its_tasks(greedy_llama: Path, tmp_path: Path) -> None:
    records, groups = run("oracle", ["bare"], tmp_path)
    assert [each.protocol.task for each in records] == ["lm-eval/one", "lm-eval/two"]
    assert groups == []


def test_the_board_has_each_task_by_its_main_metric_and_each_group_whole(greedy_llama: Path, tmp_path: Path) -> None:
    """Accuracies, exact matches and perplexities, some above 100, in one family: none is left out."""
    for word in (f"hf:{greedy_llama}", "oracle"):
        _, groups = run(word, ["nested", "filtered", *(["text"] if word != "oracle" else [])], tmp_path)
        assert {each.protocol.task for each in groups} == {"lm-eval/by_size", "lm-eval/nested", "lm-eval/filtered"}
    board = build_board(find_board("all"), collect_runs([tmp_path]))
    assert board.left_out == ()
    shown = {(table.family, table.metric.split(":")[1]): table for table in board.tables}
    assert sorted(shown) == [
        ("lm-eval", "acc"),
        ("lm-eval", "exact_match,first"),
        ("lm-eval", "word_perplexity"),
        ("lm-eval/by_size, a group", "acc"),
        ("lm-eval/filtered, a group", "exact_match,all"),
        ("lm-eval/nested, a group", "acc"),
    ]
    assert [column.variant for column in shown["lm-eval", "acc"].columns] == ["one", "three_zh", "two"]
    nested = shown["lm-eval/nested, a group", "acc"]
    assert [(row.model, row.rank, row.control) for row in nested.rows] == [
        ("llama", 1, None),
        ("oracle", None, "ceiling"),
    ]
    assert nested.rows[1].average == 100.0
    rolling = shown["lm-eval", "word_perplexity"]
    assert not rolling.higher_is_better
    assert [row.rank for row in rolling.rows] == [1]
    assert (rolling.rows[0].average or 0) > 100


def test_a_group_that_lacks_a_task_is_not_on_the_board_and_a_task_run_alone_changes_nothing(
    greedy_llama: Path, tmp_path: Path
) -> None:
    run("oracle", ["by_size"], tmp_path)
    run("oracle", ["two"], tmp_path)
    families = [table.family for table in build_board(find_board("all"), collect_runs([tmp_path])).tables]
    assert families == ["lm-eval", "lm-eval/by_size, a group"]
    [path] = tmp_path.glob("*/lm-eval-two-*/results.json")
    path.unlink()
    families = [table.family for table in build_board(find_board("all"), collect_runs([tmp_path])).tables]
    assert families == ["lm-eval"]


def test_a_limited_group_is_shown_but_never_ranked(greedy_llama: Path, tmp_path: Path) -> None:
    _, [group] = run("oracle", ["by_size"], tmp_path, Limit(1, 1))
    assert group.protocol.n == 2
    whole, limited = (collect_runs([tmp_path], include_limited=each) for each in (False, True))
    assert build_board(find_board("all"), whole).tables == ()
    tables = build_board(find_board("all"), limited, include_limited=True).tables
    assert [(table.family, [row.rank for row in table.rows]) for table in tables] == [
        ("lm-eval", [None]),
        ("lm-eval/by_size, a group", [None]),
    ]


def test_a_limit_beyond_one_task_is_that_of_the_group(tmp_path: Path) -> None:
    """Task two has two examples, task one has five."""
    records, [group] = run("oracle", ["by_size"], tmp_path, Limit(1, 3))
    assert [each.protocol.limit for each in records] == ["1-3", None]
    assert (group.protocol.limit, group.protocol.n, group.estimates[0].value) == ("1-3", 5, 100.0)
    _, [whole] = run("oracle", ["by_size"], tmp_path)
    assert (whole.protocol.limit, whole.protocol.n) == (None, 7)
    tables = build_board(find_board("all"), collect_runs([tmp_path], include_limited=True), include_limited=True).tables
    assert [(table.family, [row.average for row in table.rows]) for table in tables] == [
        ("lm-eval", [100.0]),
        ("lm-eval/by_size, a group", [100.0]),
    ]


def test_a_damaged_file_of_a_group_is_left_out_with_the_reason(tmp_path: Path) -> None:
    run("oracle", ["by_size"], tmp_path)
    [path] = tmp_path.glob("*/group-*.json")
    path.write_text(path.read_text(encoding="utf-8").replace('"members"', '"limbs"'), encoding="utf-8")
    board = build_board(find_board("all"), collect_runs([tmp_path]))
    assert len(board.left_out) == 1
    assert [table.family for table in board.tables] == ["lm-eval"]


def test_the_command_shows_the_group_below_its_tasks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["eval", "-m", "oracle", "-t", "lm-eval:by_size", "-o", str(tmp_path), "--progress", "none"]
    assert run_command(words) == 0
    shown = capsys.readouterr().out
    assert "| oracle | lm-eval/by_size | 7 | 100.0 |" in shown
    assert run_command([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [each["protocol"]["task"] for each in document["groups"]] == ["lm-eval/by_size"]
    assert [each["protocol"]["task"] for each in document["runs"]] == ["lm-eval/one", "lm-eval/two"]


def test_folders_of_tasks_may_be_named_by_an_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XLINGUAL_LM_EVAL_PATH", "")
    data = tmp_path / "rows.json"
    data.write_text(json.dumps(ROWS), encoding="utf-8")
    (tmp_path / "more").mkdir()
    body = COMMON.replace("FILE", str(data)) + CHOICE
    (tmp_path / "more/optional_cities.yaml").write_text(f"task: optional_cities\n{body}", encoding="utf-8")
    command = ["eval", "-m", "oracle", "-t", "lm-eval:optional_cities", "-o", str(tmp_path / "out"), "--dry-run"]
    assert run_command(command) == 2
    assert "lm-eval has no task 'optional_cities'" in capsys.readouterr().err
    assert run_command([*command, "--include-path", str(tmp_path / "more")]) == 0
    assert "optional_cities: 5 samples" in capsys.readouterr().out
    monkeypatch.setenv("XLINGUAL_LM_EVAL_PATH", "")
    assert run_command([*command, "--include-path", str(tmp_path / "none")]) == 2
