"""Continuous batching: which tokens the next step computes, and which pages they go to.

    waiting --admitted--> running: chunks of the prompt, then a token a step --> done
       ^                     |
       +---- preempted ------+    pages ran out: the youngest row gives its own back, and keeps its tokens

A step has a budget of tokens. Rows that decode come first, then the prompts that are being read, then waiting ones; so
prompts are read beside rows that decode, and the device has no phases. Every plan assumes that the rows of the step in
flight go on. Of prompts that share a prefix the first computes it, and the others wait for that step.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from .pages import PageAllocator
from .prefix_cache import PageNode, PrefixCache, PrefixMatch, shared_tokens
from .sequences import PagedSequence, StepEntry, StepPlan

MAX_PASSED_OVER = 64
"""Waiting prompts that are looked at behind one that has to wait."""
MIN_AWAITED_TOKENS = 16
"""A prompt does not wait for fewer tokens that another one is computing."""
ADMISSION_FRACTION = 16
"""Waiting prompts enter when one row of so many is free: a step with a prompt is no graph."""
SPARE_FRACTION = 8
"""A prompt enters where a page is left for one of so many running rows, so that it does not drive one out at once."""


@dataclass(slots=True)
class Scheduler:
    """The waiting and running sequences, and the pages that they share."""

    cache: PrefixCache
    max_tokens: int
    """Of a step."""
    waiting: deque[PagedSequence]
    """The next one is first."""
    free_rows: list[int]
    running: list[PagedSequence] = field(default_factory=list)
    """In the order in which they were admitted: the youngest is last."""
    step: int = 0
    """The number of the next step."""
    refused: list[PagedSequence] = field(default_factory=list)
    """Sequences that all pages together cannot hold."""
    max_kept: int | None = None
    """Positions whose scores are computed in a step; None: any number."""
    kept_left: int | None = None
    """Of those, in the step that is being planned."""
    preemptions: int = 0
    sources: list[int] = field(default_factory=list)
    """Pages that the planned step copies; they are held until it is launched."""
    copied_from: dict[int, tuple[PageNode, int]] = field(default_factory=dict)
    """By page that the planned step copies over: of which page of the tree, and how many tokens."""

    @property
    def allocator(self) -> PageAllocator:
        """The pages."""
        return self.cache.allocator

    def plan(self, drafts: "dict[PagedSequence, list[int]] | None" = None) -> StepPlan | None:
        """Return the next step, None where there is nothing to compute before the step in flight is finished."""
        drafts = drafts or {}
        budget, self.kept_left = self.max_tokens, self.max_kept
        self.copied_from.clear()
        copies: list[tuple[int, int]] = []
        decode: list[StepEntry] = []
        prefill: list[StepEntry] = []
        for sequence in list(self.running):
            pending = sequence.pending
            if (
                sequence.row is None
                or budget <= 0
                or sequence.scored is not None
                or sequence.known + pending - sequence.computed != 1
            ):
                continue
            if len(sequence.output_ids) + pending >= sequence.prompt.max_new_tokens:
                continue  # its last token is on its way
            entry = self._decode(sequence, drafts.get(sequence, ())[: budget - 1])
            if entry is not None:
                decode.append(entry)
                budget -= entry.length
        for sequence in list(self.running):
            least = 1 if sequence.scored is not None else 2
            if sequence.row is not None and sequence.uncomputed >= least and budget > 0:
                entry = self._extend(sequence, min(budget, sequence.uncomputed))
                if entry is not None:
                    prefill.append(entry)
                    budget -= entry.length
        prefill += self._admit(budget, copies)
        if not decode and not prefill:
            return None
        plan = StepPlan(self.step, tuple(decode), tuple(prefill), tuple(copies))
        self.step += 1
        return plan

    def launched(self) -> None:
        """Note that the planned step is on the device: the pages that it copies may be given away."""
        self.cache.let_go(self.sources)
        self.sources.clear()

    def leave(self, sequence: PagedSequence) -> None:
        """Take a sequence out that is running or waiting; its pages are free, or kept for prompts that share them."""
        sequence.is_done = True
        if sequence.row is not None:
            if sequence.prompt.is_thinking_only:  # the answer is asked behind it
                read = min(sequence.computed, sequence.known)
                self.cache.insert(sequence.tokens(0, read), sequence.pages, self.step - 1)
            self._stop(sequence)
        elif sequence in self.waiting:
            self.waiting.remove(sequence)

    def _stop(self, sequence: PagedSequence) -> None:
        if sequence.row is None:
            return
        self.running.remove(sequence)
        self.free_rows.append(sequence.row)
        self.cache.release(sequence.pages)
        sequence.row, sequence.pages, sequence.computed = None, [], 0

    def _decode(self, sequence: PagedSequence, draft: Sequence[int]) -> StepEntry | None:
        """Plan the newest token of a row; the usual case is a token behind the prompt, in a page that it has."""
        start, prompt = sequence.computed, sequence.prompt
        place = start // self.cache.page_size
        if draft or start < len(prompt.ids) or place >= len(sequence.pages) or sequence.row is None:
            return self._extend(sequence, 1, draft)
        self.allocator.written[sequence.pages[place]] = self.step
        steps = prompt.answered + len(sequence.output_ids) + sequence.pending
        sequence.computed += 1
        sequence.pending += 1
        sequence.planned = self.step
        return StepEntry(sequence, sequence.row, start, 1, (0,), steps)

    def _extend(
        self, sequence: PagedSequence, count: int, draft: Sequence[int] = (), *, may_preempt: bool = True
    ) -> StepEntry | None:
        """Plan the next `count` tokens of a running row and a draft behind; None where no pages are left for it."""
        if sequence.scored is not None:
            count = self._scorable(sequence, count)
        if (
            count == 0
            or not self._hold(sequence, sequence.computed + count, may_preempt=may_preempt)
            or sequence.row is None
        ):
            return None
        room = len(sequence.pages) * self.cache.page_size - sequence.computed - count
        while room < len(draft) and (page := self.cache.allocate()) is not None:
            sequence.pages.append(page)
            room += self.cache.page_size
        draft = draft[:room]
        start = sequence.computed
        total = count + len(draft)
        for place in range(start // self.cache.page_size, -(-(start + total) // self.cache.page_size)):
            self.allocator.written[sequence.pages[place]] = self.step
        done = len(sequence.output_ids) + sequence.pending
        ends = start + count == sequence.known + sequence.pending
        kept: Sequence[int] = range(count - 1, total) if ends else ()
        if sequence.scored is None:
            sequence.pending += ends
        else:
            kept = [place - start for place in sequence.scored if start <= place < start + count]
            self.kept_left = None if self.kept_left is None else self.kept_left - len(kept)
        entry = StepEntry(sequence, sequence.row, start, total, kept, sequence.prompt.answered + done, draft)
        sequence.computed += count
        sequence.planned = self.step
        read = min(sequence.computed, len(sequence.prompt.ids))
        if start < len(sequence.prompt.ids):
            self.cache.insert(sequence.prompt.ids[:read], sequence.pages, self.step)
        return entry

    def _scorable(self, sequence: PagedSequence, count: int) -> int:
        """Return how many of the next `count` tokens the step may compute for the scores that it may have."""
        start, left = sequence.computed, self.kept_left
        wanted = [place for place in sequence.scored or () if start <= place < start + count]
        return count if left is None or len(wanted) <= left else wanted[left] - start

    def _hold(self, sequence: PagedSequence, tokens: int, *, may_preempt: bool) -> bool:
        """Get pages for so many tokens of a running row, if need be from the youngest rows; False where there are none.

        Pages that the step in flight writes to are free soon: then it is better to wait. The oldest row is driven out
        by nobody, so that it gets on.
        """
        while sequence.row is not None and len(sequence.pages) * self.cache.page_size < tokens:
            page = self.cache.allocate()
            if page is not None:
                sequence.pages.append(page)
                continue
            if not may_preempt or self._are_pages_due():
                return False
            if len(self.running) == 1:
                if not sequence.pending:
                    self.refused.append(sequence)
                return False
            idle = [each for each in self.running if each.planned < self.step]
            if idle[-1] is sequence and len(idle) == 1:
                return False
            self._preempt(idle[-1])
        return sequence.row is not None

    def _are_pages_due(self) -> bool:
        """Return whether pages come free with the step in flight, whose last use nobody has any more."""
        allocator = self.allocator
        return bool(allocator.late) or any(allocator.written[page] > allocator.finished for page in self.cache.unused)

    def _preempt(self, sequence: PagedSequence) -> None:
        """Put a running row back to the waiting ones; it goes on after its tokens."""
        self.preemptions += 1
        self._stop(sequence)
        self.waiting.appendleft(sequence)

    def _admit(self, budget: int, copies: list[tuple[int, int]]) -> list[StepEntry]:
        """Let waiting sequences enter, as far as budget, rows and pages go."""
        entries: list[StepEntry] = []
        passed: list[PagedSequence] = []
        reading = [each for each in self.running if each.uncomputed > 1]
        enough = min(max(1, (len(self.running) + len(self.free_rows)) // ADMISSION_FRACTION), len(self.waiting))
        if self.running and len(self.free_rows) < enough:
            return entries
        while self.waiting and self.free_rows and budget > 0 and len(passed) < MAX_PASSED_OVER:
            sequence = self.waiting.popleft()
            if sequence.pending:  # its token is not known yet
                passed.append(sequence)
                continue
            tokens = sequence.tokens(0, sequence.known)
            if self._pages_of(len(tokens)) > self.allocator.total:
                self.refused.append(sequence)
                continue
            most = sequence.scored[0] if sequence.scored else len(tokens) - 1
            match = self._computed(self.cache.match(tokens, most))
            if self._is_awaited(tokens[:most], match, reading):
                passed.append(sequence)
                continue
            entry = self._enter(sequence, match, budget, copies)
            if entry is None:
                passed.append(sequence)
                break
            entries.append(entry)
            budget -= entry.length
            if sequence.computed < len(tokens):
                reading.append(sequence)
        self.waiting.extendleft(reversed(passed))
        return entries

    def _computed(self, match: PrefixMatch) -> PrefixMatch:
        """Return a match that can be used now instead, where that costs few tokens.

        In sorted order a prompt's closest neighbour is the one that entered just before it. What both share, that one
        has as a rule copied from an older page: the prompt copies from there, too, and need not wait.
        """
        node = match.copied
        if node is None or node.step != self.step or node.page not in self.copied_from:
            return match
        source, count = self.copied_from[node.page]
        start = len(match.nodes) * self.cache.page_size
        tokens = start + min(count, match.tokens - start)
        if source.step == self.step or tokens + MIN_AWAITED_TOKENS <= match.tokens:
            return match
        return PrefixMatch(match.nodes, source, tokens)

    def _is_awaited(self, tokens: Sequence[int], match: PrefixMatch, reading: Sequence[PagedSequence]) -> bool:
        """Return whether another row computes, now or soon, what the text would have to compute itself."""
        if any(node.step == self.step for node in (*match.nodes[-1:], match.copied) if node is not None):
            return True
        return any(
            shared_tokens(tokens, each.tokens(0, each.known)) >= match.tokens + MIN_AWAITED_TOKENS for each in reading
        )

    def _pages_of(self, tokens: int) -> int:
        return -(-tokens // self.cache.page_size)

    def _fit(self, tokens: int, match: PrefixMatch) -> PrefixMatch | None:
        """Return what of a match can be used so that there are pages for the text, and some for the rows that run.

        A text that is alone may have all pages, for which it may have to do without the copy of one.
        """
        unused = self.cache.unused
        left = self.cache.available - sum(node.page in unused for node in match.nodes)
        spare = -(-len(self.running) // SPARE_FRACTION) + 1 if self.running else 0
        needed = self._pages_of(tokens) - len(match.nodes) + spare
        if match.copied is not None and left - (match.copied.page in unused) >= needed:
            return match
        whole = PrefixMatch(match.nodes, None, len(match.nodes) * self.cache.page_size)
        return whole if left >= needed or not self.running else None

    def _enter(
        self, sequence: PagedSequence, match: PrefixMatch, budget: int, copies: list[tuple[int, int]]
    ) -> StepEntry | None:
        """Let a sequence run and plan its first tokens; None where there are no pages for it now."""
        found = self._fit(sequence.known, match)
        if found is None:
            return None
        self.cache.take(found)
        sequence.pages = [node.page for node in found.nodes]
        sequence.computed = found.tokens
        sequence.row = self.free_rows.pop()
        self.running.append(sequence)
        source = None if found.copied is None else found.copied.page
        entry = self._extend(sequence, min(budget, sequence.uncomputed), may_preempt=False)
        if entry is None:
            self._stop(sequence)
            self.cache.let_go([] if source is None else [source])
        elif source is not None:
            target = sequence.pages[len(found.nodes)]
            copies.append((source, target))
            self.sources.append(source)
            if found.copied is not None:
                self.copied_from[target] = found.copied, found.tokens - len(found.nodes) * self.cache.page_size
        return entry
