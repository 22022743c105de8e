"""Environments of server programs that are made on request: from a file, once, complete or not at all."""

import importlib
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from xlingual.errors import EnvironmentFault

NAME, VERSION = "stand_in", "3.1"
UNFINISHED = ".unfinished"


def find_python(name: str, package: str, chosen: str | None) -> tuple[str, str]:
    found: tuple[str, str] = _module().find_python(name, package, chosen)
    return found


def _module() -> ModuleType:
    return importlib.import_module("xlingual.plugins.models._served.environment")


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A package of one line, as a wheel that pip installs without a network."""
    path = tmp_path / f"{NAME}-{VERSION}-py3-none-any.whl"
    record = f"{NAME}-{VERSION}.dist-info"
    files = {
        f"{NAME}.py": "ANSWER = 42\n",
        f"{record}/METADATA": f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {VERSION}\n",
        f"{record}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    listing = "".join(f"{name},,\n" for name in (*files, f"{record}/RECORD"))
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**files, f"{record}/RECORD": listing}.items():
            archive.writestr(name, text)
    return path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XLINGUAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("XLINGUAL_VLLM_PYTHON", raising=False)
    monkeypatch.setattr(_module(), "REQUIREMENTS", tmp_path)
    return tmp_path / "cache" / "environments" / "vllm"


def _require(folder: Path, line: str) -> None:
    (folder / "vllm.txt").write_text(f"--no-index\n{line}\n", encoding="utf-8")


@pytest.mark.slow
def test_an_environment_is_made_once_and_found_again(tmp_path: Path, wheel: Path, home: Path) -> None:
    _require(tmp_path, str(wheel))
    home.mkdir(parents=True)
    (home / UNFINISHED).touch()
    (home / "of a killed attempt").touch()
    python, version = find_python("vllm", NAME, "make")
    assert (python, version) == (str(home / "bin" / "python"), VERSION)
    words = [python, "-c", f"import {NAME}; print({NAME}.ANSWER)"]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "42\n"
    assert not (home / "of a killed attempt").exists()
    made = home.stat().st_mtime_ns
    _require(tmp_path, "/nowhere/else.whl")
    assert find_python("vllm", NAME, "make") == (python, version)
    assert find_python("vllm", NAME, None) == (python, version)
    assert home.stat().st_mtime_ns == made


@pytest.mark.slow
def test_an_environment_that_cannot_be_made_leaves_nothing_behind(tmp_path: Path, home: Path) -> None:
    _require(tmp_path, "stand_in==9.9")
    with pytest.raises(EnvironmentFault, match="pip ended with code 1"):
        find_python("vllm", NAME, "make")
    assert not home.exists()


@pytest.mark.slow
def test_an_unfinished_environment_is_not_taken(tmp_path: Path, wheel: Path, home: Path) -> None:
    _require(tmp_path, str(wheel))
    find_python("vllm", NAME, "make")
    (home / UNFINISHED).touch()
    with pytest.raises(EnvironmentFault, match="the package stand_in is not installed") as caught:
        find_python("vllm", NAME, None)
    assert f"install -r {tmp_path / 'vllm.txt'}" in caught.value.hint


def test_the_requirements_files_name_their_server_program() -> None:
    folder: Path = _module().REQUIREMENTS
    lines = {path.stem: path.read_text(encoding="utf-8").splitlines() for path in folder.glob("*.txt")}
    assert sorted(lines) == ["serve", "sglang", "vllm"]
    assert lines["vllm"][-1] == "vllm==0.33.0"
    assert all(line.startswith("#") or line[0].isalpha() for each in lines.values() for line in each)


def test_our_own_interpreter_has_none(home: Path) -> None:
    assert not home.exists()
    with pytest.raises(EnvironmentFault, match=f"{sys.executable} has no package {NAME}"):
        find_python("vllm", NAME, sys.executable)
