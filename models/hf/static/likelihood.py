"""Log-likelihoods by plain forward passes over padded batches, for models whose attention may not be replaced.

Rows are padded at their end: in a causal model, what comes later changes nothing, however positions are encoded.
"""

from collections.abc import Iterator, Sequence
from functools import partial

from xlingual.records import Failure, Response

from ..limits import MAX_PADDED_TOKENS, RowLimit, attempt
from ..loaded_model import LoadedModel, takes_logits_to_keep
from ..packed.support import selected_keys
from ..rope_lengths import batch_key, reset_angles
from ..scoring import (
    ScoredToken,
    WindowsByText,
    finish_windows,
    max_scored_positions,
    open_scoring_requests,
    record_scores,
)
from ..tokens.choices import TokenizedChoices

Ids = tuple[int, ...]


def score_padded(loaded: LoadedModel, tokenized: Sequence[TokenizedChoices], limit: RowLimit) -> Iterator[Response]:
    """Score every choice, the longest texts first, and yield each response as soon as its choices are known.

    A batch that fails is halved until the text at fault is alone, whose request gets a Failure.
    """
    windows = open_scoring_requests(tokenized)
    waiting = sorted(windows, key=len, reverse=True)
    batches: list[list[Ids]] = []
    while waiting or batches:
        again = bool(batches)
        batch = batches.pop() if again else _take(loaded, waiting, windows, limit)
        outcome = attempt(partial(_score_batch, loaded, batch, windows))
        failure = outcome if isinstance(outcome, Failure) else None
        if failure is not None and len(batch) > 1:
            batches += limit.halve(batch, failure, again=again)
            continue
        for ids in batch:
            yield from finish_windows(windows[ids], failure)


def _first(batch: Sequence[Ids], windows: WindowsByText) -> int:
    """Return the first position that is scored in any of the texts."""
    return min(scores.position(0) for ids in batch for scores in windows[ids])


def _take(loaded: LoadedModel, waiting: list[Ids], windows: WindowsByText, limit: RowLimit) -> list[Ids]:
    """Remove the next batch from `waiting`; its first text is its longest, and the budget holds its scores."""
    width, most = len(waiting[0]), max_scored_positions(loaded)
    angles, selected = batch_key(loaded.model.config, width, 0), selected_keys(loaded.model.config)
    count = 1
    while (
        (selected is None or width <= selected)
        and count < min(limit.rows, len(waiting), MAX_PADDED_TOKENS // width)
        and batch_key(loaded.model.config, len(waiting[count]), 0) == angles
        and (count + 1) * (width - _first(waiting[: count + 1], windows)) <= most
    ):
        count += 1
    batch = waiting[:count]
    del waiting[:count]
    return batch


def _score_batch(loaded: LoadedModel, batch: Sequence[Ids], windows: WindowsByText) -> None:
    import torch  # noqa: PLC0415 - heavy

    decoder = loaded.model
    width, first = len(batch[0]), _first(batch, windows)
    ids = torch.full((len(batch), width), loaded.pad_id, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, each in enumerate(batch):
        ids[row, : len(each)] = torch.tensor(each)
        mask[row, : len(each)] = 1
    kept = torch.arange(first, width, device=loaded.device)
    ids, mask = ids.to(loaded.device), mask.to(loaded.device)
    reset_angles(loaded)
    with torch.inference_mode():
        if takes_logits_to_keep(decoder):
            output = decoder(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=kept)
            logits = output.logits
        else:
            logits = decoder(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, first:]
        for row, each in enumerate(batch):
            targets = [
                (scores.position(index) - first, ScoredToken(scores.position(index), scores, index))
                for scores in windows[each]
                for index in range(len(scores.greedy))
            ]
            record_scores(logits[row], targets)
