"""Tasks of lm-eval's that make their own documents, as RULER's do, and those whose documents cannot be had."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from xlingual.cli.progress import SilentRunObserver
from xlingual.errors import DataError, EnvironmentFault, UsageError
from xlingual.metrics import find_metric
from xlingual.planning import RunSettings
from xlingual.plugin import DataSource, ModelOptions
from xlingual.run import evaluate
from xlingual.selection import open_model, select_tasks

pytest.importorskip("lm_eval", reason="needs the extra `lm-eval`")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

MADE = """
task: made
dataset_path: ""
dataset_name: ""
output_type: generate_until
test_split: test
custom_dataset: !function common_utils.make
doc_to_text: "{{input}}"
doc_to_target: "{{output}}"
process_results: !function common_utils.process
generation_kwargs: {do_sample: false, max_gen_toks: 8, until: []}
metric_list:
  - {metric: "10", aggregation: !function common_utils.aggregate, higher_is_better: true}
  - {metric: "20", aggregation: !function common_utils.aggregate, higher_is_better: true}
  - {metric: "30", aggregation: !function common_utils.aggregate, higher_is_better: true}
metadata: {version: 1.0}
"""
FUNCTIONS = """
import datasets

def make(**settings):
    assert settings.get("tokenizer"), "a tokenizer is needed"
    rows = [{"input": "word " * length, "output": settings["tokenizer"], "length": length} for length in (10, 10, 20)]
    return {"test": datasets.Dataset.from_list(rows)}

def process(document, results):
    scores = {"10": -1.0, "20": -1.0, "30": -1.0}
    scores[str(document["length"])] = 0.75
    return scores

def aggregate(values):
    known = [value for value in values if value != -1]
    return sum(known) / len(known) if known else -1
"""
FOREIGN = "task: elsewhere\ndataset_path: nobody/nothing-like-it\noutput_type: generate_until\ntest_split: test\n"


@pytest.fixture(autouse=True)
def tasks(tmp_path: Path, search_only: Callable[[Path], None]) -> None:
    (tmp_path / "made.yaml").write_text(MADE, encoding="utf-8")
    (tmp_path / "common_utils.py").write_text(FUNCTIONS, encoding="utf-8")
    (tmp_path / "elsewhere.yaml").write_text(f"{FOREIGN}doc_to_text: a\ndoc_to_target: b\n", encoding="utf-8")
    search_only(tmp_path)


def test_what_is_not_known_is_no_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLINGUAL_LM_EVAL_METADATA", '{"tokenizer": "mine"}')
    settings = RunSettings(data_source=DataSource(folder=None, sample=True, offline=True), out=tmp_path / "out")
    [task] = select_tasks(["lm-eval:made"], [])
    assert {row.targets for row in task.examples("test", settings.data_source).rows} == {("mine",)}
    [record] = evaluate(open_model("echo", ModelOptions()), [task], settings, SilentRunObserver())
    found = {find_metric(each.metric).name.split(":")[1]: (each.value, each.n) for each in record.estimates}
    assert found["10"] == (75.0, 2)
    assert found["20"][0] is None  # known of one document in three, which is too few for a score
    assert found["30"][0] is None


@pytest.mark.parametrize(
    ("given", "words"), [("", "AssertionError: a tokenizer is needed"), ("[1]", "JSON object"), ("{", "not JSON")]
)
def test_settings_that_are_missing_or_wrong(given: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLINGUAL_LM_EVAL_METADATA", given)
    with pytest.raises((DataError, UsageError), match=words):
        select_tasks(["lm-eval:made"], [])


def test_a_hub_that_cannot_be_reached_is_an_error_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    start = time.monotonic()
    with pytest.raises(EnvironmentFault, match="the data cannot be had"):
        select_tasks(["lm-eval:elsewhere"], [])
    assert time.monotonic() - start < 10.0  # the hub's own clients go on for 25 seconds
