"""Batched greedy generation whose answers do not depend on the batch."""

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Protocol, TypeVar

from xlingual.errors import XlingualError
from xlingual.records import Failure, Finish, Request, Response
from xlingual.text import find_stop

from .rendering import Rendered, Tokenizer

if TYPE_CHECKING:
    import torch

    from .lean import Lean

PADDED_TOKENS = 16384
"""Most prompt tokens of one batch, padding included: bounds the memory of a batch of long prompts."""
OUT_OF_MEMORY = "OutOfMemoryError"
Result = TypeVar("Result")


class LanguageModel(Protocol):
    """What is used of a transformers causal language model."""

    def generate(
        self,
        *,
        input_ids: "torch.Tensor",
        attention_mask: "torch.Tensor",
        generation_config: object,
        logits_processor: object,
        stopping_criteria: object,
    ) -> "torch.Tensor":
        """Continue the rows of `input_ids`, (rows, prompt), to (rows, prompt + new)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A loaded model and what generation must know of it."""

    model: LanguageModel
    tokenizer: Tokenizer
    device: str
    end_ids: tuple[int, ...]
    """Tokens that end an answer; may be empty."""
    pad_id: int
    """Fills rows up to the longest; always masked, so any token will do."""
    context_length: int | None
    shared: bool = False
    """Whether other models of this process use the same modules, which must then stay as they are."""
    lean: "Lean | None" = None
    """The model in lean form, where it has been seen to compute what the model does."""
    proven: bool = False
    """Whether the packed engine has been seen to compute what the model does."""


def take_no_note(_message: str) -> None:
    """Where nobody takes notes."""


@dataclass(slots=True)
class RowLimit:
    """Most rows of a batch; lowered for good when the memory does not hold them."""

    rows: int
    note: Callable[[str], None] = take_no_note
    """Told of every change."""

    def lower(self, rows: int) -> None:
        """Allow no more than `rows` from now on."""
        if rows < self.rows:
            self.note(f"out of memory: {rows} prompts are answered together from now on, not {self.rows}")
            self.rows = rows


def generate(engine: Engine, prompts: Sequence[Rendered], limit: RowLimit) -> Iterator[Response]:
    """Answer every prompt, longest first, and yield the responses of each batch as soon as it is done.

    A batch that fails is halved until the row at fault is alone and gets a Failure: nobody pays for another's row.
    """
    fitting: list[Rendered] = []
    for prompt in prompts:
        if (overflow := find_overflow(engine, prompt)) is None:
            fitting.append(prompt)
        else:
            yield overflow
    for group in _group(fitting):
        waiting = list(group)
        batches: list[list[Rendered]] = []
        while waiting or batches:
            batch = batches.pop() if batches else _take(waiting, limit.rows)
            outcome = attempt(partial(_answer_batch, engine, batch))
            if not isinstance(outcome, Failure):
                yield from outcome
            elif len(batch) == 1:
                yield failed(batch[0].request, outcome, prompt_tokens=len(batch[0].ids))
            else:
                half = len(batch) // 2
                if outcome.kind == OUT_OF_MEMORY:
                    limit.lower(half)
                batches += [batch[half:], batch[:half]]


def find_overflow(engine: Engine, prompt: Rendered) -> Response | None:
    """Return the failure of a prompt that leaves no room for an answer, or None."""
    if engine.context_length is None or len(prompt.ids) < engine.context_length:
        return None
    what = f"the prompt has {len(prompt.ids)} tokens, the model reads {engine.context_length}"
    return failed(prompt.request, Failure(kind="context overflow", message=what), prompt_tokens=len(prompt.ids))


def failed(request: Request, failure: Failure, *, prompt_tokens: int | None = None) -> Response:
    """Return the response that says that `request` has no answer."""
    return Response(key=request.key, text=None, failure=failure, finish=None, prompt_tokens=prompt_tokens, tokens=None)


def _group(prompts: Sequence[Rendered]) -> Iterator[Iterator[Rendered]]:
    """Yield the prompts that share a length limit and stop strings, the longest prompt first, ties in their order."""

    def kind(prompt: Rendered) -> tuple[int, tuple[str, ...]]:
        return prompt.request.max_new_tokens, prompt.request.stop

    ordered = sorted(prompts, key=lambda prompt: (kind(prompt), -len(prompt.ids)))
    for _, group in groupby(ordered, kind):
        yield group


