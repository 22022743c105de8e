"""What the tests of local models share."""

import sys

import pytest

ADAPTERS = "xlingual.plugins.models.hf.checkpoint.adapters"


@pytest.fixture(autouse=True)
def _no_base_of_another_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """A base that an earlier test of this process left open would not be shared with the adapters of this one."""
    if ADAPTERS in sys.modules:
        monkeypatch.setattr(f"{ADAPTERS}.SHARED", sys.modules[ADAPTERS].SharedBase())
