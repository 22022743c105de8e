"""A trial whether the rows of a padded batch are answered as each would be by itself.

For most models they are. RWKV reads padding as text, and a recurrent layer may keep what it read of it; MiniMax mixes
rows. So two texts of different lengths are continued alone, and together in one padded batch: the scores of every new
token must be the same. The new tokens are given, so that one that is decided by rounding changes nothing after it.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from xlingual.records import Failure

from ..limits import attempt
from ..loaded_model import LoadedModel, vocabulary_of
from ..packed.verification import are_close, trial_windows

if TYPE_CHECKING:
    import torch

Check = Callable[[LoadedModel, Sequence[Sequence[int]]], "list[torch.Tensor]"]
LENGTHS = (21, 6, 13)
"""Tokens of the texts."""
NEW = 4
"""Tokens that each is continued with."""


def batch_problem(loaded: LoadedModel) -> str | None:
    """Return why rows of one batch are not to be answered together, or None: each has the scores that it has alone."""
    texts = _texts(vocabulary_of(loaded.model))
    with trial_windows(loaded.model):
        for check in (_continued, _scored):
            alone = attempt(partial(_each, check, loaded, texts))
            together = attempt(partial(check, loaded, texts))
            # What fails is told with the answers, which go through smaller batches.
            if isinstance(alone, Failure) or isinstance(together, Failure):
                continue
            if not _agree(loaded, together, alone):
                return "its scores depend on the other rows of a batch"
    return None


def _agree(loaded: LoadedModel, together: "list[torch.Tensor]", alone: "list[torch.Tensor]") -> bool:
    """Return whether the scores of all tokens are the same; in half precision, of most of them.

    There, rounding may send a token to another expert, together as well as alone. A model that reads padding is off at
    every token of every row that has some.
    """
    import torch  # noqa: PLC0415 - heavy

    close = [
        are_close(loaded, [found[None]], [expected[None]])
        for row, other in zip(together, alone, strict=True)
        for found, expected in zip(row, other, strict=True)
    ]
    return all(close) if loaded.model.dtype == torch.float32 else 2 * sum(close) > len(close)


def _each(check: Check, loaded: LoadedModel, texts: Sequence[Sequence[int]]) -> "list[torch.Tensor]":
    return [check(loaded, [text])[0] for text in texts]


def _texts(vocabulary: int) -> list[list[int]]:
    return [[(5 + 3 * length + 7 * index) % vocabulary for index in range(length)] for length in LENGTHS]


def _scored(loaded: LoadedModel, texts: Sequence[Sequence[int]]) -> "list[torch.Tensor]":
    """Return the logits of each text from one forward pass, rows padded at their end, as `likelihood` does."""
    import torch  # noqa: PLC0415 - heavy

    ids, mask = _padded(loaded, texts, at_end=True)
    with torch.inference_mode():
        logits = loaded.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    return [each[: len(text)].float() for each, text in zip(logits, texts, strict=True)]


def _continued(loaded: LoadedModel, texts: Sequence[Sequence[int]]) -> "list[torch.Tensor]":
    """Return the logits of the new tokens of each text, rows padded at their start, as `generation` does."""
    import torch  # noqa: PLC0415 - heavy
    from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList  # noqa: PLC0415 - heavy

    ids, mask = _padded(loaded, texts, at_end=False)
    recorded = GivenTokens(vocabulary_of(loaded.model))
    with torch.inference_mode():
        loaded.model.generate(
            input_ids=ids,
            attention_mask=mask,
            generation_config=GenerationConfig(
                do_sample=False, num_beams=1, use_cache=True, max_new_tokens=NEW, pad_token_id=loaded.pad_id
            ),
            logits_processor=LogitsProcessorList([recorded]),
            stopping_criteria=StoppingCriteriaList(),
        )
    return list(torch.stack(recorded.scores, dim=1))


def _padded(
    loaded: LoadedModel, texts: Sequence[Sequence[int]], *, at_end: bool
) -> "tuple[torch.Tensor, torch.Tensor]":
    import torch  # noqa: PLC0415 - heavy

    width = max(map(len, texts))
    ids = torch.full((len(texts), width), loaded.pad_id, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, text in enumerate(texts):
        own = slice(0, len(text)) if at_end else slice(width - len(text), width)
        ids[row, own] = torch.tensor(text)
        mask[row, own] = 1
    return ids.to(loaded.device), mask.to(loaded.device)


class GivenTokens:
    """A logits processor that keeps the scores of every step and leaves one token possible, the same for all rows."""

    def __init__(self, vocabulary: int) -> None:
        """Begin before the first step."""
        self.vocabulary = vocabulary
        self.scores: list[torch.Tensor] = []
        """(rows, vocabulary) of each step."""

    def __call__(self, _input_ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
        """Return scores from which the token of a greedy step is the given one."""
        self.scores.append(scores.float().clone())
        given = (17 + 11 * len(self.scores)) % self.vocabulary
        scores = scores.new_full(scores.shape, float("-inf"))
        scores[:, given] = 0.0
        return scores
