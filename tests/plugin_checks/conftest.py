"""Plugins to break: a task, a model and a metric that are as they must be, and the command line that they run under."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from xlingual import plugins
from xlingual.cli import (
    board,  # noqa: F401 (its help names the boards that there are when it is imported)
    run_command,
)
from xlingual.registry import METRICS, MODELS, TASKS

REPOSITORY = Path(__file__).parents[2]
TASK = '''\
"""Cities: two questions a language."""

import xlingual as xl

ROWS = (("fr", "Paris"), ("bo", "Sucre"))


@xl.register_task("cities")
def cities():
    """Yield `cities/LANG`."""
    yield task("en")
    yield task("vi")


def task(language):
    def read(split, source):
        return xl.Examples(rows=tuple(row(language, *each) for each in ROWS), files=())

    def ask(example):
        return xl.Prompt(instruction="Capital?", before="", passage="", after=example.fields["question"])

    spec = xl.TaskSpec(
        name=f"cities/{language}",
        language=language,
        prompt_language=language,
        version="1",
        split="test",
        metrics=("squad_f1",),
        max_new_tokens=8,
        licence="CC0",
        citation="none",
    )
    return xl.GenerationTask(spec=spec, read=read, ask=ask)


def row(language, key, gold):
    fields = {"question": key}
    return xl.Example(id=key, language=language, group=key, cluster=key, fields=fields, targets=(gold,))
'''
MODEL = '''\
"""Talker: says one word."""

import xlingual as xl


@xl.register_model("talker")
def open_talker(name, options):
    """Open the talker."""
    return Talker()


class Talker:
    spec = xl.ModelSpec(
        word="talker", backend="talker", name="talker", revision=None, fingerprint="talker 1", dtype=None,
        template="raw", context_length=None, parent=None,
    )

    def count_tokens(self, requests):
        return [1 for request in requests]

    def answer(self, requests):
        for request in requests:
            yield response(request.key)

    def close(self):
        pass


def response(key):
    return xl.Response(key=key, text="one", failure=None, finish=None, prompt_tokens=None, tokens=None)
'''
METRIC = '''\
"""Words: how many there are."""

import xlingual as xl


@xl.register_metric("words")
def words():
    """Mean number of words of an answer."""
    return xl.MeanMetric(
        name="words",
        higher_is_better=False,
        judge=judge,
        describe=describe,
        scale=1.0,
        bounds=(0.0, None),
    )


def judge(example, text, response):
    return len(text.split())


def describe(language):
    return "mean:words|1"
'''


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def error(self) -> str:
        """The one error line."""
        [line] = [line for line in self.stderr.splitlines() if line.startswith("error: ")]
        return line.removeprefix("error: ")


@dataclass(frozen=True, slots=True)
class Bench:
    """A folder of plugins, and the command line that knows it."""

    root: Path
    run: Callable[..., Finished]
    forget: Callable[[], None]
    """Forgets what was imported of the plugins, as another process would not know it."""

    def write(self, file: str, text: str, *changes: tuple[str, str]) -> Path:
        """Write a plugin file with `changes` made; each must be one."""
        for old, new in changes:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Bench]:
    """A folder of plugins that this test alone knows."""
    root = tmp_path / "mine"
    root.mkdir()
    monkeypatch.setattr(plugins, "__path__", [*plugins.__path__, str(root)])
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Finished:
        code = run_command(arguments)
        captured = capsys.readouterr()
        return Finished(code, captured.out, captured.err)

    def forget() -> None:
        for name, module in list(sys.modules.items()):
            file = str(getattr(module, "__file__", None) or REPOSITORY)
            of_another_test = name.startswith(f"{plugins.__name__}.") and not Path(file).is_relative_to(REPOSITORY)
            if of_another_test or file.startswith(str(tmp_path)):
                sys.modules.pop(name)
        for registry in (TASKS, MODELS, METRICS):
            kept = {name: each for name, each in vars(registry)["_items"].items() if each.module in sys.modules}
            vars(registry)["_items"] = kept

    forget()
    yield Bench(root, run, forget)
    forget()


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that packages are installed in."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder
