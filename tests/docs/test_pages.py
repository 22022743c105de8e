"""README, CONTRIBUTING and docs: links lead somewhere, what is named is there, words are the field's own."""

import re
import tomllib
from pathlib import Path

import pytest

from xlingual.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PICTURES = sorted((ROOT / "docs" / "pictures").iterdir())
FETCHED = re.compile(r"""(href|src)\s*=\s*["'](?!#)|url\((?!["']?#)|@import|@font-face|<script|<foreignObject""")
"""What makes a picture load something, or run something; places inside it begin with #."""
PRIVATE = re.compile(
    r"\b(Slots?|Whole|trie|Drafts|Piece|Span|Lean|lean|proven|making ready|weigh|Account|Crew|Staff|Hired"
    r"|Flight|Standing|Stretch|Ledger|Calendar|settle|Noting|DataPlace|Fitted|Story|Course)\b"
)
"""Words that stood for terms of the field: KV cache, prefix tree, prompt lookup, verification, log window."""
FOLDERS = ("harness", "models", "tasks", "tests", "leaderboards", "docs", "bench")
HF = ROOT / "models" / "hf"
HF_FOLDERS = tuple(sorted(path.name for path in HF.iterdir() if path.is_dir() and not path.name.startswith("_")))


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def name_of(page: Path) -> str:
    return page.name


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if target.startswith(("https://", "http://")):
            continue
        path, _, heading = target.partition("#")
        file = page.parent / path if path else page
        assert file.is_file(), f"{page.name}: {target}"
        headings = {re.sub(r"[^\w\- ]", "", each).strip().lower().replace(" ", "-") for each in
                    re.findall(r"^#+ (.*)$", text_of(file), re.MULTILINE)} if heading else set()  # fmt: skip
        assert not heading or heading in headings, f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_that_are_named_are_there(page: Path) -> None:
    for word in re.findall(r"`([^`\n]+)`", text_of(page)):
        if word.startswith(tuple(f"{each}/" for each in FOLDERS)) and not re.search(r"[*<{A-Z ]", word):
            assert (ROOT / word).exists(), f"{page.name}: {word}"


def test_places_of_changes_are_there() -> None:
    """The table of CONTRIBUTING names places below `harness/xlingual`, or beside the one named before them."""
    rows = re.findall(r"(?m)^\| [^|]+ \| ([^|]+) \| [^|]+ \|$", text_of(ROOT / "CONTRIBUTING.md"))
    named = {word for row in rows for word in re.findall(r"`([\w./]+(?:/|\.py|\.toml|\.txt|\.lock))`", row)}
    assert len(named) > 80
    kept = [ROOT / folder for folder in (*FOLDERS, "")]
    files = {str(path.relative_to(ROOT)) for folder in kept[:-1] for path in folder.rglob("*")}
    files |= {path.name for path in ROOT.iterdir()}
    missing = [word for word in named if not any(f"/{each}".endswith(f"/{word.rstrip('/')}") for each in files)]
    assert missing == []


def test_every_folder_of_the_package_has_its_place_in_the_map() -> None:
    page = text_of(ROOT / "CONTRIBUTING.md").partition("## Where a change goes")[2].partition("## The laws")[0]
    folders = [path.parent.name for path in (ROOT / "harness" / "xlingual").glob("*/__init__.py")]
    assert [each for each in folders if each != "plugins" and f"{each}/" not in page] == []


def test_modules_of_the_engines_are_there() -> None:
    page = text_of(ROOT / "docs" / "engine.md")
    found = set(re.findall(rf"(?<![/\w])((?:{'|'.join(HF_FOLDERS)})/[a-z_]+)", page))
    assert len(found) > 5
    drawn = set(re.findall(r"\b([a-z]+_[a-z_]+)\b", page.partition("```text")[2].partition("```")[0]))
    for module in found | {f"packed/{each}" for each in drawn}:
        assert (HF / f"{module}.py").is_file() or (HF / module / "__init__.py").is_file(), module


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_words_are_those_of_the_field(page: Path) -> None:
    found = [(number, each.group()) for number, line in enumerate(text_of(page).splitlines(), start=1)
             for each in PRIVATE.finditer(line)]  # fmt: skip
    assert found == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_names_a_machine(page: Path) -> None:
    assert not re.search(r"(^|[^A-Za-z.])/(work|tmp|root|home/[a-z]+)/", text_of(page))


@pytest.mark.parametrize("picture", PICTURES, ids=name_of)
def test_pictures_are_small_and_fetch_nothing(picture: Path) -> None:
    assert picture.stat().st_size < 100_000
    assert picture.suffix == ".png" or FETCHED.search(text_of(picture)) is None


def test_the_readme_is_read_to_the_end() -> None:
    text = text_of(ROOT / "README.md")
    assert text.count("\n") <= 150
    assert text.index("make eval ") < text.index("make test ") < text.index("docs/pictures/board.svg")


def test_every_page_is_reached_from_the_readme() -> None:
    linked = set(re.findall(r"\]\(docs/([a-z-]+\.md)\)", text_of(ROOT / "README.md")))
    assert linked == {path.name for path in (ROOT / "docs").glob("*.md")}


def test_every_backend_is_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    page = text_of(ROOT / "docs" / "models.md")
    for name in MODELS.names():
        assert re.search(rf"`{name.replace('_', '-')}[`:]", page), name


def test_the_import_layers_are_those_that_are_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = [re.split(r"\s*\|\s*", layer) for layer in contracts[0]["layers"]]
    section = text_of(ROOT / "CONTRIBUTING.md").partition("## Imports point down")[2]
    block = "".join(line.strip() + " " for line in section.splitlines() if line.startswith("    "))
    assert [re.split(r"\s*\|\s*", layer.strip()) for layer in block.split("->")] == layers