def _take(waiting: list[Rendered], rows: int) -> list[Rendered]:
    """Remove the next batch from `waiting`; its first prompt is its longest."""
    count = max(1, min(rows, PADDED_TOKENS // len(waiting[0].ids)))
    batch = waiting[:count]
    del waiting[:count]
    return batch


def attempt(call: Callable[[], Result]) -> Result | Failure:
    """Return what a call of the model returns, or why it failed; only our own errors come through."""
    import torch  # noqa: PLC0415 - heavy

    try:
        return call()
    except XlingualError:
        raise
    except torch.OutOfMemoryError as error:
        failure = Failure(kind=OUT_OF_MEMORY, message=str(error))
    except Exception as error:  # noqa: BLE001 - the model call: whatever a model does is the failure of its rows
        cpu_memory = isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error)
        failure = Failure(kind=OUT_OF_MEMORY if cpu_memory else type(error).__name__, message=str(error))
    # Only here have the frames that held the call's tensors gone with the exception.
    release_memory()
    return failure


def release_memory() -> None:
    """Give cached memory back to the device."""
    import torch  # noqa: PLC0415 - heavy

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _answer_batch(engine: Engine, batch: list[Rendered]) -> list[Response]:
    import torch  # noqa: PLC0415 - heavy
    from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList  # noqa: PLC0415 - heavy

    width = max(len(prompt.ids) for prompt in batch)
    ids = torch.full((len(batch), width), engine.pad_id, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(batch):
        ids[row, width - len(prompt.ids) :] = torch.tensor(prompt.ids)
        mask[row, width - len(prompt.ids) :] = 1
    settings = GenerationConfig(
        do_sample=False,
        num_beams=1,
        use_cache=True,
        max_new_tokens=batch[0].request.max_new_tokens,
        eos_token_id=list(engine.end_ids) or None,
        pad_token_id=engine.pad_id,
    )
    watch = _FiniteWatch()
    ends = _RowEnds(
        width=width,
        stop=batch[0].request.stop,
        end_ids=engine.end_ids,
        decode=lambda ids: decode(engine.tokenizer, ids),
    )
    with torch.inference_mode():
        sequences = engine.model.generate(
            input_ids=ids.to(engine.device),
            attention_mask=mask.to(engine.device),
            generation_config=settings,
            logits_processor=LogitsProcessorList([watch]),
            stopping_criteria=StoppingCriteriaList([ends]),
        )
    broken = watch.first_broken(len(batch))
    return [
        respond(engine, prompt, sequences[row, width:].tolist(), ends.lengths.get(row), broken[row])
        for row, prompt in enumerate(batch)
    ]


def decode(tokenizer: Tokenizer, ids: list[int]) -> str:
    """Return the text of generated tokens as it is, special tokens left out."""
    return tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


def respond(engine: Engine, prompt: Rendered, new: list[int], stopped: int | None, broken: int | None) -> Response:
    """Make a response of the `new` tokens of a row, which may be padded behind its end.

    `stopped` is the number of tokens up to the one that completed a stop string, `broken` the first step whose logits
    were not finite.
    """
    end = next((place for place, token in enumerate(new[:stopped]) if token in engine.end_ids), None)
    kept = new[:stopped] if end is None else new[:end]
    if broken is not None and broken <= len(kept):
        message = f"the scores of token {broken + 1} of the answer hold NaN or infinity"
        return failed(prompt.request, Failure(kind="non-finite logits", message=message), prompt_tokens=len(prompt.ids))
    text = decode(engine.tokenizer, kept)
    cut = find_stop(text, prompt.request.stop)
    finish = Finish.STOP if cut is not None else Finish.LENGTH if end is None else Finish.EOS
    return Response(
        key=prompt.request.key,
        text=text if cut is None else text[:cut],
        failure=None,
        finish=finish,
        prompt_tokens=len(prompt.ids),
        tokens=len(kept),
    )


class _FiniteWatch:
    """A logits processor that changes nothing and remembers which rows were finite at each step."""

    def __init__(self) -> None:
        self.finite: list[torch.Tensor] = []

    def __call__(self, _input_ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
        """See the scores, (rows, vocabulary), of the next token; NaN and infinity both come through the maximum."""
        self.finite.append(scores.amax(dim=-1).isfinite())
        return scores

    def first_broken(self, rows: int) -> list[int | None]:
        """Return the first step of each row whose scores were not finite."""
        steps = [step.tolist() for step in self.finite]
        return [next((at for at, step in enumerate(steps) if not step[row]), None) for row in range(rows)]


class _RowEnds:
    """A stopping criterion that ends each row by itself; rows that are done are not decoded again."""

    def __init__(
        self, *, width: int, stop: Sequence[str], end_ids: Sequence[int], decode: Callable[[list[int]], str]
    ) -> None:
        """`width` is the length of the padded prompts in tokens."""
        self.width = width
        self.stop = tuple(stop)
        self.end_ids = frozenset(end_ids)
        self.decode = decode
        self.lengths: dict[int, int] = {}
        """Generated tokens of each row that met a stop string."""
        self._done: set[int] = set()

    def __call__(self, input_ids: "torch.Tensor", _scores: object) -> "torch.Tensor":
        """Return which rows, of shape (rows,), are done with their newest token."""
        import torch  # noqa: PLC0415 - heavy

        if self.stop:
            for row, new in enumerate(input_ids[:, self.width :].tolist()):
                if row in self._done:
                    continue
                if new[-1] in self.end_ids:
                    self._done.add(row)
                elif find_stop(self.decode(new), self.stop) is not None:
                    self._done.add(row)
                    self.lengths[row] = len(new)
        return torch.tensor(
            [row in self._done for row in range(len(input_ids))], dtype=torch.bool, device=input_ids.device
        )
