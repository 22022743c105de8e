"""Transformers' continuous batching: every request gets a response, and stop strings end answers.

By itself it has no stop strings, logs errors instead of raising them, and is silent about requests that it lost.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Protocol, cast

from xlingual.records import Failure, Response, failed_response

from ..limits import OUT_OF_MEMORY, RowLimit, attempt
from ..loaded_model import LoadedModel
from ..responses import Thought, respond
from ..tokens.rendering import Rendered
from ..tokens.stops import is_stopped

BLOCK_SIZE = 256
"""Tokens of a block of the KV cache."""
MAX_BATCH_TOKENS = 512
"""Of a forward pass on a CPU."""
POLL_SECONDS = 1.0
"""To wait for an output before it is checked that the manager's thread is alive and still has the requests."""


STOPPED = Failure(kind="engine stopped", message="continuous batching stopped before it answered")


class GenerationOutput(Protocol):
    """What is used of an output; with `streaming`, of every token."""

    request_id: str
    generated_tokens: list[int]
    error: str | None

    def is_finished(self) -> bool:
        """Return whether nothing more will come."""
        ...


class ContinuousBatchingManager(Protocol):
    """What is used of transformers' manager of continuous batching."""

    def add_request(
        self, input_ids: list[int], request_id: str, max_new_tokens: int, streaming: bool, eos_token_id: list[int] | int
    ) -> str | None:
        """Queue a request; None where it was refused."""
        ...

    def get_result(self, *, timeout: float) -> GenerationOutput | None:
        """Return the next output, None after `timeout` seconds without one."""
        ...

    def cancel_request(self, request_id: str) -> None:
        """Drop a request."""
        ...

    def is_running(self) -> bool:
        """Return whether the thread that computes is alive."""
        ...


def generate_paged(loaded: LoadedModel, prompts: Sequence[Rendered], limit: RowLimit) -> Iterator[Response | Thought]:
    """Answer every prompt, most `limit.rows` at once, and yield each response as soon as it is known."""
    waiting = {str(number): prompt for number, prompt in enumerate(sorted(prompts, key=lambda each: each.ids))}
    while waiting:
        longest = max(len(each.ids) + each.max_new_tokens for each in waiting.values())
        manager = attempt(partial(_start, loaded, longest, min(limit.rows, len(waiting))))
        before = len(waiting)
        if not isinstance(manager, Failure):
            with manager as running:
                yield from _serve(loaded, running, waiting, limit)
        if len(waiting) == before:
            # A new manager that answers nothing would not do better the next time.
            failure = manager if isinstance(manager, Failure) else STOPPED
            yield from (
                failed_response(each.request, failure, prompt_tokens=len(each.question_ids))
                for each in waiting.values()
            )
            return


def _start(loaded: LoadedModel, longest: int, rows: int) -> AbstractContextManager[ContinuousBatchingManager]:
    """Start a manager for texts of up to `longest` tokens, `rows` at once."""
    from transformers import ContinuousBatchingConfig, GenerationConfig  # noqa: PLC0415 - heavy

    on_gpu = loaded.device.startswith("cuda")
    # By default it takes nearly all free memory, which on a CPU other processes need too.
    sizes = None
    if not on_gpu:
        sizes = ContinuousBatchingConfig(
            num_blocks=rows * (longest // BLOCK_SIZE + 1) + 1, max_batch_tokens=MAX_BATCH_TOKENS
        )
    settings = GenerationConfig(
        do_sample=False, eos_token_id=list(loaded.end_ids) or None, pad_token_id=loaded.pad_id, use_cache=True
    )
    open_manager = getattr(loaded.model, "continuous_batching_context_manager")  # noqa: B009 - not in the protocol
    return cast(
        AbstractContextManager[ContinuousBatchingManager],
        open_manager(settings, continuous_batching_config=sizes, warmup=on_gpu),
    )


def _serve(
    loaded: LoadedModel, manager: ContinuousBatchingManager, waiting: dict[str, Rendered], limit: RowLimit
) -> Iterator[Response | Thought]:
    """Submit what is waiting and yield responses until all is answered, or the manager is dead or has lost the rest.

    Answered requests are removed from `waiting`.
    """
    checked: dict[str, int] = {}
    """By running request: how many of its tokens were checked for stop strings."""
    queue = list(waiting)[::-1]
    idle = 0
    while waiting:
        while queue and len(checked) < limit.rows:
            request_id = queue.pop()
            if not _submit(loaded, manager, request_id, waiting[request_id]):
                return
            checked[request_id] = 0
        output = manager.get_result(timeout=POLL_SECONDS)
        if output is None:
            idle = idle + 1 if _is_idle(manager) else 0
            # Once may be chance: a request is on its way from one queue to the next.
            if not manager.is_running() or idle > 1:
                return
            continue
        idle = 0
        prompt = waiting.get(output.request_id)
        if prompt is None:  # cancelled before
            continue
        response = _respond_to(loaded, prompt, output, checked.get(output.request_id, 0))
        if response is not None:
            if not output.is_finished():
                manager.cancel_request(output.request_id)
            del waiting[output.request_id]
            checked.pop(output.request_id, None)
            yield response
        else:
            checked[output.request_id] = len(output.generated_tokens)


def _is_idle(manager: ContinuousBatchingManager) -> bool:
    """Return whether the manager has no request any more."""
    processor, queue = (getattr(manager, name, None) for name in ("batch_processor", "input_queue"))
    if processor is None or queue is None:
        return False
    return bool(queue.empty() and not processor.has_pending_requests())


def _submit(loaded: LoadedModel, manager: ContinuousBatchingManager, request_id: str, prompt: Rendered) -> bool:
    """Queue a request; False where it was refused."""
    queued = attempt(
        lambda: manager.add_request(
            input_ids=list(prompt.ids),
            request_id=request_id,
            max_new_tokens=prompt.max_new_tokens,
            streaming=any(prompt.request.stop) or prompt.is_thinking_only,
            eos_token_id=list(loaded.end_ids) or -1,
        )
    )
    return queued is not None and not isinstance(queued, Failure)


def _respond_to(
    loaded: LoadedModel, prompt: Rendered, output: GenerationOutput, checked: int
) -> Response | Thought | None:
    """Return the response that an output makes, None where its answer is not finished.

    Its first `checked` tokens are known to complete no stop string.
    """
    if output.error is not None:
        memory = "memory" in output.error.lower()
        failure = Failure(kind=OUT_OF_MEMORY if memory else "paged generation", message=output.error)
        return failed_response(prompt.request, failure, prompt_tokens=len(prompt.question_ids))
    new = list(output.generated_tokens)
    # An output may bring several new tokens: the first one that completes a stop string ends the answer.
    lengths = range(checked + 1, len(new) + 1)
    stop_length = next((length for length in lengths if is_stopped(loaded, prompt, new[:length])), None)
    if stop_length is None and not output.is_finished():
        return None
    return respond(loaded, prompt, new, stop_length, None)
