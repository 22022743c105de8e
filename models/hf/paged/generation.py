"""Generation by the paged engine: steps are planned, launched and read until every prompt has its answer.

    plan 7, launch 7,   read 6: stops are found, tokens kept      the device computes 7 meanwhile
    plan 8, launch 8,   read 7: ...

A row that stopped in step 6 is in step 7 already; what that computes for it is dropped. Where few rows are left, prompt
lookup proposes drafts, for which the host must know the newest tokens: then a step is read before the next is planned.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from xlingual.records import Failure, Response, failed_response

from ..limits import RowLimit, attempt
from ..loaded_model import LoadedModel
from ..packed.prompt_lookup import PromptLookup
from ..responses import Thought, respond
from ..tokens.detokenization import decode
from ..tokens.rendering import Rendered
from ..tokens.stops import is_stopped
from ..tokens.thoughts import MARKER_TOKENS, opening_of
from .engine import LaunchedStep, PagedEngine
from .forward import paged_attention
from .recovery import StepFailure, Unfinished, new_scheduler, run_sequences, too_long
from .scheduler import Scheduler
from .sequences import PagedSequence, StepPlan, new_sequence

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
MAX_DRAFTING_ROWS = 8
"""Drafts are proposed for no more rows: beyond, a step over their tokens costs more than it saves."""
STEPS_WITHOUT_DRAFTS = 8
"""So many steps are launched ahead again after one for which prompt lookup proposed nothing: to draft is to wait."""


@dataclass(slots=True)
class StopEndings:
    """Which tokens cannot be the last of a stop string: with hundreds of rows, looking at each answer takes long."""

    loaded: LoadedModel
    texts: dict[int, str] = field(default_factory=dict)
    """By token: what it is by itself."""

    def may_stop(self, prompt: Rendered, new: Sequence[int]) -> bool:
        """Return False where the newest of the `new` tokens of an answer completes no stop string."""
        stop = prompt.request.stop
        if prompt.is_thinking_only:
            return True
        if not any(stop):
            return False
        if len(new) <= MARKER_TOKENS and not self._is_surely_text(prompt, new):
            return True
        text = self._text(new[-1])
        # A part of a character is one only beside the other parts; and a space may be left out at the start.
        is_unclear = not text or REPLACEMENT in text
        return is_unclear or any(each[-1] in text or each[-1] == " " for each in stop if each)

    def _is_surely_text(self, prompt: Rendered, new: Sequence[int]) -> bool:
        """Return whether an answer neither begins as a thought does nor has what the end of one ends with.

        As long as it may be a thought, a stop string in it does not count yet, and a later token may decide.
        """
        markers = self.loaded.markers
        first = self._text(new[0]).lstrip()[:1]
        if not first or prompt.answered or any(each.start.lstrip()[:1] == first for each in markers):
            return False
        ends = {each.end.rstrip()[-1:] for each in markers}
        return not opening_of(self.loaded, prompt) and not any(end in self._text(each) for each in new for end in ends)

    def _text(self, token: int) -> str:
        text = self.texts.get(token)
        if text is None:
            text = self.texts[token] = decode(self.loaded.tokenizer, [token], self.loaded.markers)
        return text


@dataclass(slots=True)
class PagedSession:
    """Sequences on their way to their answers."""

    loaded: LoadedModel
    engine: PagedEngine
    scheduler: Scheduler
    unfinished: Unfinished
    lookup: PromptLookup
    endings: StopEndings
    in_flight: LaunchedStep | None = field(default=None)
    steps_until_drafts: int = 0
    """Steps to launch ahead before prompt lookup is asked again."""


def generate_paged(
    loaded: LoadedModel, prompts: Sequence[Rendered], limit: RowLimit, *, speculate: bool = True
) -> Iterator[Response | Thought]:
    """Answer every prompt and yield each response as soon as it is known; `loaded` has a paged engine.

    Where the memory does not hold a step, steps are halved, then the rows of `limit`, and all go on after the tokens
    that they have. Another error is narrowed down to the sequence that causes it, which gets a Failure.
    """
    engine = loaded.paged
    if engine is None:
        raise ValueError("the model has no paged engine")
    ordered = sorted(prompts, key=lambda prompt: prompt.ids)
    sequences = [new_sequence(prompt, order) for order, prompt in enumerate(ordered)]
    lookup = PromptLookup(enabled=speculate)
    longest = max((len(each.ids) + each.max_new_tokens for each in prompts), default=1)

    def run(unfinished: Unfinished, rows: int) -> Generator[Response | Thought, None, StepFailure | None]:
        scheduler = new_scheduler(engine, unfinished, rows)
        return _run(PagedSession(loaded, engine, scheduler, unfinished, lookup, StopEndings(loaded)))

    with paged_attention(loaded.model):
        yield from run_sequences(engine, sequences, limit, partial(_prepare, engine, limit, longest), run, _fail)


def _prepare(engine: PagedEngine, limit: RowLimit, longest: int, rows: int) -> None:
    """Make the engine ready, and pass on what it notes, whether or not it succeeds."""
    try:
        engine.prepare(rows, longest)
    finally:
        for note in engine.notes:
            limit.note(note)
        engine.notes.clear()


def _run(session: PagedSession) -> Generator[Response | Thought, None, StepFailure | None]:
    """Answer the sequences of a session; returns what stopped it, or None."""
    scheduler = session.scheduler
    while session.unfinished or session.in_flight is not None:
        drafting = _is_drafting(session)
        if drafting and session.in_flight is not None:
            if (failed := (yield from _read(session, session.in_flight))) is not None:
                return failed
            continue
        drafts = _propose(session) if drafting else {}
        session.steps_until_drafts = STEPS_WITHOUT_DRAFTS if drafting and not drafts else session.steps_until_drafts - 1
        plan = scheduler.plan(drafts)
        if refused := _refuse(session):
            yield from refused
        before, session.in_flight = session.in_flight, None
        launched = attempt(partial(session.engine.launch, plan)) if plan is not None else None
        scheduler.launched()
        session.in_flight = None if isinstance(launched, Failure) else launched
        if before is not None and (failed := (yield from _read(session, before))) is not None:
            return failed
        if isinstance(launched, Failure):
            return StepFailure(launched, [each for each in plan.sequences if not each.is_done] if plan else [])
        if before is None and launched is None and not refused and session.unfinished:
            stuck = Failure(kind="paged generation", message="no page comes free for what is waiting")
            return StepFailure(stuck, list(session.unfinished)[:1])
    return None


def _is_drafting(session: PagedSession) -> bool:
    running = session.scheduler.running
    return (
        session.lookup.enabled
        and session.steps_until_drafts <= 0
        and not session.scheduler.waiting
        and 0 < len(running) <= MAX_DRAFTING_ROWS
        and all(each.uncomputed == 1 for each in running)
    )


def _propose(session: PagedSession) -> dict[PagedSequence, list[int]]:
    running = session.scheduler.running
    drafts = session.lookup.propose([each.text for each in running])
    return {each: draft for each, draft in zip(running, drafts, strict=True) if draft}


def _refuse(session: PagedSession) -> list[Response]:
    """Return the failures of the sequences that all pages together cannot hold."""
    scheduler, engine = session.scheduler, session.engine
    found: list[Response] = []
    for sequence in scheduler.refused:
        _leave(session, sequence)
        found += _fail(sequence, too_long(engine, sequence))
    scheduler.refused.clear()
    return found


def _read(session: PagedSession, step: LaunchedStep) -> Generator[Response | Thought, None, StepFailure | None]:
    """Wait for a step, and give its tokens to their sequences; returns its failure, or None."""
    if session.in_flight is step:
        session.in_flight = None
    tokens = attempt(partial(session.engine.read, step))
    if isinstance(tokens, Failure):
        return StepFailure(tokens, [each for each in step.plan.sequences if not each.is_done])
    yield from _keep_tokens(session, step.plan, tokens)
    return None


def _keep_tokens(session: PagedSession, plan: StepPlan, tokens: Sequence[int]) -> Iterator[Response | Thought]:
    first = 0
    for entry in plan.entries:
        if not entry.kept:
            continue
        found = tokens[first : first + len(entry.kept)]
        first += len(entry.kept)
        sequence, draft = entry.sequence, entry.draft
        sequence.pending -= 1
        if sequence.is_done:
            continue
        accepted = 0
        while accepted < len(draft) and found[accepted] == draft[accepted]:
            accepted += 1
        session.lookup.record_acceptance(sequence.text, draft, accepted)
        sequence.computed += accepted
        for token in found[: accepted + 1]:
            # Accepted draft tokens may come after the end of an answer.
            if not sequence.is_done and (response := _append_token(session, sequence, token)) is not None:
                yield response


def _append_token(session: PagedSession, sequence: PagedSequence, token: int) -> Response | Thought | None:
    """Append the next token to the answer of its sequence; return the response when that is the last."""
    loaded, prompt = session.loaded, sequence.prompt
    stopped = broken = None
    if token < 0:
        broken = len(sequence.output_ids)
    else:
        sequence.append(token)
        is_end = token in loaded.end_ids
        may_stop = session.endings.may_stop(prompt, sequence.output_ids)
        if not is_end and may_stop and is_stopped(loaded, prompt, sequence.output_ids):
            stopped = len(sequence.output_ids)
        elif not is_end and len(sequence.output_ids) < prompt.max_new_tokens:
            return None
    _leave(session, sequence)
    return respond(loaded, prompt, sequence.output_ids, stopped, broken)


def _leave(session: PagedSession, sequence: PagedSequence) -> None:
    session.scheduler.leave(sequence)
    session.lookup.forget(sequence.text)
    del session.unfinished[sequence]


def _fail(sequence: PagedSequence, failure: Failure) -> list[Response]:
    return [failed_response(sequence.prompt.request, failure, prompt_tokens=len(sequence.prompt.question_ids))]
