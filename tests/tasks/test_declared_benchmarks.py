"""MGSM, XCOPA and Belebele, which are TOML files: short, whole, in all their languages, and 100 with the oracle."""

import re
from pathlib import Path

import pytest

from xlingual.cli.progress import SilentRunObserver
from xlingual.planning import RunSettings, plan_task
from xlingual.plugin import DataSource, ModelOptions, RewordableTask, Task
from xlingual.run import evaluate
from xlingual.selection import open_model, select_tasks

from ..real_data import REAL

ROOT = Path(__file__).resolve().parents[2]
DATA = REAL / "more"
PLACE = DataSource(folder=DATA, sample=False, offline=True)
FILES = sorted((ROOT / "tasks").glob("*.toml"))
real = pytest.mark.skipif(not DATA.is_dir(), reason="the real benchmark files are not beside the project")


def task(name: str) -> Task:
    return select_tasks([name], [])[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_is_short(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 25
    assert max(map(len, lines)) <= 160


@pytest.mark.parametrize(("family", "count"), [("mgsm", 11), ("xcopa", 9), ("belebele", 92)])
def test_every_language_can_be_asked_in_its_words_and_in_english(family: str, count: int) -> None:
    tasks = select_tasks([f"{family}/*"], [])
    assert len(tasks) == count
    for each in tasks:
        assert isinstance(each, RewordableTask)
        assert each.spec.shot_split is not None
        assert each.prompt_languages()[0] == each.spec.prompt_language
        assert "en" in each.prompt_languages()


def test_a_bare_name_stands_for_the_languages_with_words_of_their_own() -> None:
    assert [each.spec.language for each in select_tasks(["belebele"], [])] == [
        "ar", "de", "el", "en", "hi", "tr", "vi", "zh",
    ]  # fmt: skip
    assert [each.spec.name for each in select_tasks(["belebele"], ["sw"])] == ["belebele/sw"]
    assert task("belebele/sw").spec.prompt_language == "en"


@real
@pytest.mark.parametrize(
    ("name", "count", "metric"),
    [
        *((f"mgsm/{code}", 250, "exact_match") for code in ("bn", "en", "es", "ja", "sw", "zh")),
        *((f"xcopa/{code}", 500, "accuracy") for code in ("et", "id", "th", "tr", "vi", "zh")),
        ("belebele/en", 900, "accuracy"),
        ("belebele/de", 300, "accuracy"),
    ],
)
def test_the_oracle_reaches_100(name: str, count: int, metric: str, tmp_path: Path) -> None:
    settings = RunSettings(data_source=PLACE, out=tmp_path)
    oracle = open_model("oracle", ModelOptions())
    record = next(iter(evaluate(oracle, [task(name)], settings, SilentRunObserver())))
    assert record.estimates[0].metric == metric
    assert (record.estimates[0].value, record.estimates[0].n, record.estimates[0].unscored) == (100.0, count, 0)


@real
@pytest.mark.parametrize("name", ["mgsm/en", "mgsm/ja", "xcopa/tr", "belebele/de"])
def test_two_demonstrations(name: str, tmp_path: Path) -> None:
    settings = RunSettings(data_source=PLACE, out=tmp_path, shots=2)
    plan = plan_task(task(name), open_model("oracle", ModelOptions()), settings)
    assert len(plan.demonstrations) == 2
    asked = {example.id for example in plan.examples}
    if name.startswith("belebele"):
        assert not asked & {each.id for each in plan.demonstrations}
    for each in plan.demonstrations:
        assert each.answer.strip()
        if name.startswith("mgsm"):  # a chain of thought, without the label that the file has before it
            assert len(each.answer) > 20
            assert not re.match(r"(Step-by-Step Answer|ステップごとの答え)", each.answer)
            assert not re.search(r"(Question|問題)[:：]\s*(Question|問題)", each.prompt.input)


@real
def test_golds_of_mgsm_are_numbers_in_one_form() -> None:
    golds = [[row.targets for row in task(f"mgsm/{code}").examples("test", PLACE).rows] for code in ("en", "es", "bn")]
    assert golds[0] == golds[1] == golds[2]
    assert {("2125",), ("114200",), ("276000",), ("5600",)} <= set(golds[0])
    exemplars = [row.targets[0] for row in task("mgsm/te").examples("exemplars", PLACE).rows]
    assert exemplars == ["11", "29", "39", "9", "33", "8", "8", "5"]


@real
def test_the_question_of_xcopa_is_that_of_the_estonian_file() -> None:
    rows = {code: task(f"xcopa/{code}").examples("test", PLACE).rows for code in ("et", "th", "tr", "zh")}
    kinds = {code: [(row.shared or {})["link"] for row in each] for code, each in rows.items()}
    assert kinds["th"] == kinds["tr"] == kinds["zh"] == kinds["et"]
    assert kinds["et"].count("cause") == 250


@real
def test_passages_of_belebele_are_its_clusters() -> None:
    rows = task("belebele/en").examples("test", PLACE).rows
    assert len({row.cluster for row in rows}) == 488
    assert {label: sum(row.targets == (label,) for row in rows) for label in "ABCD"} == {
        "A": 206, "B": 251, "C": 246, "D": 197,
    }  # fmt: skip
