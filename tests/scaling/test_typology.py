"""Typological similarity: the package's own distances, to its four digits; and what is said where it knows nothing."""

import importlib.util
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from xlingual.cli import run_command
from xlingual.errors import DataError, EnvironmentFault
from xlingual.scaling import typology
from xlingual.scaling.similarity import read_similarity
from xlingual.scaling.typology import KINDS, typological_similarity

HAS_PACKAGE = importlib.util.find_spec("urielplus") is not None
LANGUAGES = ("zh", "ar", "hi", "tr", "vi", "el", "de", "ja")


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with three languages and four features of two sources, in the layout of urielplus 1.3."""
    path = tmp_path / "urielplus" / typology.FEATURES
    path.parent.mkdir(parents=True)
    (tmp_path / "urielplus" / "__init__.py").write_text("raise RuntimeError('it is not imported')", encoding="utf-8")
    unknown = [-1.0, -1.0]
    data = np.array(
        [
            [[1, -1], [0, 0], [1, 1], unknown],  # eng
            [[1, 0], [1, -1], unknown, [1, 1]],  # tur: of the first feature one source says 1
            [[0, -1], [0, 0], unknown, unknown],  # cmn: none of the features that it shares
            [unknown, unknown, unknown, [1, 1]],  # hin: none shared
        ],
        dtype=np.float32,
    )
    np.savez(path, feats=np.array(["S_A", "S_B", "P_C", "INV_D"]), langs=np.array(["eng", "tur", "cmn", "hin"]),
             data=data, sources=np.array(["ONE", "TWO"]))  # fmt: skip
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("importlib.metadata.version", lambda _: "1.3.2")
    importlib.invalidate_caches()
    return tmp_path


@pytest.fixture(autouse=True)
def fresh_search() -> Iterator[None]:
    importlib.invalidate_caches()
    yield
    importlib.invalidate_caches()


def test_by_hand(stand_in: Path) -> None:
    turkish, chinese = typological_similarity(["tr", "zh"])
    # English (1, 0) and Turkish (1, 1): 45 degrees, half of 90.
    assert (turkish.distance, turkish.similarity, turkish.features) == (0.5, 0.5, 2)
    # English (1, 0) and Chinese (0, 0): no feature in common; gamma is above 0.
    assert (chinese.distance, chinese.similarity, chinese.features) == (1.0, 0.001, 2)
    assert turkish.source == "urielplus 1.3.2, featural"


def test_what_is_not_known_is_said(stand_in: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match="hi: urielplus knows no featural feature of it that it knows of en"):
        typological_similarity(["hi"])
    with pytest.raises(DataError, match="el: urielplus does not know the language"):
        typological_similarity(["el"])
    words = ["scale", "similarity", "--by", "typology", "-l", "tr"]
    assert run_command([*words, "-m", "echo"]) == 2
    assert "typology is of languages, not of a model" in capsys.readouterr().err
    assert run_command(words) == 0
    assert "warning: tr: only 2 featural features are known of both" in capsys.readouterr().err
    (stand_in / "urielplus" / typology.FEATURES).write_bytes(b"no archive")
    assert run_command(words) == 5
    assert "its features cannot be read" in capsys.readouterr().err


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(EnvironmentFault, match="the package urielplus is not installed"):
        typological_similarity(["zh"])


def test_tokens_need_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["scale", "similarity", "-l", "zh"]) == 2
    assert "--model: whose tokenizer?" in capsys.readouterr().err


@pytest.mark.skipif(not HAS_PACKAGE, reason="needs the extra `typology`")
@pytest.mark.parametrize("kind", KINDS)
def test_distances_are_those_of_the_package(kind: str) -> None:
    before = logging.root.handlers[:]
    found = {each.language: each for each in typological_similarity(list(LANGUAGES), kind) if each.features}
    assert logging.root.handlers == before
    from urielplus.urielplus import URIELPlus  # noqa: PLC0415 - optional, and it sets up logging

    logging.root.handlers[:] = before
    package = URIELPlus()
    for each in found.values():
        theirs = float(package.new_distance(kind, ["eng", each.code]))
        assert each.distance == pytest.approx(theirs, abs=1.01e-4)
    assert (found["ar"].code, found["hi"].code) == ("ara", "hin")  # of Standard Arabic alone, few features are known


@pytest.mark.skipif(not HAS_PACKAGE, reason="needs the extra `typology`")
def test_the_table_goes_into_a_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "typology.csv"
    assert run_command(["scale", "similarity", "--by", "typology", "-l", "zh,hi,de", "--write", str(table)]) == 0
    found = read_similarity(table)
    assert found["de"] > found["hi"] > found["zh"] > 0.3
    assert "urielplus 1." in table.read_text(encoding="utf-8")
