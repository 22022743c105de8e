"""`xlingual analyze space`, as it is typed."""

import json
from pathlib import Path

import pytest

from xlingual.analysis.space import read_spaces
from xlingual.cli import run_command

from ..small_base import make_small_base

SAMPLE = ("--data", "sample", "-l", "en,el,zh", "--limit", "9", "--lens", "4")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_small_base(tmp_path_factory.mktemp("bases") / "base")


@pytest.fixture(scope="module")
def out(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished analysis."""
    folder = tmp_path_factory.mktemp("out")
    assert run_command(["analyze", "space", str(base), *SAMPLE, "-o", str(folder)]) == 0
    return folder


def test_tables_and_record(base: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run_command(["analyze", "space", str(base), *SAMPLE, "-o", str(out)])
    shown = capsys.readouterr()
    assert code == 0
    assert "read from" in shown.err  # nothing is computed twice
    for words in ("do translations find each other?", "how far apart are languages?", "packaged sample", "shuf."):
        assert words in shown.out
    [record] = read_spaces(out)
    assert (record.languages, record.sentences, record.layers) == (("en", "el", "zh"), 9, 3)
    assert len(record.model.fingerprint) == 64
    assert {"torch", "transformers", "numpy"} <= set(record.versions)
    assert all(len(each.sha256) == 64 for each in record.files)


def test_json_is_one_document(base: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run_command(["analyze", "space", str(base), *SAMPLE, "-o", str(out), "--json"])
    document = json.loads(capsys.readouterr().out)
    assert code == 0
    assert [each["model"]["name"] for each in document["spaces"]] == ["base"]
    assert document["comparisons"] == []


def test_two_models_are_compared(base: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = make_small_base(tmp_path / "other")
    config = json.loads((other / "config.json").read_text(encoding="utf-8"))
    (other / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 0.1}), encoding="utf-8")
    page, plots = tmp_path / "page.html", tmp_path / "plots"
    words = ["analyze", "space", str(base), str(other), *SAMPLE, "-o", str(out)]
    assert run_command([*words, "--page", str(page), "--plot", str(plots)]) == 0
    assert "other less base" in capsys.readouterr().out
    assert "other less base" in page.read_text(encoding="utf-8")
    assert {path.name.partition("-")[0] for path in plots.iterdir()} == {"space", "map", "lens"}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "Missing argument"),
        (["smollm2", "smollm2"], 2, "a model is named twice"),
        (["no-such-model"], 2, "no such model"),
        (["echo"], 3, "does not show its hidden states"),
        (["echo", "-l", "en"], 2, "two languages or more"),
        (["echo", "-l", "en,xx"], 2, "xx"),
        (["echo", "--limit", "3"], 3, "3 sentences; at least 8"),
        (["echo", "--limit", "0"], 2, "--limit"),
        (["echo", "--split", "test"], 2, "no such split"),
        (["echo", "--pooling", "max"], 2, "--pooling"),
        (["echo", "--page", "/"], 2, "--page /: is a folder"),
        (["echo", "--page", "/dev/null/page.html"], 2, "--page /dev/null: is no folder"),
        (["echo", "--plot", "/dev/null"], 2, "--plot /dev/null: is no folder"),
    ],
)
def test_what_is_wrong(
    arguments: list[str], code: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["analyze", "space", *arguments, "--data", "sample", "-o", str(tmp_path / "out")]) == code
    error = capsys.readouterr().err.splitlines()[0]
    assert message in error
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_place_of_the_records_is_said_before_a_model_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").write_text("", encoding="utf-8")
    assert run_command(["analyze", "space", "echo", "--data", "sample", "-o", str(tmp_path / "out" / "in")]) == 2
    assert f"--out {tmp_path / 'out'}: is no folder" in capsys.readouterr().err


def test_runs_are_none_the_wiser(base: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder of analyses among runs is no run."""
    run_command(["view", str(out)])
    assert "this is a bug" not in capsys.readouterr().err
