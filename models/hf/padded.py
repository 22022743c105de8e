"""Log-likelihoods by plain forward passes over padded batches, for models whose attention may not be replaced.

Rows are padded behind their end: what comes later changes nothing in a causal model, whatever its positions.
"""

import inspect
from collections.abc import Iterator, Sequence
from functools import partial

from xlingual.records import Failure, Response

from .choices import Weighed
from .decoders import decoder_of
from .generation import OUT_OF_MEMORY, PADDED_TOKENS, Engine, RowLimit, attempt
from .likelihood import Entries, Wanted, close, most_positions, open_accounts, score_positions

Ids = tuple[int, ...]


def score_padded(engine: Engine, weighed: Sequence[Weighed], limit: RowLimit) -> Iterator[Response]:
    """Score every choice, the longest texts first, and yield each response as soon as its choices are known.

    A batch that fails is halved until the text at fault is alone, whose request gets a Failure.
    """
    entries = open_accounts(weighed)
    waiting = sorted(entries, key=len, reverse=True)
    batches: list[list[Ids]] = []
    while waiting or batches:
        batch = batches.pop() if batches else _take(engine, waiting, entries, limit)
        outcome = attempt(partial(_score_batch, engine, batch, entries))
        failure = outcome if isinstance(outcome, Failure) else None
        if failure is not None and len(batch) > 1:
            half = len(batch) // 2
            if failure.kind == OUT_OF_MEMORY:
                limit.rows = min(limit.rows, half)
            batches += [batch[half:], batch[:half]]
            continue
        for ids in batch:
            yield from close(entries[ids], failure)


def _first(batch: Sequence[Ids], entries: Entries) -> int:
    """Return the first position that is scored in any of the texts."""
    return min(entry.place(0) for ids in batch for entry in entries[ids])


def _take(engine: Engine, waiting: list[Ids], entries: Entries, limit: RowLimit) -> list[Ids]:
    """Remove the next batch from `waiting`; its first text is its longest, and the budget holds its scores."""
    width, most = len(waiting[0]), most_positions(engine)
    count = 1
    while (
        count < min(limit.rows, len(waiting), PADDED_TOKENS // width)
        and (count + 1) * (width - _first(waiting[: count + 1], entries)) <= most
    ):
        count += 1
    batch = waiting[:count]
    del waiting[:count]
    return batch


def _score_batch(engine: Engine, batch: Sequence[Ids], entries: Entries) -> None:
    import torch  # noqa: PLC0415 - heavy

    decoder = decoder_of(engine)
    width, first = len(batch[0]), _first(batch, entries)
    ids = torch.full((len(batch), width), engine.pad_id, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, each in enumerate(batch):
        ids[row, : len(each)] = torch.tensor(each)
        mask[row, : len(each)] = 1
    kept = torch.arange(first, width, device=engine.device)
    ids, mask = ids.to(engine.device), mask.to(engine.device)
    with torch.inference_mode():
        if "logits_to_keep" in inspect.signature(getattr(decoder, "forward", decoder)).parameters:
            output = decoder(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=kept)
            scores = output.logits
        else:
            scores = decoder(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, first:]
        for row, each in enumerate(batch):
            wanted = [
                (entry.place(number) - first, Wanted(entry.place(number), entry, number))
                for entry in entries[each]
                for number in range(len(entry.greedy))
            ]
            score_positions(scores[row], wanted)
