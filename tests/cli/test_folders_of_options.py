"""Every option of `xlingual eval`: whether a run with it has a folder of its own."""

import json
import tempfile
from collections.abc import Callable, Iterator

import click
import pytest

from xlingual.cli import COMMAND, run_command

Folders = Callable[[str], list[str]]
WORDS = ["eval", "-m", "echo", "-t", "mlqa/zh", "--data", "sample", "--dry-run", "--json"]
ITS_OWN = {
    "--split": "--split dev",
    "--shots": "--shots 1",
    "--seed": "--shots 1 --seed 3",
    "--template": "--template alpaca",
    "--system": "--system Briefly.",
    "--prompt-language": "--prompt-language en",
    "--variants": "--variants question-first",
    "--fewshot-as-turns": "--shots 1 --no-fewshot-as-turns",
    "--max-new-tokens": "--max-new-tokens 7",
    "--sampling": "--sampling model",
    "--temperature": "--temperature 0.5",
    "--top-p": "--temperature 0.5 --top-p 0.9",
    "--top-k": "--temperature 0.5 --top-k 3",
    "--min-p": "--temperature 0.5 --min-p 0.1",
    "--sample-seed": "--temperature 0.5 --sample-seed 3",
    "--repeats": "--temperature 0.5 --repeats 2",
    "--thinking": "--thinking on",
    "--max-thinking-tokens": "--max-thinking-tokens 5",
    "--extract": "--extract first_line",
    "--stop": "--stop x",
    "--on-overflow": "--on-overflow skip",
}
SHARED = {
    "--limit": "--limit 3",
    "--metrics": "--metrics squad_em",
    "--max-errors": "--max-errors 3",
    "--fresh": "--fresh",
    "--offline": "--offline",
    "--batch-size": "--batch-size 3",
    "--all": "--all",
    "--progress": "--progress plain",
    "--price": "--price 1,2",
    "--track-samples": "--track-samples",
    "--langs": "--langs zh",
    "--include-path": f"--include-path {tempfile.gettempdir()}",
}
ELSEWHERE = {
    "--model", "--tasks", "--data", "--out", "--dry-run", "--json", "--help", "--track",
    # of models: `tests/models` has what is part of a fingerprint
    "--revision", "--dtype", "--device", "--shard", "--engine", "--deterministic", "--allow-pickle", "--think-end",
    "--trust-remote-code", "--server-python", "--server-arg", "--extra-body", "--header", "--timeout", "--concurrency",
    "--max-model-len", "--key-env",
}  # fmt: skip


def _options() -> Iterator[str]:
    command = COMMAND.get_command(click.Context(COMMAND), "eval")
    assert command is not None
    for each in command.get_params(click.Context(command)):
        yield next(option for option in each.opts if option.startswith("--"))


def test_every_option_is_looked_at() -> None:
    assert sorted(_options()) == sorted([*ITS_OWN, *SHARED, *ELSEWHERE])


@pytest.fixture
def folders(capsys: pytest.CaptureFixture[str]) -> Folders:
    def planned(words: str) -> list[str]:
        assert run_command([*WORDS, *words.split()]) == 0, words
        return [plan["folder"] for plan in json.loads(capsys.readouterr().out)["plans"]]

    return planned


def test_a_folder_of_its_own_or_the_same(folders: Folders) -> None:
    [plain] = folders("")
    for words in SHARED.values():
        assert folders(words) == [plain], words
    found = [folder for words in ITS_OWN.values() for folder in folders(words)]
    assert len({plain, *found}) == 1 + len(ITS_OWN)
