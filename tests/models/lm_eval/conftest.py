"""What the tests of lm-eval's tasks share: its own search path, and no network."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def search_only(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Let lm-eval find the tasks of a folder, offline, and keep what `datasets` makes of them in one place."""

    def search(folder: Path) -> None:
        monkeypatch.setenv("XLINGUAL_LM_EVAL_PATH", str(folder))
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path_factory.getbasetemp() / "datasets"))

    return search
