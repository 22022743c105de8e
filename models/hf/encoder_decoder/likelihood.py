"""Log-likelihoods of choices: the encoder reads the prompt once for all of its choices in a batch row each.

Equal to the loss that transformers computes with the choice as labels, and to lm-eval's for `AutoModelForSeq2SeqLM`.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import cast

from xlingual.records import Failure, Response

from ..limits import RowLimit
from ..loaded_model import LoadedModel
from ..scoring import ScoredToken, WindowScores, finish_windows, open_scoring_requests, record_scores
from ..tokens.choices import TokenizedChoices
from .batches import pad, run_batches
from .generation import Seq2SeqLM

Row = tuple[tuple[int, ...], list[WindowScores]]
"""Tokens that are read, the encoder's and the decoder's, and what is scored with them."""


def score_choices(loaded: LoadedModel, tokenized: Sequence[TokenizedChoices], limit: RowLimit) -> Iterator[Response]:
    """Score every choice, the longest first, and yield each response as soon as its choices are known."""
    rows = [
        (ids, [scores for scores in windows if scores.window.encoded == encoded])
        for ids, windows in open_scoring_requests(tokenized).items()
        for encoded in sorted({scores.window.encoded for scores in windows})
    ]
    for batch, outcome in run_batches(rows, lambda row: len(row[0]), limit, partial(_score_batch, loaded)):
        for _, windows in batch:
            yield from finish_windows(windows, outcome if isinstance(outcome, Failure) else None)


def _score_batch(loaded: LoadedModel, batch: Sequence[Row]) -> None:
    import torch  # noqa: PLC0415 - heavy

    starts = [windows[0].window.encoded for _, windows in batch]
    ids, mask = pad([ids[:start] for (ids, _), start in zip(batch, starts, strict=True)], loaded.pad_id, loaded.device)
    given, given_mask = pad(
        [ids[start:] for (ids, _), start in zip(batch, starts, strict=True)], loaded.pad_id, loaded.device
    )
    model = cast(Seq2SeqLM, loaded.model)
    with torch.inference_mode():
        output = model(
            input_ids=ids, attention_mask=mask, decoder_input_ids=given, decoder_attention_mask=given_mask,
            use_cache=False,
        )  # fmt: skip
        for row, ((_, windows), start) in enumerate(zip(batch, starts, strict=True)):
            targets = [
                (scores.position(index) - start, ScoredToken(scores.position(index), scores, index))
                for scores in windows
                for index in range(len(scores.greedy))
            ]
            record_scores(output.logits[row], targets)
