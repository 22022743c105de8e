"""Greedy answers without padding: shared prefixes computed once, and slots that finished rows leave to waiting ones."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from xlingual.records import Failure, Response

from .decoders import Scored, choose, our_attention, score_pack, score_step, shape_of
from .drafts import Drafts
from .generation import OUT_OF_MEMORY, Engine, RowLimit, attempt, failed, find_overflow, respond
from .prefixes import Prefix, Row, arrange, chain, release
from .rendering import Rendered
from .slots import Slots, lay_out, missing, new_slots, packs_of, pieces_of, whole_blocks
from .stops import is_stopped

PACK = 512
"""Most tokens of a forward pass on a CPU, where large temporaries are slow."""
PACK_ELSEWHERE = 8192
SHARE_OF_MEMORY = 0.5
"""Of the free memory, for keys and values; the rest is for what a forward pass needs."""
REFILL = 4
"""Waiting rows enter when one slot of so many is free: entering together, they share passes."""


@dataclass(slots=True)
class Session:
    """Some rows on their way to their answers, through slots of their own."""

    engine: Engine
    waiting: list[Row]
    """The next one is last."""
    unfinished: dict[Row, None]
    """Waiting rows and those in slots."""
    slots: Slots
    count: int
    """The number of slots."""
    room: int
    """Tokens of prefixes that the memory is trusted to hold."""
    drafts: Drafts
    again: list[Row] = field(default_factory=list)
    """Rows that were not finite beside others."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A call of the model that failed, and the rows that it was for."""

    failure: Failure
    rows: list[Row]


def generate_packed(
    engine: Engine, prompts: Sequence[Rendered], limit: RowLimit, *, share: bool = True, guess: bool = True
) -> Iterator[Response]:
    """Answer every prompt, in the order of the trie of their tokens, and yield each response as soon as it is done.

    Where the memory does not hold the rows, `limit` is halved for good and all rows go on after the tokens that they
    have. Another error is narrowed down to the row that causes it, which gets a Failure. `share` and `guess` turn
    shared prefixes and drafts off, for comparisons.
    """
    fitting: list[Rendered] = []
    for prompt in prompts:
        if (overflow := find_overflow(engine, prompt)) is None:
            fitting.append(prompt)
        else:
            yield overflow
    work = [arrange(fitting, share=share)]
    drafts = Drafts(on=guess)
    with our_attention(engine):
        while work:
            if not (rows := work.pop()):
                continue
            session = attempt(partial(_open, engine, rows, limit, drafts))
            if isinstance(session, Failure):
                trouble, rest = Trouble(session, rows[: limit.rows]), rows
            else:
                found = yield from _run(session)
                work += [[row] for row in session.again]
                if found is None:
                    continue
                trouble, rest = found, list(session.unfinished)
                del session
            for prefix in {each for row in rest for each in chain(row.prefix)}:
                prefix.store = None
            yield from _split(trouble, rest, work, limit)


