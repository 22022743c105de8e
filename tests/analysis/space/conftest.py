"""The planted model, its twin without a neutral layer, and their analyses, made once."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from xlingual.analysis.space import ParallelText, SpaceRecord, SpaceSettings, analyze_space
from xlingual.plugin import ModelOptions
from xlingual.selection import open_model


def _planted() -> ModuleType:
    name = "planted_space_model"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("planted.py"))
        if spec is None or spec.loader is None:
            raise ImportError(name)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="session")
def planted() -> ModuleType:
    """The module that makes the model."""
    return _planted()


@pytest.fixture(scope="session")
def planted_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted") / "planted"
    _planted().make_planted_model(folder)
    return folder


@pytest.fixture(scope="session")
def plain_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same embeddings under layers that do nothing."""
    folder = tmp_path_factory.mktemp("plain") / "plain"
    _planted().make_planted_model(folder, neutral=False)
    return folder


@pytest.fixture(scope="session")
def planted_text() -> ParallelText:
    text: ParallelText = _planted().planted_text()
    return text


def analyze(folder: Path, text: ParallelText, settings: SpaceSettings | None = None) -> SpaceRecord:
    """Analyse a model of a folder."""
    model = open_model(str(folder), ModelOptions(device="cpu"))
    try:
        return analyze_space(model, text, settings or SpaceSettings(poolings=("mean", "last"), lens_sentences=20))
    finally:
        model.close()


@pytest.fixture(scope="session")
def planted_record(planted_folder: Path, planted_text: ParallelText) -> SpaceRecord:
    return analyze(planted_folder, planted_text)


@pytest.fixture(scope="session")
def plain_record(plain_folder: Path, planted_text: ParallelText) -> SpaceRecord:
    return analyze(plain_folder, planted_text)
