"""Log-likelihoods of choices: by forward passes over packs below shared prefixes, or over padded batches.

What stands before the choices is computed once for all of them, and what requests have in common once for all requests,
by the trie that generation uses. Only the positions that are scored reach the vocabulary, so few at once that their
scores stay within a budget of memory.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from xlingual.records import Failure, Likelihood, Response

from .choices import Passage, Weighed
from .decoders import decoder_of, forward, our_attention, shape_of
from .generation import OUT_OF_MEMORY, Engine, attempt, failed
from .prefixes import Prefix, Row, arrange, chain, release
from .rendering import Rendered
from .slots import Piece, Shape, missing, new_slots, packs_of, pieces_of, plan_pack

if TYPE_CHECKING:
    import torch

PACK = 1024
"""Most tokens of a forward pass on a CPU, where large temporaries are slow."""
PACK_ELSEWHERE = 8192
SMALLEST_PACK = 64
"""Where the memory does not hold so few tokens either, fewer texts are taken together."""
SCORE_BYTES = 2**28
"""Most memory of the scores of a forward pass over the vocabulary."""
NUMBER_BYTES = 8
"""Of one score: in float32, and once more while their sum is taken."""
NOT_FINITE = Failure(kind="non-finite logits", message="the scores of a token hold NaN or infinity")


@dataclass(slots=True, eq=False)
class Entry:
    """A passage on its way: what the model said of each of its scored tokens."""

    passage: Passage
    account: "Account"
    logarithms: list[float]
    greedy: list[bool]

    def place(self, number: int) -> int:
        """Return the place of the token that the scored token `number` follows."""
        return self.passage.first + number - 1


@dataclass(slots=True, eq=False)
class Account:
    """A request whose passages are being scored."""

    weighed: Weighed
    choices: list[list[Entry]] = field(default_factory=list)
    open: int = 0
    """Entries that have not been scored yet."""
    failure: Failure | None = None

    def respond(self) -> Response:
        """Add up what is known when nothing is open any more."""
        request, tokens = self.weighed.request, self.weighed.tokens
        sums = [sum(sum(entry.logarithms) for entry in choice) for choice in self.choices]
        failure = self.failure
        if failure is None and not all(abs(each) < float("inf") for each in sums):
            failure = NOT_FINITE
        if failure is not None:
            return failed(request, failure, prompt_tokens=tokens)
        likelihoods = [
            Likelihood(
                logarithm=each,
                is_greedy=all(hit for entry in choice for hit in entry.greedy),
                tokens=sum(len(entry.greedy) for entry in choice),
            )
            for each, choice in zip(sums, self.choices, strict=True)
        ]
        return Response(
            key=request.key,
            text=None,
            failure=None,
            finish=None,
            prompt_tokens=tokens,
            tokens=0,
            likelihoods=tuple(likelihoods),
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """A token whose likelihood is asked for: the scored token `number` of an entry, behind `place` of its text."""

    place: int
    entry: Entry
    number: int


Entries = dict[tuple[int, ...], list[Entry]]
"""By what the model has to read for them: all tokens but the last."""


def open_accounts(weighed: Sequence[Weighed]) -> Entries:
    """Return the entries of all requests; those that need the same reading share it."""
    found: Entries = {}
    for one in weighed:
        account = Account(one)
        for choice in one.passages:
            entries = []
            for passage in choice:
                count = len(passage.ids) - passage.first
                entry = Entry(passage, account, [float("nan")] * count, [False] * count)
                found.setdefault(passage.ids[:-1], []).append(entry)
                entries.append(entry)
            account.choices.append(entries)
            account.open += len(entries)
    return found


def close(entries: Iterable[Entry], failure: Failure | None = None) -> Iterator[Response]:
    """Note that `entries` are done, and yield the responses of the requests that have no others open."""
    for entry in entries:
        account = entry.account
        account.failure = account.failure or failure
        account.open -= 1
        if not account.open:
            yield account.respond()


def score_positions(scores: "torch.Tensor", wanted: Sequence[tuple[int, Wanted]]) -> None:
    """Note what `scores`, (positions, vocabulary), say of the wanted tokens, each given with its position."""
    import torch  # noqa: PLC0415 - heavy

    places = torch.tensor([position for position, _ in wanted], device=scores.device)
    targets = [each.entry.passage.ids[each.place + 1] for _, each in wanted]
    tokens = torch.tensor(targets, device=scores.device)
    scores = scores.float()
    values = scores[places, tokens] - scores.logsumexp(dim=-1)[places]
    greedy = scores.argmax(dim=-1)[places] == tokens
    for (_, each), value, hit in zip(wanted, values.tolist(), greedy.tolist(), strict=True):
        each.entry.logarithms[each.number] = value
        each.entry.greedy[each.number] = hit


@dataclass(slots=True)
class Session:
    """Forward passes over packs: how large they may be, and what is wanted of each prefix and row."""

    engine: Engine
    shape: Shape
    pack: int
    """Most tokens of a pass; halved for good when the memory does not hold it."""
    positions: int
    """Most positions whose scores are computed in a pass."""
    wanted: dict[Prefix | Row, list[Wanted]]


def score_packed(engine: Engine, weighed: Sequence[Weighed]) -> Iterator[Response]:
    """Score every choice in the order of the trie and yield each response as soon as its choices are known.

    Where the memory does not hold a pass, passes are halved for good. Another error is narrowed down to the text that
    causes it, whose request gets a Failure; numbers that are not finite are computed again alone before they do.
    """
    entries = open_accounts(weighed)
    rows = arrange([Rendered(request=found[0].account.weighed.request, ids=ids) for ids, found in entries.items()])
    session = Session(
        engine=engine,
        shape=shape_of(engine),
        pack=PACK if engine.device.startswith("cpu") else PACK_ELSEWHERE,
        positions=most_positions(engine),
        wanted=_want(rows, entries),
    )
    waiting = rows[::-1]
    batches: list[list[Row]] = []
    with our_attention(engine):
        while waiting or batches:
            batch = batches.pop() if batches else _take(session, waiting)
            outcome = attempt(partial(_score_batch, session, batch))
            done = batch
            if isinstance(outcome, Failure):
                _forget(batch)
                if outcome.kind == OUT_OF_MEMORY and session.pack > SMALLEST_PACK:
                    session.pack = max(SMALLEST_PACK, session.pack // 2)
                    batches.append(batch)
                    continue
                if len(batch) > 1:
                    batches += [batch[len(batch) // 2 :], batch[: len(batch) // 2]]
                    continue
            elif len(batch) > 1:
                # Texts that are attended together hand such numbers on, so the one at fault is not known.
                broken = [row for row in batch if not _is_finite(session.wanted[row])]
                batches += [[row] for row in broken]
                done = [row for row in batch if row not in broken]
            for row in done:
                release(row.prefix)
                yield from close(entries[row.prompt.ids], outcome if isinstance(outcome, Failure) else None)


def most_positions(engine: Engine) -> int:
    """Return how many positions' scores over the vocabulary the budget holds."""
    return max(1, SCORE_BYTES // (NUMBER_BYTES * decoder_of(engine).config.vocab_size))


def _want(rows: Sequence[Row], entries: Entries) -> dict[Prefix | Row, list[Wanted]]:
    """Return what is wanted of each prefix and of the tail of each row."""
    found: dict[Prefix | Row, list[Wanted]] = {}
    for row in rows:
        parts: list[tuple[int, Prefix | Row]] = [(prefix.start, prefix) for prefix in chain(row.prefix)]
        parts.append((row.start, row))
        found[row] = []
        for entry in entries[row.prompt.ids]:
            for number in range(len(entry.greedy)):
                place = entry.place(number)
                part = next(each for start, each in reversed(parts) if start <= place)
                found.setdefault(part, []).append(Wanted(place, entry, number))
    return found


def _take(session: Session, waiting: list[Row]) -> list[Row]:
    """Remove the next rows from `waiting`, as many as fill a pass together with their prefixes; one at least."""
    batch: list[Row] = []
    tokens = 0
    seen: set[Prefix] = set()
    while waiting:
        row = waiting[-1]
        fresh = [prefix for prefix in missing([row]) if prefix not in seen]
        tokens += len(row.tail) + sum(prefix.end - prefix.start for prefix in fresh)
        if batch and tokens > session.pack:
            break
        seen.update(fresh)
        batch.append(waiting.pop())
    return batch


def _forget(batch: Sequence[Row]) -> None:
    """Drop what a failed pass may have left half filled."""
    for row in batch:
        for prefix in chain(row.prefix):
            prefix.store = None


def _is_finite(wanted: Sequence[Wanted]) -> bool:
    return all(abs(each.entry.logarithms[each.number]) < float("inf") for each in wanted)


def _score_batch(session: Session, batch: Sequence[Row]) -> None:
    shape = session.shape
    slots = new_slots(shape, len(batch), max(len(row.tail) for row in batch))
    pieces = pieces_of(slots, batch)
    prefixes = {id(prefix.store): prefix for row in batch for prefix in chain(row.prefix)}
    parts = {id(piece.store): piece.row or prefixes[id(piece.store)] for piece in pieces}
    packs = packs_of(pieces, session.pack)[::-1]
    while packs:
        pack = packs.pop()
        wanted = _wanted_of(session, pack, parts)
        if len({position for position, _ in wanted}) > session.positions:
            tokens = sum(len(piece.ids) for piece in pack)
            packs += packs_of(pack, -(-tokens // 2))[::-1]
        else:
            _run(session, pack, wanted)


def _wanted_of(session: Session, pack: Sequence[Piece], parts: "dict[int, Prefix | Row]") -> list[tuple[int, Wanted]]:
    """Return what is wanted of a pack, each with its position among the pack's tokens."""
    found: list[tuple[int, Wanted]] = []
    before = 0
    for piece in pack:
        found += [
            (before + each.place - piece.position, each)
            for each in session.wanted.get(parts[id(piece.store)], ())
            if 0 <= each.place - piece.position < len(piece.ids)
        ]
        before += len(piece.ids)
    return found


def _run(session: Session, pack: Sequence[Piece], wanted: Sequence[tuple[int, Wanted]]) -> None:
    """Compute a pack, fill the stores of its pieces, and note the likelihoods that are wanted of it."""
    kept = sorted({position for position, _ in wanted})
    ranks = {position: rank for rank, position in enumerate(kept)}
    ids = [token for piece in pack for token in piece.ids]
    positions = [piece.position + place for piece in pack for place in range(len(piece.ids))]
    scores = forward(session.engine, ids, positions, keep=kept or [0], plan=plan_pack(session.shape, pack))
    if wanted:
        score_positions(scores, [(ranks[position], each) for position, each in wanted])
