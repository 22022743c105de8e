"""Log-likelihoods of choices: by forward passes over packs below shared prefixes, or over padded batches.

What stands before the choices is computed once for all of them, and what requests have in common once for all requests,
by the trie that generation uses. Only the positions that are scored reach the vocabulary, so few at once that their
scores stay within a budget of memory.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from xlingual.records import Failure, Response

from ..limits import OUT_OF_MEMORY, attempt
from ..loaded_model import LoadedModel
from ..scoring import ScoredToken, WindowsByText, close, most_positions, open_scoring_requests, score_positions
from ..tokens.choices import TokenizedChoices
from ..tokens.rendering import Rendered
from .batch_plan import PrefillChunk, plan_prefill, prefill_chunks, split_into_passes
from .forward import cache_shape_of, forward, packed_attention
from .kv_cache import KVCacheShape
from .prefix_tree import PrefixNode, TokenSequence, build_prefix_tree, prefix_path, release_prefixes
from .running_batch import missing_prefixes, new_batch

PREFILL_TOKENS = 1024
"""Most tokens of a forward pass on a CPU, where large temporaries are slow."""
PREFILL_TOKENS_GPU = 8192
FEWEST_PREFILL_TOKENS = 64
"""Where the memory does not hold so few tokens either, fewer texts are taken together."""


@dataclass(slots=True)
class ScoringSession:
    """Forward passes over packs: how large they may be, and what is wanted of each prefix and row."""

    loaded: LoadedModel
    shape: KVCacheShape
    pack: int
    """Most tokens of a pass; halved for good when the memory does not hold it."""
    positions: int
    """Most positions whose scores are computed in a pass."""
    wanted: dict[PrefixNode | TokenSequence, list[ScoredToken]]


def score_packed(loaded: LoadedModel, tokenized: Sequence[TokenizedChoices]) -> Iterator[Response]:
    """Score every choice in the order of the trie and yield each response as soon as its choices are known.

    Where the memory does not hold a pass, passes are halved for good. Another error is narrowed down to the text that
    causes it, whose request gets a Failure; numbers that are not finite are computed again alone before they do.
    """
    entries = open_scoring_requests(tokenized)
    sequences = build_prefix_tree(
        [Rendered(request=found[0].scoring.tokenized.request, ids=ids) for ids, found in entries.items()]
    )
    session = ScoringSession(
        loaded=loaded,
        shape=cache_shape_of(loaded),
        pack=PREFILL_TOKENS if loaded.device.startswith("cpu") else PREFILL_TOKENS_GPU,
        positions=most_positions(loaded),
        wanted=_want(sequences, entries),
    )
    waiting = sequences[::-1]
    batches: list[list[TokenSequence]] = []
    with packed_attention(loaded):
        while waiting or batches:
            batch = batches.pop() if batches else _take(session, waiting)
            outcome = attempt(partial(_score_batch, session, batch))
            done = batch
            if isinstance(outcome, Failure):
                _forget(batch)
                if outcome.kind == OUT_OF_MEMORY and session.pack > FEWEST_PREFILL_TOKENS:
                    session.pack = max(FEWEST_PREFILL_TOKENS, session.pack // 2)
                    batches.append(batch)
                    continue
                if len(batch) > 1:
                    batches += [batch[len(batch) // 2 :], batch[: len(batch) // 2]]
                    continue
            elif len(batch) > 1:
                # Texts that are attended together hand such numbers on, so the one at fault is not known.
                broken = [sequence for sequence in batch if not _is_finite(session.wanted[sequence])]
                batches += [[sequence] for sequence in broken]
                done = [sequence for sequence in batch if sequence not in broken]
            for sequence in done:
                release_prefixes(sequence.prefix)
                yield from close(entries[sequence.prompt.ids], outcome if isinstance(outcome, Failure) else None)


def _want(
    sequences: Sequence[TokenSequence], entries: WindowsByText
) -> dict[PrefixNode | TokenSequence, list[ScoredToken]]:
    """Return what is wanted of each prefix and of the tail of each row."""
    found: dict[PrefixNode | TokenSequence, list[ScoredToken]] = {}
    for sequence in sequences:
        parts: list[tuple[int, PrefixNode | TokenSequence]] = [
            (prefix.start, prefix) for prefix in prefix_path(sequence.prefix)
        ]
        parts.append((sequence.start, sequence))
        found[sequence] = []
        for entry in entries[sequence.prompt.ids]:
            for number in range(len(entry.greedy)):
                place = entry.place(number)
                part = next(each for start, each in reversed(parts) if start <= place)
                found.setdefault(part, []).append(ScoredToken(place, entry, number))
    return found


def _take(session: ScoringSession, waiting: list[TokenSequence]) -> list[TokenSequence]:
    """Remove the next rows from `waiting`, as many as fill a pass together with their prefixes; one at least."""
    batch: list[TokenSequence] = []
    tokens = 0
    seen: set[PrefixNode] = set()
    while waiting:
        sequence = waiting[-1]
        fresh = [prefix for prefix in missing_prefixes([sequence]) if prefix not in seen]
        tokens += len(sequence.tail) + sum(prefix.end - prefix.start for prefix in fresh)
        if batch and tokens > session.pack:
            break
        seen.update(fresh)
        batch.append(waiting.pop())
    return batch


def _forget(batch: Sequence[TokenSequence]) -> None:
    """Drop what a failed pass may have left half filled."""
    for sequence in batch:
        for prefix in prefix_path(sequence.prefix):
            prefix.kv = None


def _is_finite(wanted: Sequence[ScoredToken]) -> bool:
    return all(abs(each.entry.logarithms[each.number]) < float("inf") for each in wanted)


def _score_batch(session: ScoringSession, sequences: Sequence[TokenSequence]) -> None:
    batch = new_batch(session.shape, len(sequences), max(len(sequence.tail) for sequence in sequences))
    chunks = prefill_chunks(batch, sequences)
    prefixes = {id(prefix.kv): prefix for sequence in sequences for prefix in prefix_path(sequence.prefix)}
    parts = {id(chunk.kv): chunk.sequence or prefixes[id(chunk.kv)] for chunk in chunks}
    packs = split_into_passes(chunks, session.pack)[::-1]
    while packs:
        pack = packs.pop()
        wanted = _wanted_of(session, pack, parts)
        if len({position for position, _ in wanted}) > session.positions:
            tokens = sum(len(chunk.ids) for chunk in pack)
            packs += split_into_passes(pack, -(-tokens // 2))[::-1]
        else:
            _run(session, pack, wanted)


def _wanted_of(
    session: ScoringSession, pack: Sequence[PrefillChunk], parts: "dict[int, PrefixNode | TokenSequence]"
) -> list[tuple[int, ScoredToken]]:
    """Return what is wanted of a pack, each with its position among the pack's tokens."""
    found: list[tuple[int, ScoredToken]] = []
    before = 0
    for chunk in pack:
        found += [
            (before + each.place - chunk.position, each)
            for each in session.wanted.get(parts[id(chunk.kv)], ())
            if 0 <= each.place - chunk.position < len(chunk.ids)
        ]
        before += len(chunk.ids)
    return found


def _run(session: ScoringSession, pack: Sequence[PrefillChunk], wanted: Sequence[tuple[int, ScoredToken]]) -> None:
    """Compute a pack, fill the stores of its pieces, and note the likelihoods that are wanted of it."""
    kept = sorted({position for position, _ in wanted})
    ranks = {position: rank for rank, position in enumerate(kept)}
    ids = [token for chunk in pack for token in chunk.ids]
    positions = [chunk.position + place for chunk in pack for place in range(len(chunk.ids))]
    scores = forward(session.loaded, ids, positions, keep=kept or [0], plan=plan_prefill(session.shape, pack))
    if wanted:
        score_positions(scores, [(ranks[position], each) for position, each in wanted])
