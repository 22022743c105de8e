"""comet22 by the command line: predictions, stored answers, after an evaluation, and what doctor says."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from xlingual.cli import run_command
from xlingual.metrics.comet.scorer import CometScorer, Segment

Document = dict[str, object]
TASK = "flores101/en-zh"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> Document:
    assert run_command([*words, "--json"]) == 0, capsys.readouterr().err
    found: Document = json.loads(capsys.readouterr().out)
    return found


def scores(estimates: object) -> dict[str, dict[str, object]]:
    assert isinstance(estimates, list)
    return {each["metric"]: each for each in estimates}


@pytest.fixture
def answered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Return the folder of a run without COMET."""
    out = tmp_path / "runs"
    run(capsys, "eval", "-m", "echo", "-t", TASK, "--data", "sample", "-o", str(out))
    return next(out.glob("*/*/results.json")).parent


def recorded(folder: Path) -> dict[str, dict[str, object]]:
    return scores(json.loads((folder / "results.json").read_text(encoding="utf-8"))["estimates"])


def statistics(folder: Path, metric: str) -> list[list[float] | None]:
    lines = (folder / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["statistics"].get(metric) for line in lines]


def test_a_predictions_file(models: Path, answered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [json.loads(line) for line in (answered / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = [{"id": line["id"], "prediction": line["targets"][0]} for line in lines]
    predictions, items = tmp_path / "p.jsonl", tmp_path / "items.jsonl"
    predictions.write_text("".join(json.dumps(row) + "\n" for row in rows[:-1]), encoding="utf-8")
    words = ["score", str(predictions), "--task", TASK, "--data", "sample", "--items", str(items), "--partial"]
    found = scores(run(capsys, *words, "--metrics", "comet22,cometkiwi22")["scores"])
    assert found["comet22"]["n"] == found["cometkiwi22"]["n"] == 23
    assert found["comet22"]["low"] is not None
    assert str(found["comet22"]["signature"]).endswith("|dtype:float32|scale:100")
    assert {"off_target", "source_copy"} <= set(found)
    each = [json.loads(line)["statistics"]["comet22"][0] for line in items.read_text(encoding="utf-8").splitlines()]
    assert found["comet22"]["value"] == pytest.approx(100 * sum(each) / 23)
    zero = scores(run(capsys, *words, "--metrics", "comet22", "--missing", "zero")["scores"])
    assert zero["comet22"]["value"] == pytest.approx(100 * sum(each) / 24)
    low = scores(run(capsys, *words, "--metrics", "comet22", "--dtype", "bfloat16", "--device", "cpu")["scores"])
    assert "|dtype:bfloat16|" in str(low["comet22"]["signature"])
    assert "comet22" not in scores(run(capsys, *words)["scores"])


def test_stored_answers_keep_what_was_computed(
    models: Path, answered: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "comet22" not in recorded(answered)
    words = ["score", str(answered), "--data", "sample"]
    run(capsys, *words, "--metrics", "comet22")
    first, rows = recorded(answered)["comet22"], statistics(answered, "comet22")
    assert first["n"] == 24
    assert all(row is not None and row[1] == 1.0 for row in rows)
    run(capsys, *words)
    assert recorded(answered)["comet22"] == first
    assert statistics(answered, "comet22") == rows


def test_a_resumed_run_judges_new_answers_only(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By another dtype, or with another answer, it is another question."""
    seen: list[int] = []
    judge = CometScorer.score

    def count(self: CometScorer, segments: Sequence[Segment], **_: object) -> list[float]:
        seen.append(len(segments))
        return judge(self, segments)

    monkeypatch.setattr(CometScorer, "score", count)
    words = ["eval", "-m", "echo", "-t", TASK, "--data", "sample", "-o", str(tmp_path)]
    run(capsys, *words, "--metrics", "comet22")
    folder = next(tmp_path.glob("*/*/results.json")).parent
    first, rows = recorded(folder)["comet22"], statistics(folder, "comet22")
    run(capsys, *words, "--metrics", "comet22")
    run(capsys, *words)
    assert seen == [24]
    samples = folder / "samples.jsonl"
    lines = samples.read_text(encoding="utf-8").splitlines()
    lines[3] = json.dumps({**json.loads(lines[3]), "answer": "another answer"})
    samples.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    run(capsys, *words)
    assert seen == [24, 1]
    assert (recorded(folder)["comet22"], statistics(folder, "comet22")) == (first, rows)
    samples.write_text("{}\n", encoding="utf-8")
    run(capsys, *words)
    monkeypatch.setenv("XLINGUAL_COMET_DTYPE", "bfloat16")
    run(capsys, *words)
    assert seen == [24, 1, 24, 24]


def test_edited_answers_are_judged_when_they_are_scored_again(
    models: Path, answered: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["score", str(answered), "--data", "sample", "--metrics", "comet22"]
    run(capsys, *words)
    samples, first = answered / "samples.jsonl", statistics(answered, "comet22")
    lines = samples.read_text(encoding="utf-8").splitlines()
    lines[3] = json.dumps({**json.loads(lines[3]), "answer": "another answer"})
    samples.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    run(capsys, *words)
    second = statistics(answered, "comet22")
    assert [place for place in range(24) if abs((first[place] or [9])[0] - (second[place] or [9])[0]) > 1e-5] == [3]


def test_after_an_evaluation(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "runs"
    words = ["eval", "-m", "oracle", "-t", f"{TASK},xquad/zh", "--data", "sample", "-o", str(out)]
    assert run_command([*words, "--metrics", "comet22", "--progress", "plain"]) == 0
    assert "note: xquad/zh: comet22 judges translations, and is not computed" in capsys.readouterr().err
    found = {path.parent.name.rpartition("-")[0]: recorded(path.parent) for path in out.glob("*/*/results.json")}
    assert [name for name, metrics in found.items() if "comet22" in metrics] == ["flores101-en-zh"]
    assert sorted(path.parent.name for path in out.glob("*/*/results.json")) == sorted(
        path.parent.name for path in out.glob("*/*/run.json")
    )


def test_two_models_are_compared(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "runs"
    words = ["eval", "-m", "oracle", "-m", "echo", "-t", TASK, "--data", "sample", "-o", str(out)]
    run(capsys, *words, "--metrics", "comet22")
    first, second = sorted(path.parent for path in out.glob("*/*/results.json"))
    found = run(capsys, "compare", str(first), str(second), "--metric", "comet22")
    text = json.dumps(found)
    assert '"metric": "comet22"' in text
    assert '"p": ' in text


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--task", TASK, "--metrics", "comet2"], 2, "no such metric: 'comet2'"),
        (["--task", "xquad/zh", "--metrics", "comet22"], 2, "comet22 judges translations, and xquad/zh asks for none"),
        (["--task", TASK, "--metrics", "comet22", "--device", "warp"], 2, "no such device: 'warp'"),
    ],
)
def test_faults_are_named(
    models: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: Sequence[str],
    code: int,
    message: str,
) -> None:
    identifier = "sample-xq-0001" if "xquad/zh" in words else "devtest-0001"
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({"id": identifier, "prediction": "x"}) + "\n", encoding="utf-8")
    assert run_command(["score", str(path), "--data", "sample", *words]) == code
    assert message in capsys.readouterr().err


def test_without_weights_the_rest_is_scored(
    answered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XLINGUAL_COMET_DIR", str(tmp_path / "none"))
    run(capsys, "score", str(answered), "--data", "sample", "--metrics", "comet22")
    found = recorded(answered)
    assert found["comet22"]["value"] is None
    assert str(found["comet22"]["reason"]).startswith("not computed: the model comet22 is not on this machine")
    assert found["chrf++"]["value"] is not None


def test_doctor_says_how_to_get_them(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["doctor"]) == 0
    assert "| COMET comet22 | pass |" in capsys.readouterr().out
    monkeypatch.setenv("XLINGUAL_COMET_DIR", str(tmp_path / "none"))
    assert run_command(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert "xlingual metrics comet22 --fetch (2.3 GB, Apache-2.0)" in shown
    kiwi = "accept CC BY-NC-SA 4.0 at https://huggingface.co/Unbabel/wmt22-cometkiwi-da, set HF_TOKEN, then"
    assert f"{kiwi} xlingual metrics cometkiwi22 --fetch (2.3 GB)" in shown


def test_convert(
    checkpoints: dict[str, Path],
    encoder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XLINGUAL_COMET_DIR", str(tmp_path))
    words = ["metrics", "comet22", "--convert", str(checkpoints["comet22"])]
    assert run_command(words) == 2
    assert "hint: the folder with config.json and tokenizer.json of FacebookAI/xlm-roberta" in capsys.readouterr().err
    assert run_command([*words, "--encoder", str(encoder)]) == 3
    assert "--unpublished converts it all the same" in capsys.readouterr().err
    assert run_command([*words, "--encoder", str(encoder), "--unpublished"]) == 0
    captured = capsys.readouterr()
    assert f"comet22: {tmp_path / 'comet22'}" in captured.err
    assert "model:unpublished" in captured.out
    for wrong in (
        ["metrics", "--fetch"],
        ["metrics", "chrf++", "--fetch"],
        ["metrics", "comet22", "cometkiwi22", "--convert", "x", "--encoder", "y"],
        ["metrics", "comet22", "--fetch", "--convert", "x"],
        ["metrics", "comet22", "--unpublished"],
    ):
        assert run_command(wrong) == 2
