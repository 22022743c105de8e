"""`samples.jsonl`: translations of a few held-out sentences at each checkpoint, greedy, beside their references.

The forward pass is that of training, over all sentences as one pack, once for each new token and without a KV cache: so
it is exact for every architecture that can be trained, and every rank takes part. Nothing here draws a random number.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, zip_longest
from pathlib import Path
from typing import Protocol, cast

import torch

from ..files import disk_fault
from ..identity import canonical_json
from ..serial import to_json
from ..text import single_line
from ..tune.records import EncodedRows
from .attention import pack_documents
from .batches import Batch
from .held_out import evaluating
from .loss import ModelWithLoss
from .observing import TrainingObserver
from .parallel import World
from .settings import TrainingJob

NAME = "samples.jsonl"
MOST_TOKENS = 128
"""Of an answer."""
SHOWN = 100
"""Characters of an answer, and of a reference, that a note shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleTranslation:
    """A held-out sentence, translated; its fields are those of a line."""

    step: int
    source: str
    """Name of the source in the recipe."""
    language: str
    """Of the answer."""
    prompt: str
    reference: str
    answer: str


class _Tokenizer(Protocol):
    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool) -> str: ...


def translate(job: TrainingJob, model: ModelWithLoss, step: int, world: World, observer: TrainingObserver) -> None:
    """Translate the first held-out sentences of each direction in turn, write and show them; a collective."""
    rows = job.held_out
    chosen = [] if rows is None else choose_rows(rows, job)
    if rows is None or not chosen:
        return
    answers = generate(model, [_prompt(rows, row) for row in chosen], _limits(rows, chosen, job), world)
    if not world.is_rank_zero:
        return
    try:
        tokenizer = _open_tokenizer(job.tokenizer)
    except (OSError, ValueError, LookupError, ImportError, RuntimeError) as error:
        observer.note(f"no samples: the tokenizer in {job.tokenizer} cannot be read ({_excerpt(str(error))})")
        return
    uses = job.plan.recipe.sources
    samples = []
    for row, answer in zip(chosen, answers, strict=True):
        use = uses[int(rows.sources[row])]
        prompt, reference, own = (
            tokenizer.decode(ids, skip_special_tokens=True)
            for ids in (_prompt(rows, row), _reference(rows, row), answer)
        )
        samples.append(
            SampleTranslation(
                step=step, source=use.name, language=use.language, prompt=prompt, reference=reference, answer=own
            )
        )
    _append(job.folder / NAME, samples)
    for each in samples:
        own, reference = (_excerpt(text) for text in (each.answer, each.reference))
        observer.note(f"step {step:,}, {each.source}: {own or '(nothing)'} (reference: {reference})")


def _excerpt(text: str) -> str:
    line = single_line(text)
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}…"


def choose_rows(rows: EncodedRows, job: TrainingJob) -> list[int]:
    """Return the rows that are translated: the first of each source with a direction, then the second of each, ..."""
    pairs = [place for place, use in enumerate(job.plan.recipe.sources) if use.direction is not None]
    own = [(rows.sources == place).nonzero()[0].tolist() for place in pairs]
    in_turn = [row for row in chain.from_iterable(zip_longest(*own)) if row is not None]
    return in_turn[: job.settings.samples]


def _prompt(rows: EncodedRows, row: int) -> list[int]:
    start = int(rows.offsets[row])
    return [*map(int, rows.tokens[start : start + int(rows.answer_starts[row])])]


def _reference(rows: EncodedRows, row: int) -> list[int]:
    start = int(rows.offsets[row])
    return [*map(int, rows.tokens[start + int(rows.answer_starts[row]) : int(rows.offsets[row + 1])])]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerLimits:
    """Where an answer ends."""

    end: int
    """Token that ends it."""
    tokens: tuple[int, ...]
    """The most of each answer."""


def _limits(rows: EncodedRows, chosen: Sequence[int], job: TrainingJob) -> AnswerLimits:
    """Return the limits: twice the tokens of the reference and 8 more, MOST_TOKENS, and the length of the recipe.

    A model has positions for that length, maybe not for more.
    """
    references = [_reference(rows, row) for row in chosen]
    end = job.end_token if job.end_token is not None else references[0][-1]
    rooms = [job.plan.recipe.length - len(_prompt(rows, row)) for row in chosen]
    tokens = [min(2 * len(each) + 8, MOST_TOKENS, room) for each, room in zip(references, rooms, strict=True)]
    return AnswerLimits(end=end, tokens=tuple(tokens))


def generate(
    model: ModelWithLoss, prompts: Sequence[Sequence[int]], limits: AnswerLimits, world: World
) -> list[list[int]]:
    """Return the greedy answer to each prompt, without the token that ends it; a collective.

    Rank 0 says which token is next, so that rounding on one rank cannot let another wait for it.
    """
    answers: list[list[int]] = [[] for _ in prompts]
    open_ones = [place for place, prompt in enumerate(prompts) if prompt]
    with evaluating(model):
        while open_ones:
            batch = _pack([[*prompts[place], *answers[place]] for place in open_ones], world.device)
            chosen = world.broadcast(model(batch, next_tokens=True).tolist())
            still_open = []
            for place, token in zip(open_ones, chosen, strict=True):
                if token == limits.end:
                    continue
                answers[place].append(token)
                if len(answers[place]) < limits.tokens[place]:
                    still_open.append(place)
            open_ones = still_open
    return answers


def _pack(sequences: Sequence[Sequence[int]], device: torch.device) -> Batch:
    """Return sequences as a pack whose predictors are their last tokens; its labels mean nothing."""
    documents = pack_documents([len(each) for each in sequences], device)
    last = torch.tensor(documents.boundaries[1:], device=device) - 1
    ids = torch.tensor([*chain.from_iterable(sequences)], device=device)
    return Batch(
        input_ids=ids[None],
        position_ids=torch.cat([torch.arange(len(each), device=device) for each in sequences])[None],
        documents=documents,
        predictors=last,
        labels=ids[last],
        loss_weights=torch.zeros(len(last), device=device),
        source_ids=torch.zeros_like(last),
    )


@cache
def _open_tokenizer(folder: Path) -> _Tokenizer:
    from transformers import AutoTokenizer  # noqa: PLC0415 - slow to import

    return cast(_Tokenizer, AutoTokenizer.from_pretrained(folder, local_files_only=True))


def _append(path: Path, samples: Sequence[SampleTranslation]) -> None:
    """Append a line for each sample and sync it to disk, before the checkpoint of its step is written."""
    try:
        with path.open("ab") as file:
            file.write("".join(canonical_json(to_json(each)) + "\n" for each in samples).encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise disk_fault(error, path) from error
