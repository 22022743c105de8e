"""Transformers' continuous batching behind our protocol: every request gets a response, and stop strings end answers.

By itself it knows no stop strings, logs errors instead of raising them, and leaves out what it lost.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Protocol, cast

from xlingual.records import Failure, Response, failed_response

from ..limits import OUT_OF_MEMORY, RowLimit, attempt
from ..loaded_model import LoadedModel
from ..responses import respond
from ..tokens.rendering import Rendered
from ..tokens.stops import is_stopped

PAGE = 256
"""Tokens of a block."""
BATCH_TOKENS = 512
"""Most tokens of a forward pass on a CPU."""
PATIENCE = 1.0
"""Seconds between looks at whether the other thread still lives and has what it was asked."""


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


def generate_paged(loaded: LoadedModel, prompts: Sequence[Rendered], limit: RowLimit) -> Iterator[Response]:
    """Answer every prompt, most `limit.rows` at once, and yield each response as soon as it is known."""
    waiting = {str(place): prompt for place, prompt in enumerate(sorted(prompts, key=lambda each: each.ids))}
    while waiting:
        longest = max(len(each.ids) + each.request.max_new_tokens for each in waiting.values())
        manager = attempt(partial(_start, loaded, longest, min(limit.rows, len(waiting))))
        before = len(waiting)
        if not isinstance(manager, Failure):
            with manager as running:
                yield from _serve(loaded, running, waiting, limit)
        if len(waiting) == before:
            # A fresh manager that answers nothing will not do better the next time.
            failure = manager if isinstance(manager, Failure) else Failure(kind="engine stopped", message=_DEATH)
            yield from (
                failed_response(each.request, failure, prompt_tokens=len(each.ids)) for each in waiting.values()
            )
            return


_DEATH = "continuous batching stopped before it answered"


def _start(loaded: LoadedModel, longest: int, rows: int) -> AbstractContextManager[ContinuousBatchingManager]:
    """Start a manager for texts of up to `longest` tokens, `rows` at once."""
    from transformers import ContinuousBatchingConfig, GenerationConfig  # noqa: PLC0415 - heavy

    on_gpu = loaded.device.startswith("cuda")
    # Left alone, it takes nearly all free memory; on a CPU that is everybody's.
    sizes = None
    if not on_gpu:
        sizes = ContinuousBatchingConfig(num_blocks=rows * (longest // PAGE + 1) + 1, max_batch_tokens=BATCH_TOKENS)
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
) -> Iterator[Response]:
    """Ask what is waiting and yield responses until all is answered, or the manager is dead or has lost the rest.

    `waiting` shrinks.
    """
    checked: dict[str, int] = {}
    """Tokens of each unfinished request that were looked at for stop strings."""
    queue = list(waiting)[::-1]
    idle = 0
    while waiting:
        while queue and len(checked) < limit.rows:
            name = queue.pop()
            if not _ask(loaded, manager, name, waiting[name]):
                return
            checked[name] = 0
        output = manager.get_result(timeout=PATIENCE)
        if output is None:
            idle = idle + 1 if _is_idle(manager) else 0
            # Seen once only, a request may just be on its way from one queue to the next.
            if not manager.is_running() or idle > 1:
                return
            continue
        idle = 0
        prompt = waiting.get(output.request_id)
        if prompt is None:  # cancelled before
            continue
        response = _judge(loaded, prompt, output, checked.get(output.request_id, 0))
        if response is not None:
            if not output.is_finished():
                manager.cancel_request(output.request_id)
            del waiting[output.request_id]
            checked.pop(output.request_id, None)
            yield response
        else:
            checked[output.request_id] = len(output.generated_tokens)


def _is_idle(manager: ContinuousBatchingManager) -> bool:
    """Return whether the manager, at work, knows of no request any more."""
    processor, queue = (getattr(manager, name, None) for name in ("batch_processor", "input_queue"))
    if processor is None or queue is None:
        return False
    return bool(queue.empty() and not processor.has_pending_requests())


def _ask(loaded: LoadedModel, manager: ContinuousBatchingManager, name: str, prompt: Rendered) -> bool:
    request = prompt.request
    given = attempt(
        lambda: manager.add_request(
            input_ids=list(prompt.ids),
            request_id=name,
            max_new_tokens=request.max_new_tokens,
            streaming=any(request.stop),
            eos_token_id=list(loaded.end_ids) or -1,
        )
    )
    return given is not None and not isinstance(given, Failure)


def _judge(loaded: LoadedModel, prompt: Rendered, output: GenerationOutput, checked: int) -> Response | None:
    """Return the response that an output makes, None where its answer goes on.

    Its first `checked` tokens have been looked at before, and complete no stop string.
    """
    if output.error is not None:
        memory = "memory" in output.error.lower()
        failure = Failure(kind=OUT_OF_MEMORY if memory else "paged generation", message=output.error)
        return failed_response(prompt.request, failure, prompt_tokens=len(prompt.ids))
    new = list(output.generated_tokens)
    stop = prompt.request.stop
    # Outputs may lag behind each other: the first token that completes a stop string ends the answer.
    counts = range(checked + 1, len(new) + 1)
    stopped = next((count for count in counts if is_stopped(loaded.tokenizer, new[:count], stop)), None)
    if stopped is None and not output.is_finished():
        return None
    return respond(loaded, prompt, new, stopped, None)
