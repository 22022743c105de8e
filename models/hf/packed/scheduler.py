"""Continuous batching: waiting sequences enter as soon as finished ones leave their cache rows.

    waiting --prefill--> running --decode steps--> finished: a response
       ^                    |
       +--- out of memory --+    fewer sequences at once; they go on after the tokens that they have

All prompts are known from the start, so they are answered in the order of the prefix tree: sequences that run together
share prefixes, and a prefix is freed as soon as the last prompt below it is answered.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from xlingual.records import Failure, Response, failed_response

from ..limits import OUT_OF_MEMORY, RowLimit, attempt, free_bytes
from ..loaded_model import LoadedModel
from ..responses import Thought, respond
from ..tokens.rendering import Rendered
from ..tokens.stops import is_stopped
from .chunked_prefill import prefill_chunks, split_into_passes
from .exchange import cache_spec_of, packed_attention
from .forward import NextToken, pick_tokens, run_decode, run_prefill
from .kv_cache import round_up_to_blocks
from .prefix_tree import PrefixNode, TokenSequence, build_prefix_tree, prefix_path, release_prefixes
from .prompt_lookup import PromptLookup
from .running_batch import RunningBatch, batch_layout, missing_prefixes, new_batch

MAX_BATCHED_TOKENS = 512
"""Most tokens of a prefill pass on a CPU, where large temporaries are slow."""
MAX_BATCHED_TOKENS_GPU = 8192
KV_MEMORY_FRACTION = 0.5
"""Of the free memory, for keys and values; the rest is for what a forward pass needs."""
ADMISSION_FRACTION = 4
"""Waiting sequences enter when one cache row of so many is free: entering together, they share prefill passes."""


@dataclass(slots=True)
class GenerationSession:
    """Sequences on their way to their answers, with a KV cache of their own."""

    loaded: LoadedModel
    waiting: list[TokenSequence]
    """The next one is last."""
    unfinished: dict[TokenSequence, None]
    """Waiting and running."""
    batch: RunningBatch
    cache_rows: int
    """Most sequences that run at once."""
    prefix_tokens: int
    """Tokens of prefixes that the memory is trusted to hold."""
    lookup: PromptLookup
    isolated: list[TokenSequence] = field(default_factory=list)
    """Sequences whose logits were not finite beside others."""


@dataclass(frozen=True, slots=True)
class PassFailure:
    """A forward pass that failed, and the sequences that it was for."""

    failure: Failure
    sequences: list[TokenSequence]


def generate_packed(
    loaded: LoadedModel, prompts: Sequence[Rendered], limit: RowLimit, *, share: bool = True, speculate: bool = True
) -> Iterator[Response | Thought]:
    """Answer every prompt, in the order of the prefix tree, and yield each response as soon as it is done.

    Where the memory does not hold the sequences, `limit` is halved for good and all of them go on after the tokens that
    they have. Another error is narrowed down to the sequence that causes it, which gets a Failure. `share` and
    `speculate` turn shared prefixes and prompt lookup off, for comparisons.
    """
    queue = [build_prefix_tree(prompts, share=share)]
    lookup = PromptLookup(enabled=speculate)
    with packed_attention(loaded.model):
        while queue:
            if not (sequences := queue.pop()):
                continue
            session = attempt(partial(_open_session, loaded, sequences, limit, lookup))
            if isinstance(session, Failure):
                pass_failure, rest = PassFailure(session, sequences[: limit.rows]), sequences
            else:
                found = yield from _run(session)
                queue += [[sequence] for sequence in session.isolated]
                if found is None:
                    continue
                pass_failure, rest = found, list(session.unfinished)
                del session
            for prefix in {each for sequence in rest for each in prefix_path(sequence.prefix)}:
                prefix.kv = None
            yield from _requeue(pass_failure, rest, queue, limit)


def _open_session(
    loaded: LoadedModel, sequences: Sequence[TokenSequence], limit: RowLimit, lookup: PromptLookup
) -> GenerationSession:
    """Make cache rows as long as these sequences can get, as many as the limit and the memory allow."""
    spec = cache_spec_of(loaded)
    row_tokens = round_up_to_blocks(max(sequence.max_suffix_length for sequence in sequences))
    tokens = int(free_bytes(loaded.device) * KV_MEMORY_FRACTION) // spec.token_bytes
    rows = min(limit.rows, len(sequences), max(1, tokens // 2 // row_tokens))
    return GenerationSession(
        loaded=loaded,
        waiting=list(reversed(sequences)),
        unfinished=dict.fromkeys(sequences),
        batch=new_batch(spec, rows, row_tokens),
        cache_rows=rows,
        prefix_tokens=tokens - rows * row_tokens,
        lookup=lookup,
    )


def _run(session: GenerationSession) -> Generator[Response | Thought, None, PassFailure | None]:
    """Answer the sequences of a session; returns what stopped it, or None."""
    while session.unfinished:
        entering = _admit(session)
        call = partial(_prefill, session, entering) if entering else partial(_decode, session)
        scored = attempt(call)
        if isinstance(scored, Failure):
            running = [sequence for sequence in session.batch.sequences if sequence not in entering]
            is_memory = scored.kind == OUT_OF_MEMORY
            return PassFailure(scored, running + entering if is_memory else entering or running)
        for each in scored:
            # Accepted draft tokens may come after the end of an answer.
            if each.sequence in session.unfinished and (response := _append_token(session, each)) is not None:
                yield response
    return None


def _admit(session: GenerationSession) -> list[TokenSequence]:
    """Take the waiting sequences that may enter now: enough rows are free and the memory holds their prefixes."""
    running = session.batch.sequences
    free = min(session.cache_rows - len(running), len(session.waiting))
    enough = min(max(1, session.cache_rows // ADMISSION_FRACTION), len(session.waiting))
    if free == 0 or (running and free < enough):
        return []
    taken = session.waiting[-free:][::-1]
    live = {each for sequence in session.unfinished for each in prefix_path(sequence.prefix) if each.kv is not None}
    left = session.prefix_tokens - _tokens(live)
    while taken and (running or len(taken) > 1) and _tokens(missing_prefixes(taken)) > left:
        taken.pop()
    del session.waiting[len(session.waiting) - len(taken) :]
    return taken


def _tokens(prefixes: Iterable[PrefixNode]) -> int:
    return sum(prefix.length for prefix in prefixes)


def _prefill(session: GenerationSession, sequences: Sequence[TokenSequence]) -> list[NextToken]:
    """Compute new sequences; returns the first token of each answer."""
    batch, loaded = session.batch, session.loaded
    most = MAX_BATCHED_TOKENS if loaded.device.startswith("cpu") else MAX_BATCHED_TOKENS_GPU
    scored: list[NextToken] = []
    for chunks in split_into_passes(prefill_chunks(batch, sequences), most):
        scored += pick_tokens(*run_prefill(loaded, batch.cache.spec, chunks))
    return scored


def _decode(session: GenerationSession) -> list[NextToken]:
    """Compute a decode step; returns for each sequence the accepted draft tokens, then one of the model's own."""
    batch = session.batch
    sequences = [batch.sequences[row] for row in batch_layout(batch).cache_rows]
    drafts = session.lookup.propose(sequences)
    scored = iter(pick_tokens(*run_decode(session.loaded, batch, drafts)))
    kept: list[NextToken] = []
    for sequence, draft in zip(sequences, drafts, strict=True):
        found = [next(scored) for _ in range(len(draft) + 1)]
        accepted = 0
        while accepted < len(draft) and found[accepted].finite and found[accepted].token == draft[accepted]:
            accepted += 1
        session.lookup.record_acceptance(sequence, draft, accepted)
        batch.lengths[batch.sequences.index(sequence)] += accepted
        kept += found[: accepted + 1]
    return kept


