"""A baseline: transformers' continuous batching, with stop strings, which it has none of by itself."""

from collections.abc import Sequence
from typing import Any

BLOCK_SIZE = 256
"""Tokens of a block of its KV cache."""
MAX_BATCH_TOKENS = 512
"""Of a forward pass on a CPU."""
POLL_SECONDS = 60.0
"""Without an output for so long, it has lost a request or is dead."""


def answer_continuously(stops: Any, respond: Any, loaded: Any, prompts: Sequence[Any], rows: int) -> dict[str, str]:  # noqa: ANN401 - of the backend
    """Return the text of each prompt by its key; `stops` and `respond` are `hf`'s `is_stopped` and `respond`."""
    from transformers import ContinuousBatchingConfig, GenerationConfig

    longest = max(len(each.ids) + each.max_new_tokens for each in prompts)
    on_gpu = loaded.device.startswith("cuda")
    # By default it takes nearly all free memory, which on a CPU other processes need too.
    sizes = None
    if not on_gpu:
        blocks = rows * (longest // BLOCK_SIZE + 1) + 1
        sizes = ContinuousBatchingConfig(num_blocks=blocks, max_batch_tokens=MAX_BATCH_TOKENS)
    ends = list(loaded.end_ids)
    settings = GenerationConfig(do_sample=False, eos_token_id=ends or None, pad_token_id=loaded.pad_id, use_cache=True)
    waiting = {str(number): prompt for number, prompt in enumerate(sorted(prompts, key=lambda each: each.ids))}
    queue = list(waiting)[::-1]
    checked: dict[str, int] = {}
    texts: dict[str, str] = {}
    open_manager = loaded.model.continuous_batching_context_manager
    with open_manager(settings, continuous_batching_config=sizes, warmup=on_gpu) as manager:
        while waiting:
            while queue and len(checked) < rows:
                name = queue.pop()
                prompt = waiting[name]
                checked[name] = 0
                manager.add_request(
                    input_ids=list(prompt.ids), request_id=name, max_new_tokens=prompt.max_new_tokens,
                    streaming=any(prompt.request.stop), eos_token_id=ends or -1,
                )  # fmt: skip
            output = manager.get_result(timeout=POLL_SECONDS)
            if output is None or output.error is not None:
                raise SystemExit(f"continuous batching failed: {output and output.error}")
            if output.request_id not in waiting:  # cancelled before
                continue
            prompt, new = waiting[output.request_id], list(output.generated_tokens)
            # An output may bring several new tokens: the first one that completes a stop string ends the answer.
            lengths = range(checked[output.request_id] + 1, len(new) + 1)
            stop = next((length for length in lengths if stops(loaded, prompt, new[:length])), None)
            checked[output.request_id] = len(new)
            if stop is None and not output.is_finished():
                continue
            if not output.is_finished():
                manager.cancel_request(output.request_id)
            texts[prompt.request.key] = respond(loaded, prompt, new, stop, None).text
            del waiting[output.request_id], checked[output.request_id]
    return texts
