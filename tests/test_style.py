"""The laws of the house that no linter knows: sizes of files and functions, no print, assert only in tests."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("harness", "tasks", "models", "tests")
FILE_LINES = 400
FUNCTION_LINES = 60
FUNCTION_LINES_P95 = 40
MODULE_NAMES_REFUSED = {"util", "utils", "common", "helper", "helpers", "base", "manager", "misc"}
PLUGIN_IMPORTS = re.compile(
    r"xlingual(\.(errors|records|plugin|registry|selection|metrics|identity|languages|redaction|text|files|data|wording"
    r"|extraction|sampling|thinking|lm_eval\.generation|decoder(\.\w+)?))?"
)
"""The public modules of the engine; `xlingual.plugins` itself, `run`, `store` and the rest are not for plugins."""


def _files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def test_there_is_something_to_look_at() -> None:
    assert len(_files(*FOLDERS)) > 60


@pytest.mark.parametrize("folder", FOLDERS)
def test_files_and_functions_are_short(folder: str) -> None:
    sizes = []
    for path in _files(folder):
        assert path.read_text(encoding="utf-8").count("\n") <= FILE_LINES, path
        for function in _functions(_parse(path)):
            sizes.append(_lines(function))
            assert sizes[-1] <= FUNCTION_LINES, f"{path}:{function.lineno} {function.name}"
    assert sorted(sizes)[int(len(sizes) * 0.95)] <= FUNCTION_LINES_P95


@pytest.mark.parametrize("path", _files("harness", "tasks", "models"), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_print_no_assert_no_broad_except(path: Path) -> None:
    for node in ast.walk(_parse(path)):
        assert not isinstance(node, ast.Assert), f"{path}:{node.lineno}: assert outside tests"
        printed = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
        assert not printed, f"{path}: print"
        broad = isinstance(node, ast.ExceptHandler) and (
            node.type is None or (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException"))
        )
        border = path.parent.name in ("cli", "tracking") or "models" in path.relative_to(ROOT).parts
        border |= path.name in ("plugin_code.py", "registry.py", "tokenizer_file.py")
        border |= path.relative_to(ROOT).as_posix() in (
            "tasks/lm_eval/faults.py",
            "harness/xlingual/decoder/loading.py",
        )
        assert border or not broad, f"{path}: a broad except outside the calls of plugins, trackers and the cli"
    assert path.stem not in MODULE_NAMES_REFUSED


@pytest.mark.parametrize("path", _files("tasks", "models"), ids=lambda path: str(path.relative_to(ROOT)))
def test_plugins_import_public_names_only(path: Path) -> None:
    for node in ast.walk(_parse(path)):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            if name.split(".")[0] == "xlingual":
                inside = name.startswith("xlingual.plugins.models.")
                assert inside or PLUGIN_IMPORTS.fullmatch(name), f"{path}: {name}"


PARSERS = {
    "json": {
        "harness/xlingual/files/json_file.py",  # the one reader of JSON files
        "harness/xlingual/lm_eval/chats.py",  # messages of a chat in a prompt
        "tasks/lm_eval/finding.py",  # a variable of the environment
        "models/_served/environment.py",  # a line of a pipe
        "models/openai/bodies.py",  # bodies of HTTP
    },
    "tomllib": {
        "harness/xlingual/toml_table.py",  # the one reader of TOML files
        "harness/xlingual/scaling/recipe.py",  # reads back what it has written
    },
}
"""Who may parse a format by itself; every file of that format is read by the first."""


@pytest.mark.parametrize("parser", PARSERS)
def test_files_of_one_format_have_one_reader(parser: str) -> None:
    found = set()
    for path in _files("harness", "tasks", "models"):
        for node in ast.walk(_parse(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (f"{parser}.load", f"{parser}.loads"):
                found.add(path.relative_to(ROOT).as_posix())
    assert found == PARSERS[parser]


def test_a_task_is_one_short_file() -> None:
    for path in (ROOT / "tasks").glob("*.py"):
        assert path.read_text(encoding="utf-8").count("\n") <= 80, path


def test_no_public_signature_says_any() -> None:
    for path in _files("harness", "tasks", "models"):
        for function in _functions(_parse(path)):
            arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
            hints = [each.annotation for each in arguments if each.annotation is not None]
            hints += [function.returns] if function.returns is not None else []
            names = {name.id for hint in hints for name in ast.walk(hint) if isinstance(name, ast.Name)}
            assert function.name.startswith("_") or "Any" not in names, f"{path}:{function.lineno}"


def test_no_paths_of_one_machine() -> None:
    pattern = re.compile(r"(^|[^A-Za-z.])/(work|tmp|root|home/[a-z]+)/")
    for path in _files(*FOLDERS):
        assert not pattern.search(path.read_text(encoding="utf-8")), path
