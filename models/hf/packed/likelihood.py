"""Log-likelihoods of choices by prefill alone: one pass over the tokens of a choice scores all of them.

What stands before the choices is computed once for all of them, and what requests have in common once for all requests,
by the prefix tree that generation uses. Only the positions that are scored reach the vocabulary, so few at once that
their logits stay within a budget of memory.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from xlingual.records import Failure, Response

from ..limits import OUT_OF_MEMORY, attempt
from ..loaded_model import LoadedModel
from ..scoring import (
    ScoredToken,
    WindowsByText,
    finish_windows,
    max_scored_positions,
    open_scoring_requests,
    record_scores,
)
from ..tokens.choices import TokenizedChoices
from ..tokens.rendering import Rendered
from .batch_plan import plan_prefill
from .chunked_prefill import PrefillChunk, prefill_chunks, split_into_passes
from .exchange import cache_spec_of, packed_attention
from .forward import forward, tokens_of
from .kv_cache import KVCacheSpec
from .prefix_tree import PrefixNode, TokenSequence, build_prefix_tree, prefix_path, release_prefixes
from .running_batch import missing_prefixes, new_batch

MAX_BATCHED_TOKENS = 1024
"""Most tokens of a prefill pass on a CPU, where large temporaries are slow."""
MAX_BATCHED_TOKENS_GPU = 8192
MIN_BATCHED_TOKENS = 64
"""Where the memory does not hold a pass of so few tokens either, fewer sequences are taken together."""


@dataclass(slots=True)
class ScoringSession:
    """Prefill passes over all texts: how large they may be, and which tokens are to be scored."""

    loaded: LoadedModel
    spec: KVCacheSpec
    max_tokens: int
    """Of a pass; halved for good when the memory does not hold it."""
    max_positions: int
    """Whose logits are computed in a pass."""
    targets: dict[PrefixNode | TokenSequence, list[ScoredToken]]
    """The tokens that are scored by each prefix and by the suffix of each sequence."""


def score_packed(loaded: LoadedModel, tokenized: Sequence[TokenizedChoices]) -> Iterator[Response]:
    """Score every choice in the order of the prefix tree and yield each response as soon as its choices are known.

    Where the memory does not hold a pass, passes are halved for good. Another error is narrowed down to the text that
    causes it, whose request gets a Failure; scores that are not finite are computed again alone before they do.
    """
    windows = open_scoring_requests(tokenized)
    sequences = build_prefix_tree(
        [Rendered(request=found[0].request.tokenized.request, ids=ids) for ids, found in windows.items()]
    )
    session = ScoringSession(
        loaded=loaded,
        spec=cache_spec_of(loaded),
        max_tokens=MAX_BATCHED_TOKENS if loaded.device.startswith("cpu") else MAX_BATCHED_TOKENS_GPU,
        max_positions=max_scored_positions(loaded),
        targets=_assign_targets(sequences, windows),
    )
    waiting = sequences[::-1]
    batches: list[list[TokenSequence]] = []
    with packed_attention(loaded.model):
        while waiting or batches:
            batch = batches.pop() if batches else _take(session, waiting)
            outcome = attempt(partial(_score_batch, session, batch))
            done = batch
            if isinstance(outcome, Failure):
                _drop_prefixes(batch)
                if outcome.kind == OUT_OF_MEMORY and session.max_tokens > MIN_BATCHED_TOKENS:
                    session.max_tokens = max(MIN_BATCHED_TOKENS, session.max_tokens // 2)
                    batches.append(batch)
                    continue
                if len(batch) > 1:
                    batches += [batch[len(batch) // 2 :], batch[: len(batch) // 2]]
                    continue
            elif len(batch) > 1:
                # Sequences that were attended together hand NaN on, so the one at fault is not known.
                broken = [sequence for sequence in batch if not _is_finite(session.targets[sequence])]
                batches += [[sequence] for sequence in broken]
                done = [sequence for sequence in batch if sequence not in broken]
            for sequence in done:
                release_prefixes(sequence.prefix)
                failure = outcome if isinstance(outcome, Failure) else None
                yield from finish_windows(windows[sequence.prompt.ids], failure)


def _assign_targets(
    sequences: Sequence[TokenSequence], windows: WindowsByText
) -> dict[PrefixNode | TokenSequence, list[ScoredToken]]:
    """Return the tokens that are scored by each prefix and by the suffix of each sequence."""
    found: dict[PrefixNode | TokenSequence, list[ScoredToken]] = {}
    for sequence in sequences:
        parts: list[tuple[int, PrefixNode | TokenSequence]] = [
            (prefix.start, prefix) for prefix in prefix_path(sequence.prefix)
        ]
        parts.append((sequence.prefix_length, sequence))
        found[sequence] = []
        for scores in windows[sequence.prompt.ids]:
            for index in range(len(scores.greedy)):
                position = scores.position(index)
                part = next(each for start, each in reversed(parts) if start <= position)
                found.setdefault(part, []).append(ScoredToken(position, scores, index))
    return found


def _take(session: ScoringSession, waiting: list[TokenSequence]) -> list[TokenSequence]:
    """Remove the next sequences from `waiting`, as many as fill a pass together with their prefixes; one at least."""
    batch: list[TokenSequence] = []
    tokens = 0
    seen: set[PrefixNode] = set()
    while waiting:
        sequence = waiting[-1]
        fresh = [prefix for prefix in missing_prefixes([sequence]) if prefix not in seen]
        tokens += len(sequence.suffix) + sum(prefix.length for prefix in fresh)
        if batch and tokens > session.max_tokens:
            break
        seen.update(fresh)
        batch.append(waiting.pop())
    return batch


def _drop_prefixes(batch: Sequence[TokenSequence]) -> None:
    """Free the prefixes that a failed pass may have left half computed."""
    for sequence in batch:
        for prefix in prefix_path(sequence.prefix):
            prefix.kv = None


def _is_finite(targets: Sequence[ScoredToken]) -> bool:
    return all(abs(each.scores.log_probs[each.index]) < float("inf") for each in targets)


def _score_batch(session: ScoringSession, sequences: Sequence[TokenSequence]) -> None:
    batch = new_batch(session.spec, len(sequences), max(len(sequence.suffix) for sequence in sequences))
    chunks = prefill_chunks(batch, sequences)
    prefixes = {id(prefix.kv): prefix for sequence in sequences for prefix in prefix_path(sequence.prefix)}
    owners = {id(chunk.kv): chunk.sequence or prefixes[id(chunk.kv)] for chunk in chunks}
    passes = split_into_passes(chunks, session.max_tokens)[::-1]
    while passes:
        current = passes.pop()
        targets = _targets_of(session, current, owners)
        if len({index for index, _ in targets}) > session.max_positions:
            tokens = sum(len(chunk.ids) for chunk in current)
            passes += split_into_passes(current, -(-tokens // 2))[::-1]
        else:
            _run_pass(session, current, targets)


def _targets_of(
    session: ScoringSession, chunks: Sequence[PrefillChunk], owners: "dict[int, PrefixNode | TokenSequence]"
) -> list[tuple[int, ScoredToken]]:
    """Return the tokens that a pass scores, each with the index, among the pass's tokens, of the one before it."""
    found: list[tuple[int, ScoredToken]] = []
    before = 0
    for chunk in chunks:
        found += [
            (before + each.position - chunk.position, each)
            for each in session.targets.get(owners[id(chunk.kv)], ())
            if 0 <= each.position - chunk.position < len(chunk.ids)
        ]
        before += len(chunk.ids)
    return found


def _run_pass(
    session: ScoringSession, chunks: Sequence[PrefillChunk], targets: Sequence[tuple[int, ScoredToken]]
) -> None:
    """Compute a prefill pass, write the keys and values of its chunks, and record the scores of its targets."""
    kept = sorted({index for index, _ in targets})
    rows = {index: row for row, index in enumerate(kept)}
    ids, positions = tokens_of(chunks)
    logits = forward(session.loaded, ids, positions, keep=kept or [0], metadata=plan_prefill(session.spec, chunks))
    if targets:
        record_scores(logits, [(rows[index], each) for index, each in targets])
