"""What all tests share: a user's plugins and cache never reach them."""

import gc

import pytest


def pytest_collection_finish() -> None:
    """Spare the garbage collector what collection has made: objects of thousands of tests, which live until the end."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_user_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take settings of the machine's user out of the environment."""
    for name in ("PLUGINS", "SPM_DIR", "COMET_DIR", "COMET_DEVICE", "COMET_DTYPE"):
        monkeypatch.delenv(f"XLINGUAL_{name}", raising=False)
