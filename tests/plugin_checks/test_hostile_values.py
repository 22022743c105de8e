"""Plugins whose values raise when they are compared, counted or shown, and plugins that close what they print to.

Wherever it happens, the error names the plugin: exit code 3, never "this is a bug".
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from xlingual.plugin_checks.record_types import is_plain

from .conftest import METRIC, MODEL, TASK, Bench, Finished

METHODS = ("__hash__", "__eq__", "__repr__", "__str__", "__bool__", "__len__", "__iter__", "__format__", "__lt__")
ODD = """
class Odd({kind}):
    def {method}(self, *given):
        raise {error}("{method}")

{hash}
"""
TASK_PLACES = {
    "id": ("id=key,", "id=Odd(key),"),
    "group": ("group=key", "group=Odd(key)"),
    "cluster": ("cluster=key", "cluster=Odd(key)"),
    "target": ("targets=(gold,)", "targets=(Odd(gold),)"),
    "field": ('{"question": key}', '{"question": Odd(key)}'),
    "prompt": ('after=example.fields["question"]', 'after=Odd(example.fields["question"])'),
    "version": ('version="1"', 'version=Odd("1")'),
    "metric": ('("squad_f1",)', '(Odd("squad_f1"),)'),
}
MODEL_PLACES = {
    "text": ('text="one"', 'text=Odd("one")'),
    "key": ("key=key", "key=Odd(key)"),
    "name": ('name="talker", revision', 'name=Odd("talker"), revision'),
    "fingerprint": ('fingerprint="talker 1"', 'fingerprint=Odd("talker 1")'),
}


def odd(method: str, *, kind: str = "str", error: str = "KeyError") -> tuple[str, str]:
    """Return the change that gives a plugin a class whose `method` raises; with an `__eq__` alone it has no hash."""
    given = f"    __hash__ = {kind}.__hash__" if method == "__eq__" else ""
    return "import xlingual as xl\n", "import xlingual as xl\n" + ODD.format(
        kind=kind, method=method, error=error, hash=given
    )


def check(finished: Finished, file: str) -> None:
    assert finished.code in (0, 3), finished.stderr
    assert "this is a bug" not in finished.stderr
    assert "Traceback" not in finished.stderr
    if finished.code:
        assert finished.error.startswith(f"mine/{file}"), finished.error
        assert len(finished.stderr.splitlines()) <= 3, finished.stderr


@pytest.mark.parametrize("place", TASK_PLACES)
@pytest.mark.parametrize("method", METHODS)
def test_a_value_of_a_task(method: str, place: str, bench: Bench, tmp_path: Path) -> None:
    bench.write("tasks/cities.py", TASK, odd(method), TASK_PLACES[place])
    finished = bench.run("eval", "-m", "oracle", "-t", "cities", "-o", str(tmp_path / "runs"), "--progress", "none")
    check(finished, "tasks/cities.py")


@pytest.mark.parametrize("place", MODEL_PLACES)
@pytest.mark.parametrize("method", METHODS)
def test_a_value_of_a_model(method: str, place: str, bench: Bench, tmp_path: Path) -> None:
    bench.write("models/talker.py", MODEL, odd(method), MODEL_PLACES[place])
    words = ("-t", "xquad/en", "--data", "sample", "-o", str(tmp_path / "runs"), "--progress", "none")
    check(bench.run("eval", "-m", "talker", *words), "models/talker.py")


@pytest.mark.parametrize("method", [*METHODS, "__float__", "__add__", "__mul__"])
def test_a_value_of_a_metric(method: str, bench: Bench, tmp_path: Path) -> None:
    bench.write("tasks/cities.py", TASK, ('("squad_f1",)', '("words", "squad_f1")'))
    change = ("return len(text.split())", "return Odd(len(text.split()))")
    bench.write("metrics/words.py", METRIC, odd(method, kind="float"), change)
    finished = bench.run("eval", "-m", "oracle", "-t", "cities", "-o", str(tmp_path / "runs"), "--progress", "none")
    check(finished, "metrics/words.py")


@pytest.mark.parametrize("error", ["SystemExit", "KeyboardInterrupt", "MemoryError", "RecursionError", "OSError"])
def test_a_value_that_would_end_the_program(error: str, bench: Bench, tmp_path: Path) -> None:
    """By an exception that means something else where it is no plugin's."""
    bench.write("tasks/cities.py", TASK, odd("__hash__", error=error), TASK_PLACES["id"])
    finished = bench.run("eval", "-m", "oracle", "-t", "cities", "-o", str(tmp_path / "runs"), "--progress", "none")
    assert finished.code == 3
    check(finished, "tasks/cities.py")


def test_classes_of_libraries_are_as_good_as_texts_and_numbers() -> None:
    numpy = pytest.importorskip("numpy")
    assert is_plain(numpy.str_("a"), str)
    assert is_plain(numpy.float64(1), float)
    assert is_plain(type("Text", (str,), {"shown": True})("a"), str)
    assert not is_plain(type("Text", (str,), {"__eq__": str.__ne__, "__hash__": None})("a"), str)
    assert not is_plain(1, str)


READ, ASK = "    def read(split, source):\n", "    def ask(example):\n"
PLACES = {
    "at import": ("ROWS = ", "sys.{name}.close()\nROWS = "),
    "while it reads": (READ, f"{READ}        sys.{{name}}.close()\n"),
    "while it asks": (ASK, f"{ASK}        sys.{{name}}.close()\n"),
    "with its descriptor": (ASK, f"{ASK}        import os; sys.{{name}}.close(); os.close({{number}})\n"),
}


@pytest.mark.parametrize("name", ["stdout", "stderr"])
@pytest.mark.parametrize("place", PLACES)
def test_a_plugin_that_closes_a_stream_is_named(place: str, name: str, bench: Bench, tmp_path: Path) -> None:
    number = ("stdin", "stdout", "stderr").index(name)
    old, new = PLACES[place]
    change = (old, new.format(name=name, number=number))
    bench.write("tasks/cities.py", TASK, ("import xlingual as xl\n", "import sys\n\nimport xlingual as xl\n"), change)
    words = ["eval", "-m", "oracle", "-t", "cities", "-o", str(tmp_path / "runs"), "--progress", "none"]
    ended = subprocess.run(
        [sys.executable, "-m", "xlingual", *words],
        cwd=tmp_path,
        env={**os.environ, "XLINGUAL_PLUGINS": "mine"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 3, ended.stderr
    if place != "with its descriptor" or name == "stdout":
        assert "error: mine/tasks/cities.py" in ended.stderr
        assert f"closes sys.{name}" in ended.stderr
        assert "print to it, or leave it alone" in ended.stderr
