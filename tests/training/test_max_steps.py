"""`--max-steps`: a training that ends early says so, is no whole, and goes on bit for bit without it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from safetensors.torch import load_file

from xlingual.cli import run_command
from xlingual.tune.recipe_records import Tuning

from .conftest import MakeRun, column, largest_difference, make_plan, make_rows, run_folder, tune_run

STEPS = 8


@pytest.mark.parametrize("kind", [Tuning.FULL, Tuning.LORA])
def test_it_goes_on_bit_for_bit(kind: Tuning, make_run: MakeRun) -> None:
    plan = make_plan(make_rows(), steps=STEPS, kind=kind)
    whole, parts = make_run("whole", plan), make_run("parts", plan)
    expected = whole.run(1, merge=True)
    for last in (1, 5, STEPS, 20):
        found = parts.run(1, merge=True, max_steps=last)
        assert column(found, "step") == list(range(1, min(last, STEPS) + 1))
    for name in ("loss", "gradient_norm", "learning_rate"):  # the rates are those of all 8 steps
        assert column(found, name) == column(expected, name)
    assert largest_difference(whole.weights(), parts.weights()) == 0.0
    partial = load_file(parts.folder / "tiny-step-5" / "model.safetensors")
    assert largest_difference(partial, parts.weights()) > 0.0
    records = {
        name: json.loads((parts.folder / name / "provenance.json").read_text(encoding="utf-8"))
        for name in ("tiny", "tiny-step-5")
    }
    assert [(each["steps"], each.get("max_steps")) for each in records.values()] == [(8, None), (5, 5)]
    assert records["tiny-step-5"]["plan"]["steps"] == STEPS


def test_what_the_command_says(data_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(tune_run(data_folder, "full", "--max-steps", "3")) == 0
    said = capsys.readouterr()
    assert "stopped by --max-steps after 3 of 8 steps" in said.out
    assert "the same command without it goes on from there" in said.out
    assert "3 of 8 steps" in said.err
    folder = run_folder(data_folder)
    assert sorted(each.name for each in folder.glob("mine*")) == ["mine-step-3"]
    assert run_command(tune_run(data_folder, "full", "--max-steps", "3")) == 0  # done already
    assert run_command(tune_run(data_folder, "full", "--max-steps", "2")) == 2
    assert "--max-steps: 3 steps are done already, more than 2" in capsys.readouterr().err
    assert run_command(tune_run(data_folder, "full", "--json")) == 0
    record = json.loads(capsys.readouterr().out)["record"]
    assert (record["steps"], record.get("max_steps")) == (8, None)
    assert sorted(each.name for each in folder.glob("mine*")) == ["mine", "mine-step-3"]


def test_an_evaluation_of_a_part_names_the_part(data_folder: Path) -> None:
    assert run_command(tune_run(data_folder, "full", "--max-steps", "3")) == 0
    from xlingual.plugin import ModelOptions  # noqa: PLC0415
    from xlingual.selection import open_model  # noqa: PLC0415

    model = open_model(str(run_folder(data_folder) / "mine-step-3"), ModelOptions(device="cpu", offline=True))
    assert (model.spec.parent or "").endswith(", 3 of 8 steps)")


def test_the_option_is_a_positive_number() -> None:
    from xlingual.cli.tune.run import COMMAND  # noqa: PLC0415

    assert CliRunner().invoke(COMMAND, ["x", "--max-steps", "0"]).exit_code == 2
