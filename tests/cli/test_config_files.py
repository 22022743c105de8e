"""Broken config files, of every kind and in every way: exit code 3, file, line and key, and a hint where there is one.

A file that is not there, or a folder in its place, is a wrong word of the command line: exit code 2.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest

from xlingual.cli import run_command
from xlingual.tune.recipe import shipped_recipe

from ..board.test_spec import GOOD as BOARD
from ..tune.test_recipe import GOOD as RECIPE

SWEEP = """\
recipe = "m-llama-mini"
source = "translation-en-{language}"
metric = "chrf++"
languages = ["zh", "ar"]
sizes = [100, 200]
seeds = [0]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigFile:
    """One kind of config file, and the command that reads it."""

    text: str
    command: tuple[str, ...]
    """With FILE for the path of the file, FOLDER for its folder and FIT for a law."""
    needed: str
    """A line without which the file is broken."""
    text_line: str
    """A line whose value is a text, or a list of texts."""
    known: str
    """A key to misspell."""


KINDS = {
    "recipe": ConfigFile(
        text=RECIPE,
        command=("tune", "plan", "FILE", "--data", "sample"),
        needed='template = "alpaca"',
        text_line='base = "smollm2"',
        known="length",
    ),
    "sweep": ConfigFile(
        text=SWEEP,
        command=("scale", "sweep", "FILE", "--data", "sample", "--dry-run"),
        needed="sizes = [100, 200]",
        text_line='metric = "chrf++"',
        known="sizes",
    ),
    "leaderboard": ConfigFile(
        text=BOARD.lstrip(),
        command=("board", "FOLDER", "--board", "FILE"),
        needed='title = "Mine"',
        text_line='baseline = "alpaca"',
        known="languages",
    ),
    "template of an allocation": ConfigFile(
        text='name = "mine"\n[sources.news]\ndirection = "en-zh"\nuse = "all"\n',
        command=("scale", "allocate", "FIT", "--budget", "9", "--recipe", "FILE", "--write", "FOLDER/new.toml"),
        needed='[sources.news]\ndirection = "en-zh"\nuse = "all"',
        text_line='direction = "en-zh"',
        known="use",
    ),
}


def _line(text: str, part: str) -> int:
    assert text.count(part) == 1
    return text[: text.index(part)].count("\n") + 1


def _broken(kind: ConfigFile, how: str) -> tuple[bytes, str, str, str]:
    """Return a broken file, and what its error says: what follows the path, the complaint and the hint."""
    text, key = kind.text, kind.text_line.partition(" ")[0]
    line = _line(text, kind.text_line)
    match how:
        case "no TOML":
            return text.replace(kind.text_line, f"{key} =").encode(), f":{line}:{len(key) + 3}: ", "not TOML (", ""
        case "a key twice":
            return (
                text.replace(kind.text_line, f"{kind.text_line}\n{key} = 1").encode(),
                f":{line + 1}:",
                "not TOML",
                "",
            )
        case "not UTF-8":
            latin = text.replace(kind.text_line, f"# caf\xe9\n{kind.text_line}").encode("latin-1")
            return latin, f":{line}: ", "byte 0xe9 at column 6 is not UTF-8", "iconv -f LATIN1 -t UTF-8"
        case "unknown key":
            start, content = _line(text, f"{kind.known} = "), text.replace(f"{kind.known} = ", f"{kind.known}x = ")
            return content.encode(), f":{start}: ", f"unknown key '{kind.known}x'", f"did you mean {kind.known}"
        case "wrong type":
            return text.replace(kind.text_line, f"{key} = 7").encode(), f":{line}: ", f"{key!r} must be a text", ""
        case "missing key":
            missing = kind.needed.strip("[").partition(" ")[0].partition(".")[0]
            return text.replace(kind.needed, "").encode(), ": ", f"key {missing!r} is missing", "it must be a"
        case "nested too deeply":
            deep = f"{key} = {'[' * 100_000}"
            return text.replace(kind.text_line, deep).encode(), f":{line}: ", "nested more than 100 levels deep", ""
        case "dotted too deeply":
            deep = f"{'a.' * 5_000}a = 1"
            return text.replace(kind.text_line, deep).encode(), f":{line}: ", "nested more than 100 levels deep", ""
        case "too large":
            return text.encode() + b"#" * 2**20, ": ", "bytes are over the limit of 1,048,576 bytes a file", ""
    raise ValueError(how)


