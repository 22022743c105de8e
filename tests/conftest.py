"""What all tests share: a user's plugins and cache never reach them."""

import pytest


@pytest.fixture(autouse=True)
def no_user_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take settings of the machine's user out of the environment."""
    for name in ("XLINGUAL_PLUGINS", "XLINGUAL_SPM_DIR"):
        monkeypatch.delenv(name, raising=False)
