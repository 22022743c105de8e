"""Greedy answers without padding: shared prefixes computed once, and slots that finished rows leave to waiting ones."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from xlingual.records import Failure, Response, failed_response

from ..limits import OUT_OF_MEMORY, RowLimit, attempt, free_bytes
from ..loaded_model import LoadedModel
from ..responses import find_overflow, respond
from ..tokens.rendering import Rendered
from ..tokens.stops import is_stopped
from .batch_plan import prefill_chunks, split_into_passes
from .forward import NextToken, cache_shape_of, packed_attention, pick_tokens, run_decode, run_prefill
from .kv_cache import whole_blocks
from .prefix_tree import PrefixNode, TokenSequence, build_prefix_tree, prefix_path, release_prefixes
from .prompt_lookup import PromptLookup
from .running_batch import RunningBatch, batch_layout, missing_prefixes, new_batch

PREFILL_TOKENS = 512
"""Most tokens of a forward pass on a CPU, where large temporaries are slow."""
PREFILL_TOKENS_GPU = 8192
SHARE_OF_MEMORY = 0.5
"""Of the free memory, for keys and values; the rest is for what a forward pass needs."""
REFILL = 4
"""Waiting rows enter when one slot of so many is free: entering together, they share passes."""


@dataclass(slots=True)
class GenerationSession:
    """Some rows on their way to their answers, through slots of their own."""

    loaded: LoadedModel
    waiting: list[TokenSequence]
    """The next one is last."""
    unfinished: dict[TokenSequence, None]
    """Waiting rows and those in slots."""
    batch: RunningBatch
    count: int
    """The number of slots."""
    room: int
    """Tokens of prefixes that the memory is trusted to hold."""
    drafts: PromptLookup
    isolated: list[TokenSequence] = field(default_factory=list)
    """Rows that were not finite beside others."""


@dataclass(frozen=True, slots=True)
class PassFailure:
    """A call of the model that failed, and the rows that it was for."""

    failure: Failure
    sequences: list[TokenSequence]


def generate_packed(
    loaded: LoadedModel, prompts: Sequence[Rendered], limit: RowLimit, *, share: bool = True, guess: bool = True
) -> Iterator[Response]:
    """Answer every prompt, in the order of the trie of their tokens, and yield each response as soon as it is done.

    Where the memory does not hold the rows, `limit` is halved for good and all rows go on after the tokens that they
    have. Another error is narrowed down to the row that causes it, which gets a Failure. `share` and `guess` turn
    shared prefixes and drafts off, for comparisons.
    """
    fitting: list[Rendered] = []
    for prompt in prompts:
        if (overflow := find_overflow(loaded, prompt)) is None:
            fitting.append(prompt)
        else:
            yield overflow
    work = [build_prefix_tree(fitting, share=share)]
    drafts = PromptLookup(on=guess)
    with packed_attention(loaded):
        while work:
            if not (sequences := work.pop()):
                continue
            session = attempt(partial(_open_session, loaded, sequences, limit, drafts))
            if isinstance(session, Failure):
                pass_failure, rest = PassFailure(session, sequences[: limit.rows]), sequences
            else:
                found = yield from _run(session)
                work += [[sequence] for sequence in session.isolated]
                if found is None:
                    continue
                pass_failure, rest = found, list(session.unfinished)
                del session
            for prefix in {each for sequence in rest for each in prefix_path(sequence.prefix)}:
                prefix.kv = None
            yield from _split(pass_failure, rest, work, limit)


def _open_session(
    loaded: LoadedModel, sequences: Sequence[TokenSequence], limit: RowLimit, drafts: PromptLookup
) -> GenerationSession:
    """Make slots as long as these rows can get, as many as the limit and the memory allow."""
    shape = cache_shape_of(loaded)
    longest = whole_blocks(max(sequence.longest for sequence in sequences))
    tokens = int(free_bytes(loaded.device) * SHARE_OF_MEMORY) // shape.token_bytes
    count = min(limit.rows, len(sequences), max(1, tokens // 2 // longest))
    return GenerationSession(
        loaded=loaded,
        waiting=list(reversed(sequences)),
        unfinished=dict.fromkeys(sequences),
        batch=new_batch(shape, count, longest),
        count=count,
        room=tokens - count * longest,
        drafts=drafts,
    )


def _run(session: GenerationSession) -> Generator[Response, None, PassFailure | None]:
    """Answer the rows of a session; returns what stopped it, or None."""
    while session.unfinished:
        entering = _next_rows(session)
        call = partial(_prefill, session, entering) if entering else partial(_decode, session)
        scored = attempt(call)
        if isinstance(scored, Failure):
            busy = [sequence for sequence in session.batch.sequences if sequence not in entering]
            is_memory = scored.kind == OUT_OF_MEMORY
            return PassFailure(scored, busy + entering if is_memory else entering or busy)
        for each in scored:
            # Tokens of a draft may come after the end of an answer.
            if each.sequence in session.unfinished and (response := _advance(session, each)) is not None:
                yield response
    return None


def _next_rows(session: GenerationSession) -> list[TokenSequence]:
    """Take the waiting rows that may enter now: enough slots are free and the memory holds their prefixes."""
    busy = session.batch.sequences
    free = min(session.count - len(busy), len(session.waiting))
    if free == 0 or (busy and free < min(max(1, session.count // REFILL), len(session.waiting))):
        return []
    taken = session.waiting[-free:][::-1]
    live = {each for sequence in session.unfinished for each in prefix_path(sequence.prefix) if each.kv is not None}
    room = session.room - _tokens(live)
    while taken and (busy or len(taken) > 1) and _tokens(missing_prefixes(taken)) > room:
        taken.pop()
    del session.waiting[len(session.waiting) - len(taken) :]
    return taken


def _tokens(prefixes: set[PrefixNode] | list[PrefixNode]) -> int:
    return sum(prefix.end - prefix.start for prefix in prefixes)


def _prefill(session: GenerationSession, sequences: Sequence[TokenSequence]) -> list[NextToken]:
    batch, loaded = session.batch, session.loaded
    most = PREFILL_TOKENS if loaded.device.startswith("cpu") else PREFILL_TOKENS_GPU
    scored: list[NextToken] = []
    for pack in split_into_passes(prefill_chunks(batch, sequences), most):
        scored += pick_tokens(*run_prefill(loaded, batch.shape, pack))
    return scored


def _decode(session: GenerationSession) -> list[NextToken]:
    """Compute a step; returns for each row its next token and those of its draft that the model agrees with."""
    batch = session.batch
    sequences = [batch.sequences[slot] for slot in batch_layout(batch).order]
    drafts = session.drafts.propose(sequences)
    scored = iter(pick_tokens(*run_decode(session.loaded, batch, drafts)))
    kept: list[NextToken] = []
    for sequence, draft in zip(sequences, drafts, strict=True):
        judged = [next(scored) for _ in range(len(draft) + 1)]
        accepted = 0
        while accepted < len(draft) and judged[accepted].finite and judged[accepted].token == draft[accepted]:
            accepted += 1
        session.drafts.record_acceptance(sequence, draft, accepted)
        batch.lengths[batch.sequences.index(sequence)] += accepted
        kept += judged[: accepted + 1]
    return kept


def _advance(session: GenerationSession, scored: NextToken) -> Response | None:
    """Note the next token of a row; return its response when that is the last."""
    loaded, sequence = session.loaded, scored.sequence
    stopped = broken = None
    if not scored.finite:
        session.batch.clean(sequence)
        if not sequence.is_isolated:
            # Texts that were attended together hand such numbers on, so the one at fault is not known.
            sequence.is_isolated = True
            session.isolated.append(sequence)
            _leave(session, sequence)
            return None
        broken = len(sequence.new)
    else:
        sequence.new.append(scored.token)
        request = sequence.prompt.request
        is_end = scored.token in loaded.end_ids
        if not is_end and is_stopped(loaded.tokenizer, sequence.new, request.stop):
            stopped = len(sequence.new)
        elif not is_end and len(sequence.new) < request.max_new_tokens:
            return None
    _leave(session, sequence)
    release_prefixes(sequence.prefix)
    return respond(loaded, sequence.prompt, sequence.new, stopped, broken)


def _leave(session: GenerationSession, sequence: TokenSequence) -> None:
    session.batch.remove(sequence)
    session.drafts.forget(sequence)
    del session.unfinished[sequence]


def _split(
    pass_failure: PassFailure, rest: list[TokenSequence], work: list[list[TokenSequence]], limit: RowLimit
) -> Iterator[Response]:
    """Put `rest` back to `work` so that it gets on: fewer rows at once, or the row at fault alone."""
    sequences, failure = pass_failure.sequences, pass_failure.failure
    others = [sequence for sequence in rest if sequence not in sequences]
    half = len(sequences) // 2
    if half == 0:
        [sequence] = sequences
        release_prefixes(sequence.prefix)
        work.append(others)
        yield failed_response(sequence.prompt.request, failure, prompt_tokens=len(sequence.prompt.ids))
    elif failure.kind == OUT_OF_MEMORY:
        limit.lower(half)
        work.append(rest)
    else:
        work += [others, sequences[half:], sequences[:half]]
