"""The TOML files that the pages show are files here, word for word, and these are asked questions."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from .conftest import PLUGINS, Xlingual

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "declared-tasks.md").read_text(encoding="utf-8")
FILES: dict[str, list[dict[str, Any]]] = {
    "rivers/en.test.jsonl": [
        {"river": "Vistula", "seas": ["the Baltic Sea", "Baltic"]}, {"river": "Po", "seas": ["the Adriatic Sea"]},
    ],
    "rivers/en.dev.jsonl": [{"river": "Nile", "seas": ["the Mediterranean"]}],
    "rivers/vi.test.jsonl": [{"river": "Sông Hồng", "seas": ["Biển Đông"]}],
    "errands/en.jsonl": [{"problem": "What do 2 books of 600 and a pen of 34 cost?", "result": "1,234"}],
    "errands/de.jsonl": [{"problem": "Was kosten 2 Bücher zu 600 und ein Stift zu 34?", "result": "1,234"}],
}  # fmt: skip
SIZES = "question\ta\tb\tc\tright\nWhich is the largest?\ta whale\ta mouse\ta horse\tA\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "my-data"
    for name, rows in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "sizes").mkdir()
    (folder / "sizes" / "en.tsv").write_text(SIZES, encoding="utf-8")
    return folder


def test_every_toml_block_is_a_file_that_is_tested() -> None:
    blocks = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    files = {path.stem: path.read_text(encoding="utf-8") for path in (PLUGINS / "tasks").glob("*.toml")}
    assert sorted(blocks) == sorted(files.values())
    assert all(text.count("\n") <= 22 for text in files.values())


def test_rows_of_the_page_are_those_of_the_test() -> None:
    shown = [json.loads(line) for line in re.findall(r"^    (\{.*\})$", PAGE, re.MULTILINE)]
    assert shown[:2] == FILES["rivers/en.test.jsonl"]
    assert SIZES.splitlines()[0] in PAGE


@pytest.mark.parametrize(("said", "f1"), [("the Baltic Sea", 100.0), ("Baltic", 100.0), ("the North Sea", 75.0)])
def test_several_golds(said: str, f1: float, xlingual: Xlingual, data: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.jsonl"
    lines = [{"id": "Vistula", "prediction": said}, {"id": "Po", "prediction": "the Adriatic Sea"}]
    script.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    words = ("-t", "rivers/en", "--data", str(data), "-o", str(tmp_path / "runs"))
    finished = xlingual("eval", "-m", f"scripted:{script}", *words)
    assert finished.code == 0, finished.stderr
    assert f"| rivers/en | 2 | {f1} |" in finished.stdout
    finished = xlingual("eval", "-m", "oracle", *words, "--shots", "1", "--dry-run")
    assert "River: Nile\nSea: the Mediterranean\n\nRiver: Vistula\nSea:" in finished.stdout


def test_choices(xlingual: Xlingual, data: Path, tmp_path: Path) -> None:
    words = ("eval", "-m", "oracle", "-t", "sizes/en", "--data", str(data), "-o", str(tmp_path))
    assert "| oracle | sizes/en | 1 | 100.0 |" in xlingual(*words).stdout
    shown = xlingual(*words, "--dry-run").stdout
    assert "Which is the largest?\nA. a whale\nB. a mouse\nC. a horse\nAnswer: " in shown


@pytest.mark.parametrize(
    ("language", "said", "score"),
    [
        ("en", "2 * 600 = 1,200. 1,200 + 34 = 1,234. So it is 1,234.", 100.0),
        ("de", "2 * 600 = 1.200. 1.200 + 34 = 1.234. Es sind 1.234.", 100.0),
        ("en", "It is 1,234, not 1,200.", 0.0),
        ("en", "I do not know.", 0.0),
    ],
)
def test_chains_of_thought(
    language: str, said: str, score: float, xlingual: Xlingual, data: Path, tmp_path: Path
) -> None:
    script = tmp_path / "script.jsonl"
    script.write_text(json.dumps({"id": "test-0001", "prediction": said}), encoding="utf-8")
    words = ("-t", f"errands/{language}", "--data", str(data), "-o", str(tmp_path / "runs"))
    finished = xlingual("eval", "-m", f"scripted:{script}", *words)
    assert finished.code == 0, finished.stderr
    assert f"| errands/{language} | 1 | {score} |" in finished.stdout
    shown = xlingual("eval", "-m", f"scripted:{script}", *words, "--shots", "1", "--dry-run").stdout
    assert {"en": "2 * 3 = 6. So it is 6.", "de": "2 * 3 = 6. Es sind 6."}[language] in shown
