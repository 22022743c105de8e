"""Batched generation whose answers do not depend on the batch."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

from xlingual.records import Failure, Response, failed_response

from ..limits import MAX_PADDED_TOKENS, RowLimit, attempt
from ..loaded_model import LoadedModel
from ..packed.support import selected_keys
from ..responses import Thought, respond
from ..rope_lengths import batch_key, reset_angles
from ..sampling import draw_tokens
from ..tokens.rendering import Rendered
from ..tokens.stops import is_stopped

if TYPE_CHECKING:
    import torch

AT_BEGIN = "begin_suppress_tokens"
"""The constraint that holds for the first token of an answer, which the text after its thinking does not begin with."""


def generate(loaded: LoadedModel, prompts: Sequence[Rendered], limit: RowLimit) -> Iterator[Response | Thought]:
    """Answer every prompt, longest first, and yield the responses of each batch as soon as it is done.

    A batch that fails is halved until the row at fault is alone and gets a Failure; all others are answered.
    """
    for group in _group(loaded, prompts):
        waiting = list(group)
        batches: list[list[Rendered]] = []
        while waiting or batches:
            again = bool(batches)
            batch = batches.pop() if again else _take(loaded, waiting, limit.rows)
            outcome = attempt(partial(_answer_batch, loaded, batch))
            if not isinstance(outcome, Failure):
                yield from outcome
            elif len(batch) == 1:
                yield failed_response(batch[0].request, outcome, prompt_tokens=len(batch[0].question_ids))
            else:
                batches += limit.halve(batch, outcome, again=again)


def _group(loaded: LoadedModel, prompts: Sequence[Rendered]) -> Iterator[Iterator[Rendered]]:
    """Yield the prompts that share a token limit, stop strings, rotary angles and barred tokens, the longest first."""

    def kind(prompt: Rendered) -> tuple[bool, int, tuple[str, ...], tuple[int, ...]]:
        new = prompt.max_new_tokens
        return prompt.answered > 0, new, prompt.request.stop, batch_key(loaded.model.config, len(prompt.ids), new)

    ordered = sorted(prompts, key=lambda prompt: (kind(prompt), -len(prompt.ids)))
    for _, group in groupby(ordered, kind):
        yield group


def _take(loaded: LoadedModel, waiting: list[Rendered], rows: int) -> list[Rendered]:
    """Remove the next batch from `waiting`, whose first prompt is the longest."""
    longest, selected = len(waiting[0].ids), selected_keys(loaded.model.config)
    count = max(1, min(rows, MAX_PADDED_TOKENS // longest))
    if selected is not None and longest + waiting[0].max_new_tokens > selected:
        count = 1
    batch = waiting[:count]
    del waiting[:count]
    return batch


def _answer_batch(loaded: LoadedModel, batch: list[Rendered]) -> list[Response | Thought]:
    import torch  # noqa: PLC0415 - heavy
    from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList  # noqa: PLC0415 - heavy

    width = max(len(prompt.ids) for prompt in batch)
    ids = torch.full((len(batch), width), loaded.pad_id, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(batch):
        ids[row, width - len(prompt.ids) :] = torch.tensor(prompt.ids)
        mask[row, width - len(prompt.ids) :] = 1
    settings = GenerationConfig(
        do_sample=False,
        num_beams=1,
        use_cache=True,
        max_new_tokens=batch[0].max_new_tokens,
        eos_token_id=list(loaded.end_ids) or None,
        pad_token_id=loaded.pad_id,
        **{name: value for name, value in loaded.constraints.items() if not (batch[0].answered and name == AT_BEGIN)},
    )
    finite = FiniteCheck()
    ends = RowEnds(loaded, batch, width)
    reset_angles(loaded)
    processors = [finite, DrawProcessor(batch, width)] if any(prompt.request.sampling for prompt in batch) else [finite]
    with torch.inference_mode():
        sequences = loaded.model.generate(
            input_ids=ids.to(loaded.device),
            attention_mask=mask.to(loaded.device),
            generation_config=settings,
            logits_processor=LogitsProcessorList(processors),
            stopping_criteria=StoppingCriteriaList([ends]),
        ).cpu()
    nonfinite = finite.first_nonfinite(len(batch))
    return [
        respond(loaded, prompt, sequences[row, width:].tolist(), ends.lengths.get(row), nonfinite[row])
        for row, prompt in enumerate(batch)
    ]


class FiniteCheck:
    """A logits processor that changes nothing and records which rows were finite at each step."""

    def __init__(self) -> None:
        """Begin before the first step."""
        self.finite: list[torch.Tensor] = []

    def __call__(self, _input_ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
        """Check the scores, (rows, vocabulary), of the next token; the maximum of a row with NaN or infinity is one."""
        self.finite.append(scores.amax(dim=-1).isfinite())
        return scores

    def first_nonfinite(self, rows: int) -> list[int | None]:
        """Return the first step of each row whose scores were not finite."""
        steps = [step.cpu().tolist() for step in self.finite]
        return [next((index for index, step in enumerate(steps) if not step[row]), None) for row in range(rows)]


class DrawProcessor:
    """A logits processor that draws the next token of each row with sampling, and leaves only that one possible."""

    def __init__(self, batch: Sequence[Rendered], width: int) -> None:
        """`width` is the length of the padded prompts in tokens."""
        self.width = width
        self.rows = [row for row, prompt in enumerate(batch) if prompt.request.sampling is not None]
        self.samplings = [prompt.request.sampling for prompt in batch if prompt.request.sampling is not None]
        self.answered = [batch[row].answered for row in self.rows]

    def __call__(self, input_ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
        """Return the scores, (rows, vocabulary), from which the token of a greedy step is the one that was drawn."""
        new = input_ids.shape[1] - self.width
        tokens = draw_tokens(scores[self.rows], self.samplings, [answered + new for answered in self.answered])
        scores[self.rows] = float("-inf")
        scores[self.rows, tokens] = 0.0
        return scores


class RowEnds:
    """A stopping criterion that ends each row by itself; a finished row is not decoded again."""

    def __init__(self, loaded: LoadedModel, batch: Sequence[Rendered], width: int) -> None:
        """`width` is the length of the padded prompts in tokens."""
        self.loaded, self.batch, self.width = loaded, batch, width
        self.watched = any(any(prompt.request.stop) or prompt.is_thinking_only for prompt in batch)
        self.lengths: dict[int, int] = {}
        """Generated tokens of each row that reached its end by what its tokens say."""
        self._done: set[int] = set()

    def __call__(self, input_ids: "torch.Tensor", _scores: object) -> "torch.Tensor":
        """Return which rows, of shape (rows,), are done with their newest token."""
        import torch  # noqa: PLC0415 - heavy

        if self.watched:
            for row, new in enumerate(input_ids[:, self.width :].cpu().tolist()):
                if row in self._done:
                    continue
                if new[-1] in self.loaded.end_ids:
                    self._done.add(row)
                elif is_stopped(self.loaded, self.batch[row], new):
                    self._done.add(row)
                    self.lengths[row] = len(new)
        return torch.tensor(
            [row in self._done for row in range(len(input_ids))], dtype=torch.bool, device=input_ids.device
        )