def _open(engine: Engine, rows: Sequence[Row], limit: RowLimit, drafts: Drafts) -> Session:
    """Make slots as long as these rows can get, as many as the limit and the memory allow."""
    shape = shape_of(engine)
    longest = whole_blocks(max(row.longest for row in rows))
    tokens = int(_free_bytes(engine.device) * SHARE_OF_MEMORY) // shape.token_bytes
    count = min(limit.rows, len(rows), max(1, tokens // 2 // longest))
    return Session(
        engine=engine,
        waiting=list(reversed(rows)),
        unfinished=dict.fromkeys(rows),
        slots=new_slots(shape, count, longest),
        count=count,
        room=tokens - count * longest,
        drafts=drafts,
    )


def _free_bytes(device: str) -> int:
    import psutil  # noqa: PLC0415 - a look at the machine
    import torch  # noqa: PLC0415 - heavy

    if torch.device(device).type == "cuda":
        return int(torch.cuda.mem_get_info(torch.device(device))[0])
    return int(psutil.virtual_memory().available)


def _run(session: Session) -> Generator[Response, None, Trouble | None]:
    """Answer the rows of a session; returns what stopped it, or None."""
    while session.unfinished:
        entering = _next_rows(session)
        call = partial(_prefill, session, entering) if entering else partial(_decode, session)
        scored = attempt(call)
        if isinstance(scored, Failure):
            busy = [row for row in session.slots.rows if row not in entering]
            is_memory = scored.kind == OUT_OF_MEMORY
            return Trouble(scored, busy + entering if is_memory else entering or busy)
        for each in scored:
            # Tokens of a draft may come after the end of an answer.
            if each.row in session.unfinished and (response := _advance(session, each)) is not None:
                yield response
    return None


def _next_rows(session: Session) -> list[Row]:
    """Take the waiting rows that may enter now: enough slots are free and the memory holds their prefixes."""
    busy = session.slots.rows
    free = min(session.count - len(busy), len(session.waiting))
    if free == 0 or (busy and free < min(max(1, session.count // REFILL), len(session.waiting))):
        return []
    taken = session.waiting[-free:][::-1]
    live = {each for row in session.unfinished for each in chain(row.prefix) if each.store is not None}
    room = session.room - _tokens(live)
    while taken and (busy or len(taken) > 1) and _tokens(missing(taken)) > room:
        taken.pop()
    del session.waiting[len(session.waiting) - len(taken) :]
    return taken


def _tokens(prefixes: set[Prefix] | list[Prefix]) -> int:
    return sum(prefix.end - prefix.start for prefix in prefixes)


def _prefill(session: Session, rows: Sequence[Row]) -> list[Scored]:
    slots, engine = session.slots, session.engine
    most = PACK if engine.device.startswith("cpu") else PACK_ELSEWHERE
    scored: list[Scored] = []
    for pack in packs_of(pieces_of(slots, rows), most):
        scored += choose(*score_pack(engine, slots.shape, pack))
    return scored


def _decode(session: Session) -> list[Scored]:
    """Compute a step; returns for each row its next token and those of its draft that the model agrees with."""
    slots = session.slots
    rows = [slots.rows[slot] for slot in lay_out(slots).order]
    drafts = session.drafts.propose(rows)
    scored = iter(choose(*score_step(session.engine, slots, drafts)))
    kept: list[Scored] = []
    for row, draft in zip(rows, drafts, strict=True):
        judged = [next(scored) for _ in range(len(draft) + 1)]
        good = 0
        while good < len(draft) and judged[good].finite and judged[good].token == draft[good]:
            good += 1
        session.drafts.learn(row, draft, good)
        slots.lengths[slots.rows.index(row)] += good
        kept += judged[: good + 1]
    return kept


def _advance(session: Session, scored: Scored) -> Response | None:
    """Note the next token of a row; return its response when that is the last."""
    engine, row = session.engine, scored.row
    stopped = broken = None
    if not scored.finite:
        session.slots.clean(row)
        if not row.alone:
            # Texts that were attended together hand such numbers on, so the one at fault is not known.
            row.alone = True
            session.again.append(row)
            _leave(session, row)
            return None
        broken = len(row.new)
    else:
        row.new.append(scored.token)
        request = row.prompt.request
        is_end = scored.token in engine.end_ids
        if not is_end and is_stopped(engine.tokenizer, row.new, request.stop):
            stopped = len(row.new)
        elif not is_end and len(row.new) < request.max_new_tokens:
            return None
    _leave(session, row)
    release(row.prefix)
    return respond(engine, row.prompt, row.new, stopped, broken)


def _leave(session: Session, row: Row) -> None:
    session.slots.remove(row)
    session.drafts.forget(row)
    del session.unfinished[row]


def _split(trouble: Trouble, rest: list[Row], work: list[list[Row]], limit: RowLimit) -> Iterator[Response]:
    """Put `rest` back to `work` so that it gets on: fewer rows at once, or the row at fault alone."""
    rows, failure = trouble.rows, trouble.failure
    others = [row for row in rest if row not in rows]
    half = len(rows) // 2
    if half == 0:
        [row] = rows
        release(row.prefix)
        work.append(others)
        yield failed(row.prompt.request, failure, prompt_tokens=len(row.prompt.ids))
    elif failure.kind == OUT_OF_MEMORY:
        limit.lower(half)
        work.append(rest)
    else:
        work += [others, rows[half:], rows[:half]]
