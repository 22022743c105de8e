"""`xlingual scale` as users meet it: a table in, a law and a recipe out."""

import json
import tomllib
from pathlib import Path

import pytest

from xlingual.cli import run_command
from xlingual.scaling.similarity import read_similarity

RECIPE = 'name = "m-mini"\n[sources.translation]\ndirection = ["en-zh", "en-ar", "en-hi"]\nuse = "all"\n'


def _run(capsys: pytest.CaptureFixture[str], *words: str | int | Path) -> tuple[int, str, str]:
    code = run_command([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_from_points_to_a_recipe(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit, plots = tmp_path / "fit.json", tmp_path / "plots"
    code, out, err = _run(capsys, "scale", "fit", table, "--write", fit, "--plot", plots, "--resamples", 200)
    assert code == 0
    assert "S(X) = C - alpha * (gamma * X / 10,000) ** -beta, X in pairs" in out
    assert out.count("| zh |") == 2
    assert "the largest size, predicted from the smaller ones" in out
    assert err.splitlines() == [f"written: {fit}", f"written: {plots / 'laws.svg'}, {plots / 'laws.png'}"]
    assert fit.read_text(encoding="utf-8").count("\n") < 600, "draws are lists of numbers, each on one line"
    template, recipe = tmp_path / "m-mini.toml", tmp_path / "mine.toml"
    template.write_text(RECIPE, encoding="utf-8")
    words: list[str | int | Path] = [
        "--budget",
        60_000,
        "--available",
        "zh=900000,ar=1000000",
        "--available",
        "hi=50000",
        "--plot",
        plots,
    ]
    code, out, err = _run(capsys, "scale", "allocate", fit, *words, "--recipe", template, "--write", recipe)
    assert code == 0
    assert "60,000 pairs for the highest mean of chrf++" in out
    for name in ("uniform", "proportional", "temperature 0.3", "UniMax"):
        assert f"| {name} |" in out
    written = tomllib.loads(recipe.read_text(encoding="utf-8"))
    amounts = [int(source["use"].removesuffix(" rows")) for source in written["sources"].values()]
    assert sum(amounts) == 60_000
    assert written["name"] == "mine"
    assert sorted(path.name for path in plots.iterdir()) == [
        "allocation.png",
        "allocation.svg",
        "laws.png",
        "laws.svg",
    ]


def test_machine_output_is_one_document(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = _run(capsys, "scale", "fit", table, "--json", "--resamples", 100, "--ceiling", "fixed")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["variant"]["ceiling"] == "fixed"
    assert document["laws"][0]["ceiling"] == {"value": 100.0, "low": None, "high": None}
    assert len(document["laws"][0]["draws"]["alpha"]) == 100
    fit = tmp_path / "fit.json"
    fit.write_text(out, encoding="utf-8")
    code, out, err = _run(capsys, "scale", "allocate", fit, "--budget", 1000, "--goal", "worst", "--json")
    assert (code, err) == (0, "")
    assert sum(share["rows"] for share in json.loads(out)["shares"]) == 1000


def test_similarity_goes_into_a_fit(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    measured = tmp_path / "similarity.csv"
    words = ["scale", "similarity", "-m", "oracle", "-l", "zh,ar,hi", "--data", "sample"]
    code, out, err = _run(capsys, *words, "--json")
    assert (code, out) == (3, "")
    assert "cannot count tokens" in err
    measured.write_text("language,similarity,tokens\nzh,0.4,9\nar,0.3,\nhi,0.2,7\n", encoding="utf-8")
    code, out, _ = _run(capsys, "scale", "fit", table, "--similarity", measured, "--alpha", "shared", "--json")
    assert code == 0
    assert len(json.loads(out)["candidates"]) == 12


@pytest.mark.slow
def test_similarity_of_the_packaged_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    measured = tmp_path / "similarity.csv"
    words: list[str | int | Path] = ["scale", "similarity", "-m", "smollm2", "-l", "vi,zh", "--data", "sample"]
    code, out, err = _run(capsys, *words, "--write", measured)
    assert (code, err) == (0, f"written: {measured}\n")
    assert "| en | 1.000 |" in out
    assert 0.1 < read_similarity(measured)["vi"] < 0.6


@pytest.mark.parametrize(
    ("words", "code", "error", "hint"),
    [
        (["fit", "no-such.csv"], 2, "no-such.csv: cannot be read", ""),
        (["fit", "TABLE", "--metric", "bleu"], 2, "--metric: no point has 'bleu'", "known: chrf++"),
        (["fit", "TABLE", "--alpha", "fixed"], 2, "'fixed' is not one of", "xlingual scale fit --help"),
        (["fit", "TABLE", "--similarity", "TABLE"], 3, "points.csv:1: unknown column 'pairs'", ""),
        (["similarity", "-m", "echo", "-l", "zh,zho_simpl"], 2, "--langs: name languages other than en", ""),
        (["allocate", "TABLE", "--budget", "5"], 3, "points.csv:1:1: not JSON", ""),
        (["allocate", "FIT"], 2, "Missing option '--budget'", "xlingual scale allocate --help"),
        (["allocate", "FIT", "--budget", "9", "--available", "zh"], 2, "'zh' is not LANGUAGE=VALUE", "zh=..."),
        (["allocate", "FIT", "--budget", "9", "--available", "zh=x"], 2, "--available: zh: 'x' is not a whole", ""),
        (["allocate", "FIT", "--budget", "9", "--weight", "zh=-1"], 2, "--weight: zh: '-1' is not a number", ""),
        (["allocate", "FIT", "--budget", "9", "--weight", "zh=1,zh=2"], 2, "--weight: zh is there twice", ""),
        (["allocate", "FIT", "--budget", "9", "--write", "x.toml"], 2, "go together", ""),
        (["allocate", "FIT", "--budget", "9", "--source", "zh=a"], 2, "give --recipe", ""),
    ],
)
def test_errors(
    words: list[str],
    code: int,
    error: str,
    hint: str,
    table: Path,
    fit: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = {"TABLE": str(table), "FIT": str(fit)}
    returned, out, err = _run(capsys, "scale", *(places.get(word, word) for word in words))
    assert (returned, out) == (code, "")
    lines = err.strip().splitlines()
    assert lines[0].startswith("error: ")
    assert error in lines[0]
    assert len(lines) == 1 or (lines[1].startswith("hint: ") and hint in lines[1])


def test_a_fit_of_another_kind_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "other.json"
    for text, what in (('{"schema": 9}', "is not a fit of schema 1"), ('{"schema": 1}', "field 'metric' is missing")):
        path.write_text(text, encoding="utf-8")
        code, out, err = _run(capsys, "scale", "allocate", path, "--budget", 5)
        assert (code, out) == (3, "")
        assert what in err.splitlines()[0]
        assert str(path) in err.splitlines()[0]


@pytest.mark.parametrize("draws", [[], [1.0]])
@pytest.mark.parametrize("name", ["alpha", "beta", "ceiling"])
def test_a_fit_without_its_draws_is_broken(name: str, draws: list[float], fit: Path, tmp_path: Path) -> None:
    document = json.loads(fit.read_text(encoding="utf-8"))
    document["laws"][0]["draws"][name] = draws
    path = tmp_path / "fit.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    assert run_command(["scale", "allocate", str(path), "--budget", "9000"]) == 3
