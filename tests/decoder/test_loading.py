"""Exceptions of transformers while a model loads: broken files are exit code 3, out of memory is 5."""

import contextlib
from collections.abc import Callable

import pytest
import torch
from safetensors import SafetensorError
from transformers.utils import logging

from xlingual.decoder.loading import loading_errors, memory_faults, quiet_loading
from xlingual.errors import DataError, EnvironmentFault, ModelError


def _raise(error: BaseException) -> Callable[[], object]:
    def raise_it() -> object:
        raise error

    return raise_it


OUT_OF_MEMORY: dict[str, Callable[[], object]] = {
    "GPU": _raise(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")),
    "Python": _raise(MemoryError()),
    "CPU": lambda: torch.empty(2**50),
}
"""The last one is the RuntimeError of torch's own allocator."""


@pytest.mark.parametrize("kind", OUT_OF_MEMORY)
def test_out_of_memory_is_a_fault_of_the_machine(kind: str) -> None:
    with pytest.raises(EnvironmentFault) as caught, loading_errors("org/name"):
        OUT_OF_MEMORY[kind]()
    assert str(caught.value) == "org/name: the memory does not hold the model"
    assert caught.value.exit_code == 5
    assert caught.value.hint == "choose a smaller dtype or another device"
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    "error",
    [
        OSError("no file named model.safetensors"), ValueError("unrecognized model"), KeyError("lama"),
        RuntimeError("size mismatch for lm_head.weight"), TypeError("unexpected keyword"), AttributeError("no layers"),
        ImportError("needs tiktoken"), ZeroDivisionError("hidden_size // 0"), SafetensorError("header too large"),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_broken_files_are_a_fault_of_the_model(error: Exception) -> None:
    with pytest.raises(ModelError) as caught, loading_errors("org/name"):
        raise error
    assert str(caught.value) == f"org/name: the model cannot be loaded: {type(error).__name__}: {error}"
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("error", [DataError("ours"), EnvironmentFault("ours"), KeyboardInterrupt()], ids=repr)
def test_our_own_exceptions_and_signals_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, loading_errors("org/name"):
        raise error
    assert caught.value is error


def test_memory_faults_leave_other_errors_of_torch_alone() -> None:
    with pytest.raises(RuntimeError, match="shapes"), memory_faults("short", where="here", hint="buy more"):
        raise RuntimeError("shapes cannot be multiplied")


@pytest.mark.parametrize("was_enabled", [True, False])
def test_progress_bars_of_transformers_are_as_they_were(was_enabled: bool) -> None:
    before = logging.is_progress_bar_enabled()
    _set_enabled(enabled=was_enabled)
    try:
        seen = _seen_while_loading_fails()
        assert (seen, logging.is_progress_bar_enabled()) == (False, was_enabled)
    finally:
        _set_enabled(enabled=before)


def _set_enabled(*, enabled: bool) -> None:
    """Switch the progress bars of transformers on or off."""
    if enabled:
        logging.enable_progress_bar()
    else:
        logging.disable_progress_bar()


def _seen_while_loading_fails() -> bool | None:
    seen = None
    with contextlib.suppress(ValueError), quiet_loading():
        seen = bool(logging.is_progress_bar_enabled())
        raise ValueError("broken")
    return seen
