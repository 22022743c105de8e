"""Both layouts of fused weights, whichever this machine would choose."""

import importlib

import pytest
import torch


@pytest.fixture(params=[True, False], ids=["prepacked", "dense"])
def prepacked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if request.param and not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]  # of torch
        pytest.skip("torch was built without oneDNN")
    linear = importlib.import_module("xlingual.plugins.models.hf.packed.linear")
    monkeypatch.setattr(linear, "prepacking_is_faster", lambda _weight: request.param)
    return bool(request.param)
