"""Loading with transformers: without its progress bars, and with its exceptions mapped to ours."""

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import EnvironmentFault, ModelError, XlingualError


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Silence transformers' own progress bars, which would break ours."""
    from transformers.utils import logging  # noqa: PLC0415 - heavy

    was_enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            logging.enable_progress_bar()


@contextmanager
def loading_errors(where: str) -> Iterator[None]:
    """Map what transformers raises about a model's files to ModelError, out of memory to EnvironmentFault."""
    from safetensors import SafetensorError  # noqa: PLC0415 - imports numpy and torch
    from torch import OutOfMemoryError  # noqa: PLC0415 - heavy

    try:
        yield
    except XlingualError:
        raise
    except (OutOfMemoryError, MemoryError) as error:
        raise EnvironmentFault(
            "the memory does not hold the model", where=where, hint="choose a smaller dtype or another device"
        ) from error
    # A wrong field in a file shows as any of these.
    except (ArithmeticError, AttributeError, ImportError, LookupError, OSError, RuntimeError, TypeError, ValueError,
            SafetensorError) as error:  # fmt: skip
        raise ModelError(f"the model cannot be loaded: {type(error).__name__}: {error}", where=where) from error