WAYS = (
    *("no TOML", "a key twice", "not UTF-8", "unknown key", "wrong type", "missing key"),
    *("nested too deeply", "dotted too deeply", "too large"),
)


def _run(kind: ConfigFile, path: Path, fit: Path) -> int:
    places = {
        "FILE": str(path),
        "FOLDER": str(path.parent),
        "FIT": str(fit),
        "FOLDER/new.toml": f"{path.parent}/new.toml",
    }
    return run_command([places.get(word, word) for word in kind.command])


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_file_is_named_with_its_line(
    kind: str, how: str, tmp_path: Path, fit: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, place, what, hint = _broken(KINDS[kind], how)
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    assert _run(KINDS[kind], path, fit) == 3
    error, *more = capsys.readouterr().err.splitlines()
    assert error.startswith(f"error: {path}{place}")
    assert what in error
    assert hint in "\n".join(more)
    assert not (tmp_path / "new.toml").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_no_file_is_a_wrong_word(
    kind: str, tmp_path: Path, fit: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.toml"
    assert _run(KINDS[kind], path, fit) == 2
    assert capsys.readouterr().err.startswith(f"error: {path}: cannot be read (No such file or directory)")
    path.mkdir()
    assert _run(KINDS[kind], path, fit) == 2
    assert f"error: {path}: cannot be read (Is a directory)\nhint: name a file in it\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('use = "rest"', f'use = "{"9" * 400} rows"', "rows are at most"),
        ('use = "rest"', 'use = "rest^400"', "the power of the rest is at most 10"),
        ('base = "smollm2"', 'base = "no-such"', "base of the recipe mine: no such model: 'no-such'"),
        ("tune/alpaca.{language}.jsonl", "x" * 300, "the path is too long for a file"),
        ("tune/alpaca.{language}.jsonl", "{x", "{x: the packaged sample has no such file"),
        ("tune/alpaca.{language}.jsonl", "{y}", "alpaca-en: {y} in the path '{y}' means nothing"),
        ("tune/everyday.{language}", "same", "translation-en-ar: 'same' stands for both sides"),
    ],
)
def test_what_a_recipe_asks_for_and_cannot_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, what: str
) -> None:
    """Found behind the reading of the file, and still a fault of the file, not of the command line."""
    shipped = shipped_recipe("m-llama-mini")
    assert shipped is not None
    path = tmp_path / "mine.toml"
    text = shipped.read_text(encoding="utf-8").replace('"m-llama-mini"', '"mine"')
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    assert run_command(["tune", "plan", str(path), "--data", "sample"]) == 3
    assert what in capsys.readouterr().err


def test_a_sweep_whose_recipe_is_broken_or_for_other_languages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, path = tmp_path / "x-mine.toml", tmp_path / "sweep.toml"
    sweep = SWEEP.replace("m-llama-mini", "x-mine.toml").replace("translation-en-{language}", "second")
    path.write_text(sweep.replace('["zh", "ar"]', '["ar"]'), encoding="utf-8")
    words = ["scale", "sweep", str(path), "--data", "sample", "--dry-run"]
    text = RECIPE.replace('name = "mine"', 'name = "x-mine-{x}"\nx = ["zh"]')
    for old, new, where, what in (
        ("length = 256", "lenght = 256", f"{recipe}:6: ", "unknown key 'lenght'"),
        ("", "", f"{recipe}: ", "the recipe is not for ar"),
    ):
        recipe.write_text(text.replace(old, new), encoding="utf-8")
        assert run_command(words) == 3
        assert f"error: {where}{what}" in capsys.readouterr().err
