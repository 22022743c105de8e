"""Loading with transformers: without its progress bars, and with its exceptions mapped to ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from ..errors import EnvironmentFault, ModelError, XlingualError

if TYPE_CHECKING:
    from transformers import AutoModelForCausalLM

CPU_ALLOCATOR = "DefaultCPUAllocator"
"""Named in the RuntimeError that torch raises when memory of the host runs out."""
MAX_REASON = 400
"""Characters of an exception in our message, which is one line: transformers lists 200 classes in some."""


PANIC = "PanicException"
"""Class of what a library in Rust (tokenizers, safetensors) raises where it gives up; each brings its own."""


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


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception of torch means that the memory of a GPU or of the host has run out."""
    from torch import OutOfMemoryError  # noqa: PLC0415 - heavy

    return isinstance(error, OutOfMemoryError | MemoryError) or CPU_ALLOCATOR in str(error)


def is_failure(error: BaseException) -> bool:
    """Return whether a library has failed, by an exception or by a panic of its part in Rust, which is no Exception."""
    return isinstance(error, Exception) or type(error).__name__ == PANIC


@contextmanager
def memory_faults(what: str, *, where: str, hint: str) -> Iterator[None]:
    """Map out of memory to EnvironmentFault with these words; other exceptions pass."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise EnvironmentFault(what, where=where, hint=hint) from error


@contextmanager
def loading_errors(where: str) -> Iterator[None]:
    """Map what transformers raises about a model's files to ModelError, out of memory to EnvironmentFault."""
    hint = "choose a smaller dtype or another device"
    with memory_faults("the memory does not hold the model", where=where, hint=hint):
        try:
            yield
        except XlingualError:
            raise
        except BaseException as error:  # a wrong field in a file shows as any exception at all
            if not is_failure(error) or is_out_of_memory(error):
                raise
            reason = " ".join(str(error).split())[:MAX_REASON]
            raise ModelError(f"the model cannot be loaded: {type(error).__name__}: {reason}", where=where) from error


def auto_class(config: object) -> "type[AutoModelForCausalLM]":
    """Return the class of transformers that makes a decoder of this configuration.

    Some that read images as well (Qwen-VL, Mistral 3) are not among its causal language models: those are asked for
    text all the same.
    """
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText  # noqa: PLC0415 - heavy
    from transformers.models.auto.modeling_auto import (  # noqa: PLC0415 - heavy
        MODEL_FOR_CAUSAL_LM_MAPPING,
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    )

    known = type(config) in MODEL_FOR_CAUSAL_LM_MAPPING or type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    return cast("type[AutoModelForCausalLM]", AutoModelForCausalLM if known else AutoModelForImageTextToText)
