"""`xlingual score` on real files against the official scripts' numbers: every item, and the means as corpus scores."""

import json
from pathlib import Path

import pytest

from xlingual.cli import run_command

from ..real_data import REAL

METRICS = ("containment", "squad_em", "squad_f1", "mlqa_em", "mlqa_f1")
pytestmark = pytest.mark.skipif(not (REAL / "goldens").is_dir(), reason="the golden scores are not beside the project")


@pytest.mark.parametrize("language", ["ar", "en", "hi", "tr", "zh"])
def test_items_and_means_equal_the_official_ones(
    language: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (REAL / "goldens" / f"qa_scores.{language}.jsonl").read_text(encoding="utf-8")
    goldens = [json.loads(line) for line in text.split("\n") if line]
    predictions, items = tmp_path / "predictions.jsonl", tmp_path / "items.jsonl"
    lines = [json.dumps({"id": each["id"], "prediction": each["prediction"]}) + "\n" for each in goldens]
    predictions.write_text("".join(lines), encoding="utf-8")
    command = [
        "score",
        str(predictions),
        "--task",
        f"xquad/{language}",
        "--data",
        str(REAL),
        "--items",
        str(items),
        "--partial",
    ]
    assert run_command([*command, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["n"], report["total"], report["unknown"]) == (240, 1190, [])
    assert report["coverage"] == pytest.approx(240 / 1190)
    values = {each["metric"]: each["value"] for each in report["scores"]}
    scored = {
        item["id"]: item["statistics"] for item in map(json.loads, items.read_text(encoding="utf-8").split("\n")[:-1])
    }
    names = [name for name in METRICS if name in goldens[0]]
    assert len(names) == (3 if language == "tr" else 5)
    for name in names:
        for golden in goldens:
            assert scored[golden["id"]][name] == pytest.approx([golden[name], 1.0], abs=1e-9), (name, golden["id"])
        mean = sum(golden[name] for golden in goldens) / 240
        assert values[name] == pytest.approx(100 * mean, abs=1e-7)


def test_absent_predictions_count_as_wrong_on_demand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    golden = json.loads((REAL / "goldens" / "qa_scores.zh.jsonl").read_text(encoding="utf-8").split("\n")[1])
    predictions = tmp_path / "predictions.jsonl"
    predictions.write_text(json.dumps({"id": golden["id"], "prediction": golden["gold"]}) + "\n", encoding="utf-8")
    command = ["score", str(predictions), "--task", "xquad/zh", "--data", str(REAL), "--missing", "zero", "--json"]
    assert run_command(command) == 0
    report = json.loads(capsys.readouterr().out)
    values = {each["metric"]: each["value"] for each in report["scores"]}
    assert report["n"] == 1190
    assert report["coverage"] == pytest.approx(1 / 1190)
    assert values["mlqa_f1"] == pytest.approx(100 / 1190)