def _append_token(session: GenerationSession, scored: NextToken) -> Response | Thought | None:
    """Append the next token to the answer of its sequence; return the response when that is the last."""
    loaded, sequence = session.loaded, scored.sequence
    stopped = broken = None
    if not scored.finite:
        session.batch.clear(sequence)
        if not sequence.is_isolated:
            # Sequences that were attended together hand NaN on, so the one at fault is not known.
            sequence.is_isolated = True
            session.isolated.append(sequence)
            _leave(session, sequence)
            return None
        broken = len(sequence.output_ids)
    else:
        sequence.output_ids.append(scored.token)
        prompt, is_end = sequence.prompt, scored.token in loaded.end_ids
        if not is_end and is_stopped(loaded, prompt, sequence.output_ids):
            stopped = len(sequence.output_ids)
        elif not is_end and len(sequence.output_ids) < prompt.max_new_tokens:
            return None
    _leave(session, sequence)
    release_prefixes(sequence.prefix)
    return respond(loaded, sequence.prompt, sequence.output_ids, stopped, broken)


def _leave(session: GenerationSession, sequence: TokenSequence) -> None:
    session.batch.remove(sequence)
    session.lookup.forget(sequence)
    del session.unfinished[sequence]


def _requeue(
    pass_failure: PassFailure, rest: list[TokenSequence], queue: list[list[TokenSequence]], limit: RowLimit
) -> Iterator[Response]:
    """Put `rest` back into `queue` so that it gets on: fewer sequences at once, or the one at fault alone."""
    sequences, failure = pass_failure.sequences, pass_failure.failure
    others = [sequence for sequence in rest if sequence not in sequences]
    half = len(sequences) // 2
    if half == 0:
        [sequence] = sequences
        release_prefixes(sequence.prefix)
        queue.append(others)
        yield failed_response(sequence.prompt.request, failure, prompt_tokens=len(sequence.prompt.question_ids))
    elif failure.kind == OUT_OF_MEMORY:
        limit.lower(half)
        queue.append(rest)
    else:
        queue += [others, sequences[half:], sequences[:half]]
