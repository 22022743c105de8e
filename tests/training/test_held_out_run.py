"""`xlingual tune run` of a recipe that holds out rows: lines, curve, samples, tracker; none of it changes a weight."""

import csv
import json
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

import pytest
from safetensors.torch import load_file

from xlingual.cli import run_command
from xlingual.cli.tune.curve import CurveWriter
from xlingual.cli.tune.progress import describe_held_out
from xlingual.errors import EnvironmentFault
from xlingual.report import loss_curve
from xlingual.tracking import Scalar
from xlingual.training.observing import HeldOutLoss, SourceLoss
from xlingual.training.tracked import TrackedObserver

from .conftest import largest_difference, run_folder, tune_run
from .test_progress import THROUGHPUT, _report, _setup

PAIRS = """[sources.pairs]
reader = "parallel"
path = "pairs.{language}"
direction = "en-zh"
hold_out = "3 rows"
"""
HELD_OUT = HeldOutLoss(
    loss=1.25,
    supervised=40,
    by_source={name: SourceLoss(loss=loss, supervised=10) for name, loss in (("a", 1.0), ("b", 1.5), ("c", 1.25))},
    by_language={"en": SourceLoss(loss=1.0, supervised=10), "zh": SourceLoss(loss=1.375, supervised=20)},
)


