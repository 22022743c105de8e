"""Plans: sizes by hand, an id that is the same on every machine, and rows that are read back as written."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xlingual.errors import DataError, EnvironmentFault, ModelError, UsageError
from xlingual.plugin import DataSource, ModelOptions
from xlingual.registry import MODELS
from xlingual.tune.order import steps_of_epoch
from xlingual.tune.plan import PackLayout, count_steps, identify
from xlingual.tune.prepare import ROWS, load_plan, plan_mix, prepare, store_plan
from xlingual.tune.recipe_records import Norm, Recipe
from xlingual.tune.rows_file import ARRAYS

from .conftest import DataFolder

SOURCES = """
[sources.a]
reader = "alpaca"
path = "a.jsonl"
language = "en"

[sources.b]
reader = "parallel"
path = "b.{language}"
direction = "en-zh"
"""


@pytest.fixture
def recipe(data_folder: DataFolder) -> Recipe:
    data_folder.instructions("a.jsonl", [(f"Write {number}.", "", str(number)) for number in range(9)])
    data_folder.write("b.en", "One.\nTwo.\nThree.\n")
    data_folder.write("b.zh", "一。\n二。\n三。\n")
    return data_folder.recipe(SOURCES)


def test_sizes(data_folder: DataFolder, recipe: Recipe) -> None:
    prepared = data_folder.plan(recipe)
    plan, rows = prepared.plan, prepared.rows
    assert (plan.rows, len(rows)) == (12, 12)
    assert plan.steps == 2 * 3  # two epochs of twelve rows, four a step
    assert plan.tokens == int(rows.lengths.sum()) == sum(each.tokens for each in plan.sources)
    assert plan.supervised == 9 * 2 + 3 * 3  # a digit or "一。", and the end token
    assert rows.sources.tolist() == [0] * 9 + [1] * 3
    assert plan.pack_length == 40_000
    assert plan.packs == 3  # one a step
    assert plan.fill == pytest.approx(plan.tokens / (3 * 40_000))


@pytest.mark.parametrize(("epochs", "steps"), [(1, 3), (2, 6), (0.5, 2), (1.5, 5), (0.01, 1), (2.34, 7)])
def test_steps_of_fractions_of_epochs(epochs: float, steps: int, data_folder: DataFolder, recipe: Recipe) -> None:
    rows = data_folder.plan(recipe).rows
    assert count_steps(rows, replace(recipe.schedule, epochs=float(epochs)), 0) == steps


def test_steps_of_tokens_are_those_of_the_order(data_folder: DataFolder, recipe: Recipe) -> None:
    rows = data_folder.plan(recipe).rows
    schedule = replace(recipe.schedule, rows_per_step=None, tokens_per_step=700, epochs=2.0)
    expected = [len(steps_of_epoch(rows, schedule, 0, epoch)) for epoch in range(2)]
    assert count_steps(rows, schedule, 0) == sum(expected)


def test_a_stored_plan_is_read_back(data_folder: DataFolder, recipe: Recipe, tmp_path: Path) -> None:
    planned = data_folder.plan(recipe)
    prepared = prepare(recipe, data_folder.model, data_folder.data_source, tmp_path / "runs")
    assert prepared.plan == planned.plan
    assert prepared.folder is not None
    assert prepared.folder.name == f"mine-{planned.plan.id[:8]}"
    for name in ARRAYS:
        stored = getattr(prepared.rows, name)
        assert isinstance(stored, np.memmap)
        assert np.array_equal(stored, getattr(planned.rows, name))
        assert stored.dtype == getattr(planned.rows, name).dtype
    assert sorted(path.name for path in (prepared.folder / ROWS).iterdir()) == sorted(f"{name}.npy" for name in ARRAYS)
    before = {path: path.read_bytes() for path in prepared.folder.rglob("*") if path.is_file()}
    prepare(recipe, data_folder.model, data_folder.data_source, tmp_path / "runs")
    assert before == {path: path.read_bytes() for path in prepared.folder.rglob("*") if path.is_file()}


def test_packs_drop_and_cut_nothing(data_folder: DataFolder, recipe: Recipe) -> None:
    """Pitfall 4: the recipe alone says what is done with long rows; packing drops and cuts none."""
    wide = plan_mix(recipe, data_folder.model, data_folder.data_source)
    longest = int(wide.rows.lengths.max())
    narrow = plan_mix(
        replace(recipe, length=longest), data_folder.model, data_folder.data_source, layout=PackLayout(pack_length=1)
    )
    assert narrow.plan.pack_length == longest  # never under the longest row
    assert narrow.plan.packs == 12  # a row each
    assert narrow.plan.sources == wide.plan.sources
    assert np.array_equal(narrow.rows.tokens, wide.rows.tokens)
    other = plan_mix(recipe, data_folder.model, data_folder.data_source, layout=PackLayout(pack_length=20_000))
    assert (other.plan.id, other.plan.steps) == (wide.plan.id, wide.plan.steps)


def test_changed_rows_are_refused(data_folder: DataFolder, recipe: Recipe, tmp_path: Path) -> None:
    folder = store_plan(data_folder.plan(recipe), tmp_path / "runs").folder
    assert folder is not None
    path = folder / ROWS / "tokens.npy"
    good = path.read_bytes()
    for bad in (good[:-1] + bytes([good[-1] ^ 1]), good[:-4], b"", b"\x93NUMPY"):
        path.write_bytes(bad)
        with pytest.raises((DataError, EnvironmentFault)) as caught:
            load_plan(folder)
        assert str(folder) in caught.value.where
    path.write_bytes(good)
    load_plan(folder)
    text = (folder / "plan.json").read_text(encoding="utf-8")
    (folder / "plan.json").write_text(text.replace('"learning_rate": 0.001', '"learning_rate": 0.01'), encoding="utf-8")
    with pytest.raises(DataError, match="not those of the plan's id"):
        load_plan(folder)


def test_a_full_disk_leaves_no_plan(data_folder: DataFolder, recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(EnvironmentFault):
        store_plan(data_folder.plan(recipe), tmp_path / "file")


def test_the_id_depends_on_recipe_base_and_rows(data_folder: DataFolder, recipe: Recipe, tmp_path: Path) -> None:
    planned = data_folder.plan(recipe)
    base, rows = planned.plan.base, planned.rows

    def of(changed: Recipe) -> str:
        return identify(changed, base, rows)

    renamed = replace(recipe, base="letters:elsewhere", description="in other words")
    assert identify(renamed, replace(base, word="letters:elsewhere", name="elsewhere"), rows) == planned.plan.id
    schedule = recipe.schedule
    changes = [
        replace(recipe, seed=1),
        replace(recipe, schedule=replace(schedule, learning_rate=2e-3)),
        replace(recipe, schedule=replace(schedule, norm=Norm.ROW)),  # pitfall 5: the norm is part of the record
        replace(recipe, template="raw"),
    ]
    assert len({planned.plan.id, *(of(changed) for changed in changes)}) == 5
    assert identify(recipe, replace(base, fingerprint="1" * 64), rows) != planned.plan.id
    moved = tmp_path / "elsewhere"
    data_folder.path.rename(moved)
    again = plan_mix(recipe, data_folder.model, DataSource(folder=moved, sample=False, offline=True))
    assert again.plan.id == planned.plan.id


def test_the_norm_is_in_the_stored_plan(data_folder: DataFolder, recipe: Recipe, tmp_path: Path) -> None:
    """Pitfall 5: what a loss was divided by can be read from the record."""
    changed = replace(recipe, schedule=replace(recipe.schedule, norm=Norm.ROW))
    folder = store_plan(data_folder.plan(changed), tmp_path / "runs").folder
    assert folder is not None
    stored = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    assert stored["recipe"]["schedule"]["norm"] == "row"


def test_a_model_that_cannot_be_tuned(data_folder: DataFolder, recipe: Recipe) -> None:
    with pytest.raises(ModelError, match="cannot be tuned"):
        plan_mix(recipe, MODELS.get("echo")("", ModelOptions()), data_folder.data_source)


def test_the_reasons_for_an_empty_source_are_shown(data_folder: DataFolder, recipe: Recipe) -> None:
    with pytest.raises(DataError) as caught:
        data_folder.plan(replace(recipe, length=20))
    assert caught.value.where == "source a"
    assert caught.value.what == "no row is left to learn from: 0 skipped, 0 contaminated, 0 duplicates, 9 dropped"
    assert caught.value.hint == "a row has room for 20 tokens: raise length"


def test_a_data_folder_is_required(data_folder: DataFolder, recipe: Recipe) -> None:
    with pytest.raises(UsageError, match="say where the training data are"):
        plan_mix(recipe, data_folder.model, DataSource(folder=None, sample=False, offline=True))
    (data_folder.path / "b.zh").rename(data_folder.path / "b.zho")
    with pytest.raises(DataError, match="no such file of training text") as caught:
        data_folder.plan(recipe)
    assert "did you mean b.zho" in caught.value.hint
    (data_folder.path / "b.zh").mkdir()
    (data_folder.path / "b.zh" / "part.txt").touch()
    with pytest.raises(DataError, match="no such file of training text") as caught:
        data_folder.plan(recipe)
    assert "it is a folder" in caught.value.hint
    assert "known: part.txt" in caught.value.hint
