"""Which models the paged engine may run: its logits must be those of the model's own forward pass on this device.

The reference is computed before anything is changed in the model: three texts, one by one, by its own modules with its
own attention. Then the engine computes the same texts as it computes everything: in chunks of a prompt, below a prefix
that they share, over several pages, beyond a sliding window, and in decode steps, as graphs where these are wanted.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from xlingual.records import Failure, Form, Request

from ..limits import MAX_REASON, attempt
from ..loaded_model import LoadedModel, takes_logits_to_keep, vocabulary_of
from ..packed.support import longest_packed_text, packed_problem, sliding_windows
from ..rounding import tolerance
from ..tokens.rendering import Rendered
from .engine import PagedEngine, PagedOptions, open_engine
from .forward import paged_attention
from .recovery import new_scheduler
from .sequences import PagedSequence, new_sequence

if TYPE_CHECKING:
    import torch

DECODED = 3
"""Last tokens of each text, which decode steps compute."""
PAGE = 256
"""Tokens of the largest pages."""
LONGEST_TRIAL = 4608
"""Tokens of a text, on a GPU: beyond the windows of most models."""
LONGEST_TRIAL_CPU = 1200
"""The same on a CPU."""


def try_paged(loaded: LoadedModel, options: PagedOptions | None = None) -> LoadedModel:
    """Return `loaded` with a paged engine that computes what the model does, or with the reason why not; tried once."""
    if loaded.paged is not None or loaded.paged_refusal is not None:
        return loaded
    if (problem := packed_problem(loaded.model.config)) is not None:
        return replace(loaded, paged_refusal=problem)
    found = attempt(partial(_open_and_compare, loaded, options))
    if isinstance(found, Failure):
        words = found.message if found.kind == "ValueError" else f"{found.kind}: {found.message}"
        # An error of torch may have a page of lines, and this one stands in a note.
        return replace(loaded, paged_refusal=" ".join(words.split())[:MAX_REASON])
    return replace(loaded, paged=found)


def _open_and_compare(loaded: LoadedModel, options: PagedOptions | None) -> PagedEngine:
    """Return the engine; ValueError where its logits are not the model's."""
    texts = _texts(loaded, _trial_tokens(loaded, options or PagedOptions()))
    reference = [_reference_logits(loaded, text) for text in texts]
    engine = open_engine(loaded.model, loaded.device, options)
    found = engine_logits(loaded, engine, texts)
    allowed = tolerance(loaded.model)
    for ours, theirs in zip(found, reference, strict=True):
        error = float((ours - theirs).abs().max() / theirs.abs().max())
        if not error <= allowed:
            raise ValueError(f"the scores are off by {error:.1e} of the largest")
    engine.reset()
    return engine


def _trial_tokens(loaded: LoadedModel, options: PagedOptions) -> int:
    """Return how long a text must be to reach the second page, and beyond every window that is not too long."""
    windows = sliding_windows(loaded.model.config).values()
    most = LONGEST_TRIAL_CPU if loaded.device.startswith("cpu") else LONGEST_TRIAL
    limits = [loaded.context_length, longest_packed_text(loaded.model.config)]
    most = min([most, *(each - 2 for each in limits if each is not None)])
    size = options.page_size or PAGE
    if options.pages is not None:
        most = min(most, options.pages * size // 4)
    wanted = [size + size // 4, *(window + window // 8 + 8 for window in windows)]
    return max((each for each in wanted if each <= most), default=most)


def _texts(loaded: LoadedModel, tokens: int) -> list[tuple[int, ...]]:
    """Return three texts of up to so many tokens that share a prefix."""
    vocabulary = vocabulary_of(loaded.model)
    shared = tuple((11 + 7 * index + index // 5) % vocabulary for index in range(max(4, tokens - 10)))
    return [
        shared + tuple((first + 5 * index) % vocabulary for index in range(first + DECODED + 2)) for first in (2, 3, 5)
    ]


def _reference_logits(loaded: LoadedModel, text: Sequence[int]) -> "torch.Tensor":
    """Return the logits after the last tokens of a text, by the model's own modules."""
    import torch  # noqa: PLC0415 - heavy

    ids = torch.tensor([text], device=loaded.device)
    with torch.no_grad():
        mask, kept = torch.ones_like(ids), DECODED + 1
        if takes_logits_to_keep(loaded.model):
            output = loaded.model(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=kept)
        else:
            output = loaded.model(input_ids=ids, attention_mask=mask, use_cache=False)
    return output.logits[0, -kept:].float()


def engine_logits(loaded: LoadedModel, engine: PagedEngine, texts: Sequence[tuple[int, ...]]) -> "list[torch.Tensor]":
    """Return the same logits by the engine: the first of each text from prefill, the others from decode steps.

    ValueError where the pages do not hold the texts.
    """
    import torch  # noqa: PLC0415 - heavy

    request = Request(key="", form=Form.TEXT, messages=(), stop=(), max_new_tokens=DECODED + 2)
    sequences = [
        new_sequence(Rendered(request=request, ids=text[:-DECODED]), order) for order, text in enumerate(texts)
    ]
    rest = {sequence: list(text[-DECODED:]) for sequence, text in zip(sequences, texts, strict=True)}
    logits: dict[PagedSequence, list[torch.Tensor]] = {sequence: [] for sequence in sequences}
    with paged_attention(loaded.model):
        engine.prepare(len(texts), max(map(len, texts)) + 2)
        scheduler = new_scheduler(engine, sequences, len(texts))
        # Chunks that end inside a page.
        scheduler.max_tokens = max(24, min(engine.max_tokens, len(texts[0]) * 2 // 3))
        while any(len(each) <= DECODED for each in logits.values()):
            plan = scheduler.plan()
            if plan is None:
                raise ValueError("the pages do not hold three texts")
            step = engine.launch(plan)
            scheduler.launched()
            engine.read(step)
            row = 0
            for entry in plan.entries:
                if not entry.kept:
                    continue
                sequence = entry.sequence
                logits[sequence].append(step.logits[0][row].float().clone())
                row += 1
                sequence.pending = 0
                if rest[sequence]:
                    sequence.append(rest[sequence].pop(0))
                else:
                    scheduler.leave(sequence)
    return [torch.stack(logits[sequence]) for sequence in sequences]
