"""Tasks of lm-eval's that are wrong: one line that says what and where, exit code 3, and never "a bug"."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from xlingual.cli import run_command

pytest.importorskip("lm_eval", reason="needs the extra `lm-eval`")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

ROWS = [{"question": "a", "choices": ["x", "y"], "gold": 0}, {"question": "b", "choices": ["x", "y"], "gold": 1}]
DATA = (
    "dataset_path: json\ntest_split: train\ndataset_kwargs: {data_files: FOLDER/rows.jsonl}\nmetadata: {version: 1.0}\n"
)
CHOICE = (
    "output_type: multiple_choice\ndoc_to_text: '{{question}}'\ndoc_to_choice: '{{choices}}'\ndoc_to_target: gold\n"
)
ANSWER = (
    "output_type: generate_until\ndoc_to_text: '{{question}}'\ndoc_to_target: '{{choices[gold]}}'\n"
    "generation_kwargs: {until: ['e'], max_gen_toks: 6, do_sample: false}\n"
)
ACC = "metric_list:\n  - {metric: acc}\n"
EXACT = "metric_list:\n  - {metric: exact_match}\n"
FILTERED = DATA + ANSWER + EXACT + "filter_list:\n  - {name: f, filter: [{function: FUNCTION}]}\n"
OWN = DATA + ANSWER + EXACT
FUNCTIONS = """
import sys

def raises(document, results):
    raise KeyError("gold")

def nothing(document, results):
    return None

def leaves(document, results):
    sys.exit(0)

def read(rows):
    return rows.map(lambda row: row["no_such"])

def divide(document):
    return 1 / 0
"""
CASES = {
    "not_yaml": ("task: not_yaml\noutput_type: [\n  : x", "FOLDER/not_yaml.yaml:3: not YAML"),
    "tabs": ("task: tabs\n\toutput_type: x\n", "FOLDER/tabs.yaml:2: not YAML"),
    "includes": ("include: no_such.yaml\n", "FOLDER/includes.yaml: FileNotFoundError"),
    "field": (DATA + CHOICE.replace("question", "no_such") + ACC, "'no_such' is undefined"),
    "template": (DATA + CHOICE.replace("question}}", "question") + ACC, "TemplateSyntaxError"),
    "gold": (DATA + CHOICE.replace("target: gold", "target: 7") + ACC, "IndexError"),
    "metric": (DATA + CHOICE + "metric_list:\n  - {metric: no_such}\n", "no_such not found"),
    "metric_with_aggregation": (
        DATA + ANSWER + "metric_list:\n  - {metric: no_such, aggregation: mean, higher_is_better: true}\n",
        "cannot find the metric 'no_such'",
    ),
    "filter": (FILTERED.replace("FUNCTION", "no_such"), "Unknown filter 'no_such'"),
    "pattern": (FILTERED.replace("FUNCTION", "regex, regex_pattern: '(('"), "pattern, document 0: the answer cannot"),
    "process": (OWN + "process_results: !function own.raises\n", "FOLDER/own.py:5: lm-eval/process, document 0: "),
    "process_nothing": (OWN + "process_results: !function own.nothing\n", "process_nothing, document 0: "),
    "process_leaves": (OWN + "process_results: !function own.leaves\n", "FOLDER/own.py:11: "),
    "documents": (OWN + "process_docs: !function own.read\n", "FOLDER/own.py:14: "),
    "text": (
        OWN.replace("doc_to_text: '{{question}}'", "doc_to_text: !function own.divide"),
        "FOLDER/own.py:17: lm-eval:text: lm-eval cannot make the task: ZeroDivisionError",
    ),
    "no_function": (OWN + "process_results: !function own.no_such\n", "has no function 'no_such'"),
    "no_module": (OWN + "process_results: !function no_such.f\n", "Cannot import module 'no_such'"),
    "no_package": (OWN + "process_results: !function needs.f\n", "FOLDER/needs.py:1: "),
    "syntax": (OWN + "process_results: !function syntax.f\n", "FOLDER/syntax.py:1: "),
    "no_file": (OWN.replace("rows.jsonl", "no.jsonl"), "FileNotFoundError"),
    "no_split": (OWN.replace("test_split: train", "test_split: banana"), "KeyError: 'banana'"),
    "no_data": (ANSWER + EXACT, "TypeError"),
    "output": (DATA + "output_type: banana\n" + EXACT, "invalid output_type 'banana'"),
    "limit": (OWN.replace("toks: 6", "toks: many"), "'many'"),
    "unknown_key": (OWN + "no_such: 1\n", "'no_such'"),
}
GROUPS = {
    "g_member": ("task: [process, no_such]\n", "FOLDER/g_member.yaml: the group names the task 'no_such'"),
    "g_inside": ("task: [{group: inner, task: [no_such]}]\n", "the group names the task 'no_such'"),
    "g_settings": ("task: [{task: no_such, num_fewshot: 2}]\n", "the group names the task 'no_such'"),
    "g_number": ("task: [7]\n", "Unsupported sub-entry 7"),
    "g_empty": ("task: []\n", "the group has no tasks"),
    "g_key": ("task: [process]\naggregate_metric_list: [{weight: 1}]\n", "'weight'"),
    "g_median": ("task: [process]\naggregate_metric_list: [{metric: acc, aggregation: median}]\n", "'median'"),
    "g_process": ("task: [process]\naggregate_metric_list: [{metric: exact_match}]\n", "FOLDER/own.py:5: "),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("faults")
    texts = {
        "rows.jsonl": "".join(json.dumps(each) + "\n" for each in ROWS),
        "own.py": FUNCTIONS,
        "needs.py": "import no_such_package\n",
        "syntax.py": "def f(document results):\n",
    }
    for name, (body, _) in CASES.items():
        texts[f"{name}.yaml"] = body if body.startswith("task: ") else f"task: {name}\n{body}"
    for name, (body, _) in GROUPS.items():
        texts[f"{name}.yaml"] = f"group: {name}\n{body}"
    for name, text in texts.items():
        (made / name).write_text(text.replace("FOLDER", str(made)), encoding="utf-8")
    return made


@pytest.mark.parametrize("name", [*CASES, *GROUPS])
def test_a_fault_is_one_line_with_the_place(
    name: str,
    folder: Path,
    tmp_path: Path,
    search_only: Callable[[Path], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    search_only(folder)
    words = ["eval", "-m", "oracle", "-t", f"lm-eval:{name}", "-o", str(tmp_path), "--progress", "none"]
    assert run_command(words) == 3
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith(("error: ", "hint: "))]
    assert [line.partition(":")[0] for line in errors[:1]] == ["error"]
    assert len(errors) <= 2
    assert {**CASES, **GROUPS}[name][1].replace("FOLDER", str(folder)) in errors[0]
    assert not list(tmp_path.rglob("results.json"))
