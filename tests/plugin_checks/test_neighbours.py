"""What is broken harms itself alone: other tasks, other plugins and commands that do not name it go on."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from xlingual.plugin import (
    ExampleAware,
    ExtractingTask,
    ModelOptions,
    RewordableTask,
    SelfScoredTask,
    SupportsNotes,
    Trainable,
)
from xlingual.plugin_checks.models import TEMPLATES
from xlingual.prompt import TEMPLATES as PROMPT_TEMPLATES
from xlingual.selection import open_model, select_tasks

from .conftest import METRIC, MODEL, TASK, Bench
from .packages import install

ONE_OF_FOUR = (
    ('    yield task("vi")', '    yield task("vi")\n    yield task("tr")\n    yield task("ar")'),
    ('metrics=("squad_f1",)', 'metrics=("squad_f2" if language == "tr" else "squad_f1",)'),
)


def test_a_wrong_metric_in_one_of_four_is_told_before_the_first_question(bench: Bench, tmp_path: Path) -> None:
    bench.write("tasks/cities.py", TASK, *ONE_OF_FOUR)
    words = ("eval", "-m", "oracle", "-o", str(tmp_path / "runs"), "--progress", "none")
    for named in ("cities", "cities/*", "cities/en,cities/tr"):
        finished = bench.run(*words, "-t", named)
        assert (finished.code, "task cities/tr: metrics: no such metric: 'squad_f2'" in finished.error) == (3, True)
        assert not (tmp_path / "runs").exists()
    assert bench.run(*words, "-t", "cities/en,cities/vi,cities/ar").code == 0


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (('    yield task("vi")', "    raise KeyError"), "cities/en"),
        (('    yield task("vi")', "    yield None"), "cities/en"),
        (('    yield task("vi")', '    yield task("vi")\n    yield task("vi")'), "cities/en"),
        (('f"cities/{language}"', 'f"cities/{language}" if language == "en" else "towns/vi"'), "cities/en"),
    ],
)
def test_a_task_that_is_named_whole_is_not_harmed_by_the_others(
    change: tuple[str, str], named: str, bench: Bench, tmp_path: Path
) -> None:
    bench.write("tasks/cities.py", TASK, change)
    words = ("eval", "-m", "oracle", "-o", str(tmp_path / "runs"), "--progress", "none", "-t")
    assert bench.run(*words, named).code == 0
    assert bench.run(*words, "cities").code == 3
    assert bench.run(*words, "cities/vi").code == 3


def test_broken_plugins_are_rows(bench: Bench) -> None:
    bench.write("tasks/torn.py", "def")
    bench.write("tasks/quits.py", "raise SystemExit(0)")
    bench.write("tasks/cities.py", TASK, *ONE_OF_FOUR)
    bench.write("models/torn.py", "import nowhere_to_be_found")
    listed = bench.run("tasks")
    assert listed.code == 1
    assert "| torn | broken | mine/tasks/torn.py:1: SyntaxError: invalid syntax |" in listed.stdout
    assert "| quits | broken | mine/tasks/quits.py:1: SystemExit: 0 |" in listed.stdout
    assert "| cities | broken | mine/tasks/cities.py: task cities/tr: metrics: no such metric" in listed.stdout
    assert "| xquad | 12 |" in listed.stdout
    rows = {each["family"]: each for each in json.loads(bench.run("tasks", "--json").stdout)["families"]}
    assert "SyntaxError" in rows["torn"]["error"]
    assert "error" not in rows["xquad"]
    models = bench.run("models")
    assert models.code == 1
    assert "| torn | broken: mine/models/torn.py:1: ModuleNotFoundError: No module named 'nowhere" in models.stdout
    assert "| oracle |" in models.stdout


@pytest.mark.parametrize(("kind", "name"), [("tasks", "xquad"), ("models", "echo")])
def test_a_name_that_two_have_is_an_error_of_that_name(kind: str, name: str, bench: Bench, tmp_path: Path) -> None:
    bench.write(f"{kind}/{name}.py", TASK if kind == "tasks" else MODEL)
    bench.write("models/talker.py", MODEL)
    bench.write("tasks/cities.py", TASK)
    out = ("-o", str(tmp_path), "--data", "sample", "--progress", "none")
    assert bench.run("eval", "-m", "talker", "-t", "cities", *out).code == 0
    both = bench.run("eval", "-m", "echo", "-t", "xquad/en", *out)
    assert both.code == 2
    assert f"the plugin {name!r} is in " in both.error
    assert f"mine/{kind}/{name}.py" in both.error
    listed = bench.run(kind)
    assert (listed.code, "is in" in listed.stdout, "smollm2" in bench.run("models").stdout) == (1, True, True)


def test_two_packages_with_one_name(bench: Bench, packages: Path, tmp_path: Path) -> None:
    install(packages, "tasks.cities = onepack.cities", name="onepack", files={"cities.py": TASK})
    install(packages, "tasks.cities = twopack.cities", name="twopack", files={"cities.py": TASK})
    install(packages, "tasks.towns = badpack.nothing", "models.worse = badpack:absent", name="badpack")
    out = ("-o", str(tmp_path), "--data", "sample", "--progress", "none", "-m", "oracle", "-t")
    both = bench.run("eval", *out, "cities")
    assert (both.code, "package onepack, entry point tasks.cities" in both.error) == (2, True)
    assert "package twopack, entry point tasks.cities" in both.error
    lacking = bench.run("eval", *out, "towns")
    assert (lacking.code, lacking.error) == (
        3, "package badpack, entry point tasks.towns: ModuleNotFoundError: No module named 'badpack.nothing'",
    )  # fmt: skip
    assert bench.run("eval", *out, "xquad/en").code == 0
    assert "| towns | broken |" in bench.run("tasks").stdout
    assert "| worse | broken: package badpack, entry point models.worse: AttributeError" in bench.run("models").stdout


def test_a_broken_file_leaves_nothing_behind(bench: Bench, tmp_path: Path) -> None:
    bench.write("tasks/cities.py", f"{TASK}\n\n{METRIC.partition(chr(10) * 3)[2]}\n\n1 / 0\n")
    words = ("eval", "-m", "oracle", "-o", str(tmp_path / "runs"), "-t", "cities")
    for _ in range(2):
        finished = bench.run(*words)
        assert (finished.code, "ZeroDivisionError" in finished.error) == (3, True)
    assert bench.run("metrics", "words").code == 2


def test_what_was_answered_before_a_model_broke_is_kept(bench: Bench, tmp_path: Path) -> None:
    path = bench.write(
        "models/talker.py", MODEL, ("yield response(request.key)", "yield response(request.key)\n            1 / 0")
    )
    words = ("eval", "-m", "talker", "-t", "xquad/en", "--data", "sample", "-o", str(tmp_path), "--progress", "none")
    for answered in (1, 2):
        assert bench.run(*words).code == 3
        [journal] = tmp_path.rglob("journal.jsonl")
        assert journal.read_text(encoding="utf-8").count('"response"') == answered
    path.write_text(MODEL, encoding="utf-8")
    bench.forget()
    assert bench.run(*words).code == 0
    assert journal.read_text(encoding="utf-8").count('"response"') == 24


@pytest.mark.parametrize(
    ("task", "split", "hint"),
    [
        ("xquad/en", "dev", "known: test"),
        ("mlqa/en", "tset", "did you mean test?"),
        ("flores101/en-zh", "banana", "known: dev, devtest"),
        ("xquad/en", "../x\n", "letters, digits"),
        ("capitals/en", "../x", "letters, digits"),
    ],
)
def test_splits_that_there_are_not(task: str, split: str, hint: str, bench: Bench, tmp_path: Path) -> None:
    bench.write("tasks/capitals.py", TASK.replace("cities", "capitals"))
    out = ("--data", "sample", "-o", str(tmp_path / "runs"), "--progress", "none")
    finished = bench.run("eval", "-m", "oracle", "-t", task, "--split", split, *out)
    assert finished.code == 2, finished.stderr
    assert repr(split) in finished.error
    assert hint in finished.stderr
    assert not (tmp_path / "runs").exists()


def test_wrappers_offer_what_is_offered(bench: Bench) -> None:
    own = "\n\nclass Own:\n    def __init__(self, spec, read, ask):\n"
    own += "        self.spec, self.examples, self.prompt = spec, read, ask\n"
    own += "\n    def extract(self, example, text):\n        return text[:1]\n"
    bench.write("tasks/cities.py", TASK + own, ("return xl.GenerationTask(", "return Own("))
    see = "    def see(self, examples):\n        self.examples = examples\n\n    def close(self):"
    bench.write("models/talker.py", MODEL, ("    def close(self):", see))
    [plain], [made] = select_tasks(["xquad/en"], []), select_tasks(["cities/en"], [])
    kinds: tuple[Any, ...] = (RewordableTask, ExtractingTask, SelfScoredTask)
    assert [isinstance(plain, kind) for kind in kinds] == [True, False, False]
    assert [isinstance(made, kind) for kind in kinds] == [False, True, False]
    assert isinstance(plain, RewordableTask)
    assert plain.reword(prompt_language=None, variant=None).spec == plain.spec
    model = open_model("talker", ModelOptions())
    kinds = (ExampleAware, SupportsNotes, Trainable)
    assert [isinstance(model, kind) for kind in kinds] == [True, False, False]
    assert isinstance(open_model("oracle", ModelOptions()), ExampleAware)


def test_templates_are_those_of_prompts() -> None:
    assert TEMPLATES == PROMPT_TEMPLATES


def test_our_own_code_that_fails_is_our_bug(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    select_tasks(["xquad/en"], [])
    monkeypatch.setattr(sys.modules["xlingual.plugins.tasks.xquad"], "ask_question", None)
    finished = bench.run("eval", "-m", "oracle", "-t", "xquad/en", "--data", "sample", "-o", str(tmp_path))
    assert (finished.code, finished.error) == (70, "TypeError: 'NoneType' object is not callable")


def test_the_command_itself_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "cities.py").write_text(TASK.replace('fields["question"]', 'fields["q"]'), encoding="utf-8")
    finished = subprocess.run(
        [sys.executable, "-m", "xlingual", "eval", "-m", "oracle", "-t", "cities", "-o", str(tmp_path / "runs")],
        env={"XLINGUAL_PLUGINS": str(tmp_path), "PATH": "", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert finished.returncode == 3
    [error, hint] = finished.stderr.splitlines()
    assert error == f"error: {tmp_path}/tasks/cities.py:20: task cities/en, example 'fr': KeyError: 'q'"
    assert hint.startswith("hint: ")


@pytest.mark.parametrize("value", ["boardpack:mine.toml", "boardpack", "boardpack:path", "boardpack:PATH"])
def test_packages_ship_boards(value: str, bench: Bench, packages: Path, tmp_path: Path) -> None:
    board = 'name = "mine"\ntitle = "Mine"\ndescription = "x"\ntasks = ["*/*"]\norigin = "sample"\n'
    code = (
        "from pathlib import Path\n\nPATH = Path(__file__).with_name('mine.toml')\n\n\ndef path():\n    return PATH\n"
    )
    files = {"__init__.py": code, "mine.toml": board}
    install(packages, f"leaderboards.mine = {value}", "leaderboards.gone = boardpack:gone.toml",
            "leaderboards.sick = boardpack:board", name="boardpack", files=files)  # fmt: skip
    (tmp_path / "runs").mkdir()
    shown = bench.run("board", str(tmp_path / "runs"), "--board", "mine")
    assert (shown.code, "# Mine" in shown.stdout) == (0, True), shown
    gone = bench.run("board", str(tmp_path / "runs"), "--board", "gone")
    assert (gone.code, "package boardpack, entry point leaderboards.gone: names no file" in gone.error) == (3, True)
    sick = bench.run("board", str(tmp_path / "runs"), "--board", "sick")
    assert (sick.code, "entry point leaderboards.sick: AttributeError" in sick.error) == (3, True)
    missed = bench.run("board", str(tmp_path / "runs"), "--board", "mien")
    assert (missed.code, "did you mean mine" in missed.stderr) == (2, True)
    bench.write("leaderboards/mine.toml", board)
    both = bench.run("board", str(tmp_path / "runs"), "--board", "mine")
    assert (both.code, "the leaderboard 'mine' is in " in both.error) == (2, True)
    assert bench.run("board", str(tmp_path / "runs"), "--board", "sample").code == 0


@pytest.mark.parametrize(("module", "table"), [("tasks", "tasks"), ("models", "models")])
def test_no_optional_protocol_is_hidden_by_the_wrapper(module: str, table: str) -> None:
    """A protocol that the wrapper does not know would be lost on every task or model behind the border."""
    protocols = importlib.import_module(f"xlingual.plugin.{module}")
    optional = {each for each in vars(protocols).values() if getattr(each, "_is_runtime_protocol", False)}
    assert optional == set(importlib.import_module(f"xlingual.plugin_checks.{table}")._OPTIONAL)
