"""Every TOML block of the pages on tuning is part of a recipe that the strict reader takes."""

import re
import tomllib
from pathlib import Path

import pytest

from xlingual.tune.recipe import find_recipe

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ("tuning.md", "tuning-data.md", "experiment.md")
BLOCKS = [
    pytest.param(block, id=f"{page} {number}")
    for page in PAGES
    for number, block in enumerate(
        re.findall(r"^```toml\n(.*?)^```$", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    )
]
KEYS = {
    "name": '"mine"', "description": '"mine"', "base": '"smollm2"', "template": '"alpaca"', "seed": "0",
    "length": "256", "on_long": '"drop"',
}  # fmt: skip
TABLES = {
    "sources": '[sources.own]\nreader = "alpaca"\npath = "own.json"\nlanguage = "en"\nuse = "all"\n',
    "method": '[method]\nkind = "full"\n',
    "schedule": "[schedule]\nepochs = 1\nrows_per_step = 8\nlearning_rate = 1e-3\n",
}
SOURCE = {"reader": '"alpaca"', "path": '"own.json"', "language": '"en"', "use": '"all"'}


def whole(block: str) -> str:
    """Return a recipe that has all that a block says, and what a block leaves out."""
    found = tomllib.loads(block)
    head, first, tables = re.split(r"(^\[)", block, maxsplit=1, flags=re.MULTILINE)
    text = "".join(f"{key} = {value}\n" for key, value in KEYS.items() if key not in found) + head + first + tables
    for name, source in found.get("sources", {}).items():
        missing = [key for key in SOURCE if key not in source and not (key == "language" and "direction" in source)]
        place = f"[sources.{name}]\n"
        text = text.replace(place, place + "".join(f"{key} = {SOURCE[key]}\n" for key in missing))
    return text + "".join(f"\n{table}" for name, table in TABLES.items() if name not in found)


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_is_read(block: str, tmp_path: Path) -> None:
    path = tmp_path / f"{tomllib.loads(block).get('name', 'mine')}.toml"
    path.write_text(whole(block), encoding="utf-8")
    recipe = find_recipe(str(path))
    assert {each.name.partition("-")[0] for each in recipe.sources} >= {
        name.partition("-")[0] for name in tomllib.loads(block).get("sources", {})
    }


def test_there_are_blocks() -> None:
    assert len(BLOCKS) >= 7