@pytest.fixture
def recipe(data_folder: Path) -> Path:
    """The recipe of the other tests, two sources of which hold out rows."""
    path = data_folder / "full" / "mine.toml"
    text = (
        path.read_text(encoding="utf-8")
        .replace("[method]", f"{PAIRS}[method]")
        .replace('"alpaca"\nlength = 220', '"raw"\nlength = 250')
    )
    path.write_text(text.replace('language = "en"\n', 'language = "en"\nhold_out = "20%"\n'), encoding="utf-8")
    for code, word in (("en", "tree"), ("zh", "树")):
        lines = (f"{word} {number * 37 % 101} {number}" for number in range(12))
        (data_folder / f"pairs.{code}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.slow
def test_the_whole_of_it(data_folder: Path, recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ("--checkpoint-every", "3", "--progress", "plain")
    assert run_command(tune_run(data_folder, "full", *more, "--samples", "2")) == 0
    printed = capsys.readouterr()
    folder = run_folder(data_folder)
    steps = [json.loads(line) for line in (folder / "steps.jsonl").read_text(encoding="utf-8").splitlines()]
    evaluated = {each["step"]: each["held_out"] for each in steps if "held_out" in each}
    assert next(iter(evaluated)) == 3
    assert list(evaluated)[-1] == len(steps)
    assert set(evaluated[3]["by_source"]) == {"english", "pairs"}
    assert set(evaluated[3]["by_language"]) == {"en", "zh"}
    best = min(evaluated, key=lambda step: (evaluated[step]["loss"], step))
    for step, found in evaluated.items():
        assert (
            f"step {step}: held-out loss {found['loss']:.4f} (english {found['by_source']['english']['loss']:.3f}"
            in (printed.err)
        )
    assert (
        f"note: the exported model is that of step {best}: held-out loss {evaluated[best]['loss']:.4f}" in printed.err
    )
    assert f"exported: step {best} (best), held-out loss {evaluated[best]['loss']:.4f}\n" in printed.out
    _expect_curve(folder, steps)
    _expect_samples(folder, list(evaluated), printed.err)
    provenance = json.loads((folder / "mine" / "provenance.json").read_text(encoding="utf-8"))
    assert provenance["exported"]["checkpoint"]["step"] == best
    assert provenance["exported"]["checkpoint"]["loss"] == evaluated[best]["loss"]
    assert [each["held_out"]["rows"] for each in provenance["plan"]["sources"] if each["held_out"]["rows"]] == [4, 3]
    # Without samples, and stopped by nothing: the same weights, to the bit.
    assert run_command(tune_run(data_folder, "full", *more, out="other")) == 0
    other = run_folder(data_folder, "other")
    assert not (other / "samples.jsonl").exists()
    models = [load_file(each / "mine" / "model.safetensors") for each in (folder, other)]
    assert largest_difference(*models) == 0.0
    lines = [(each / "losses.csv").read_text(encoding="utf-8") for each in (folder, other)]
    assert lines[0] == lines[1]


def _expect_curve(folder: Path, steps: list[Mapping[str, object]]) -> None:
    rows = list(csv.DictReader((folder / "losses.csv").read_text(encoding="utf-8").splitlines()))
    whole = [
        (int(row["step"]), float(row["loss"])) for row in rows if (row["rows"], row["kind"]) == ("training", "all")
    ]
    assert whole == [(each["step"], each["loss"]) for each in steps]
    held = {(row["step"], row["name"]): row for row in rows if (row["rows"], row["kind"]) == ("held-out", "source")}
    assert set(held) >= {("3", "english"), ("3", "pairs")}
    picture = ET.parse(folder / "losses.svg").getroot()
    assert picture.tag.endswith("svg")


def _expect_samples(folder: Path, steps: list[int], errors: str) -> None:
    lines = [json.loads(line) for line in (folder / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [each["step"] for each in lines] == [step for step in steps for _ in range(2)]
    assert {each["source"] for each in lines} == {"pairs"}
    assert all(each["language"] == "zh" and each["reference"].startswith("树 ") for each in lines)
    assert all("tree" in each["prompt"] for each in lines)
    assert lines[0]["reference"] != lines[1]["reference"]
    assert f"note: step {steps[0]}, pairs: " in errors
    assert f"(reference: {lines[0]['reference']})" in errors


def test_samples_are_what_the_exported_model_says(data_folder: Path, recipe: Path) -> None:
    """The greedy answer of transformers' own generate, from the weights of the last step."""
    import torch  # noqa: PLC0415
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415

    text = recipe.read_text(encoding="utf-8")
    recipe.write_text(text.replace("seed = 5\n", 'seed = 5\nexport = "last"\n'), encoding="utf-8")
    assert run_command(tune_run(data_folder, "full", "--samples", "3")) == 0
    folder = run_folder(data_folder)
    samples = [json.loads(line) for line in (folder / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(samples) == 3
    tokenizer = AutoTokenizer.from_pretrained(folder / "mine")
    model = AutoModelForCausalLM.from_pretrained(folder / "mine").eval()
    for each in samples:
        ids = tokenizer(each["prompt"], return_tensors="pt", add_special_tokens=False)
        room = 250 - ids["input_ids"].shape[1]
        most = min(2 * (len(tokenizer(each["reference"], add_special_tokens=False)["input_ids"]) + 1) + 8, 128, room)
        with torch.no_grad():
            answer = model.generate(**ids, max_new_tokens=most, do_sample=False, pad_token_id=0)
        said = tokenizer.decode(answer[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)
        assert each["answer"] == said


def test_samples_without_held_out_pairs_are_a_note(data_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(tune_run(data_folder, "full", "--samples", "2")) == 0
    assert "no samples: no source of translations holds out rows" in capsys.readouterr().err
    assert not (run_folder(data_folder) / "samples.jsonl").exists()


def test_fresh_keeps_the_held_out_rows(data_folder: Path, recipe: Path) -> None:
    assert run_command(tune_run(data_folder, "full")) == 0
    assert run_command(tune_run(data_folder, "full", "--fresh")) == 0
    folder = run_folder(data_folder)
    assert (folder / "held_out" / "tokens.npy").is_file()
    assert (folder / "losses.csv").is_file()
    assert [path.name for path in folder.glob("before-*/losses.csv")] == ["losses.csv"]


def test_the_curve_goes_on_after_a_resume(tmp_path: Path) -> None:
    from xlingual.training import steplog  # noqa: PLC0415
    from xlingual.training.observing import SilentTrainingObserver  # noqa: PLC0415

    writer = CurveWriter(tmp_path, SilentTrainingObserver())
    for step in (1, 2):
        writer.logged([_report(step)], THROUGHPUT)
        steplog.append(tmp_path / "steps.jsonl", [_report(step)], THROUGHPUT)
    writer.end()
    before = (tmp_path / "losses.csv").read_text(encoding="utf-8")
    resumed = CurveWriter(tmp_path, SilentTrainingObserver())
    resumed.begin(_setup(start=2))
    resumed.logged([_report(3)], THROUGHPUT)
    resumed.end()
    after = (tmp_path / "losses.csv").read_text(encoding="utf-8")
    assert after.startswith(before)
    assert after[len(before) :].startswith("3,training,all,,2.0,100\n")


def test_a_curve_that_cannot_be_drawn_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []

    class Noting(CurveWriter):
        def note(self, message: str) -> None:
            notes.append(message)

    def refuse(*_: object) -> None:
        raise EnvironmentFault("matplotlib is not installed", hint="pip install it")

    monkeypatch.setattr(loss_curve, "render_picture", refuse)
    writer = CurveWriter(tmp_path, Noting(tmp_path, CurveWriter(tmp_path, None)))  # type: ignore[arg-type]
    writer.logged([_report(1)], THROUGHPUT)
    writer.end()
    assert notes == ["no losses.svg: matplotlib is not installed; pip install it"]
    assert (tmp_path / "losses.csv").is_file()


def test_what_progress_and_trackers_say() -> None:
    from dataclasses import replace  # noqa: PLC0415

    report = replace(_report(6), held_out=HELD_OUT)
    assert describe_held_out(report) == "step 6: held-out loss 1.2500 (a 1.000 b 1.500 c 1.250; en 1.000 zh 1.375)"
    assert describe_held_out(_report(6)) == ""
    sent: list[Mapping[str, float]] = []

    class Tracker:
        def metrics(self, values: Mapping[str, float], step: int) -> None:
            sent.append(values)

        def params(self, values: Mapping[str, Scalar]) -> None: ...
        def file(self, path: Path, name: str) -> None: ...
        def close(self) -> None: ...

    TrackedObserver(Tracker()).logged([report], THROUGHPUT)  # type: ignore[arg-type]  # the part that is used
    assert sent[0]["held_out/loss"] == 1.25
    assert sent[0]["held_out/loss/source/b"] == 1.5
    assert sent[0]["held_out/loss/language/zh"] == 1.375
