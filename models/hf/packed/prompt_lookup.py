"""Prompt-lookup decoding: speculative decoding whose draft tokens are copied from the sequence's own prompt.

The answer so far ends in "the Vistula". These tokens stand in the prompt, too, so what follows them there, "runs
through", is proposed as a draft. The next decode step computes the newest token and the draft at once, and the draft is
accepted up to the first token that the model would not have said. So drafts change how long an answer takes and nothing
else.

How long a draft may be follows from how often drafts were accepted so far, by the length of the n-gram that matched.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from .prefix_tree import TokenSequence

PRIOR_ACCEPTANCE = (0.0, 0.45, 0.65, 0.65, 0.8, 0.8, 0.9, 0.9, 0.95)
"""Acceptance rate of a draft token before any was tried, by the length of the n-gram before it: as measured with
SmolLM2 on prompts of no benchmark (`bench/fit_drafts.py`), rounded and made to rise with the length."""
PRIOR_TRIALS = 4.0
"""How many draft tokens that counts for."""
MAX_NGRAM = len(PRIOR_ACCEPTANCE) - 1
"""Tokens at the end of an answer that are looked up; longer matches are accepted no more often."""
MAX_DRAFT = 16
"""Draft tokens of a sequence by itself; several sequences share them, down to `MIN_SHARED_DRAFT` for each."""
MIN_SHARED_DRAFT = 4
"""Longer drafts beside other sequences cost more where they are rejected than they save."""
STEP_COST = 10
"""How many tokens a decode step over none would cost as much as: weights are read, whatever is computed with them."""
SEQUENCE_COST = 0.1
"""The same for each sequence of the step, whose keys and values are read however many tokens it has."""
ACCEPTANCE_WINDOW = 200.0
"""Draft tokens after which older ones count less, for the prompts to come may be of another kind."""


@dataclass(slots=True)
class PromptLookup:
    """Proposes drafts, and learns from their acceptance how long they may be."""

    enabled: bool = True
    proposed: list[float] = field(default_factory=lambda: [0.0] * len(PRIOR_ACCEPTANCE))
    """Draft tokens that the model has judged, by the length of the n-gram that they followed."""
    accepted: list[float] = field(default_factory=lambda: [0.0] * len(PRIOR_ACCEPTANCE))
    """Those of them that it would have said."""
    texts: dict[TokenSequence, str] = field(default_factory=dict)
    """Prompt and answer of each sequence as a string, a character for a token: strings are searched fast."""
    ngram_lengths: dict[TokenSequence, int] = field(default_factory=dict)
    """Of the match that gave each sequence its newest draft."""

    def propose(self, sequences: Sequence[TokenSequence]) -> list[list[int]]:
        """Return a draft for each sequence, empty where a longer step would not pay."""
        self.ngram_lengths.clear()
        if not self.enabled:
            return [[] for _ in sequences]
        # A draft token pays if the chance that it is accepted is above its share of the cost of the step.
        break_even = len(sequences) / (len(sequences) * (1 + SEQUENCE_COST) + STEP_COST)
        longest = max(MIN_SHARED_DRAFT, MAX_DRAFT // max(1, len(sequences)))
        rates = [self._acceptance(ngram) for ngram in range(1, MAX_NGRAM + 1)]
        lengths = [0] + [_draft_length(rate, break_even, longest) for rate in rates]
        return [[] if sequence.is_isolated else self._look_up(sequence, lengths) for sequence in sequences]

    def record_acceptance(self, sequence: TokenSequence, draft: Sequence[int], accepted: int) -> None:
        """Note that the first `accepted` tokens of `draft` were accepted."""
        if draft:
            ngram = self.ngram_lengths[sequence]
            fade = ACCEPTANCE_WINDOW / max(ACCEPTANCE_WINDOW, self.proposed[ngram])
            self.accepted[ngram] = self.accepted[ngram] * fade + accepted
            # What comes behind the first rejected token was not judged.
            self.proposed[ngram] = self.proposed[ngram] * fade + min(accepted + 1, len(draft))

    def forget(self, sequence: TokenSequence) -> None:
        """Drop what is kept for a sequence that is done."""
        self.texts.pop(sequence, None)

    def _acceptance(self, ngram: int) -> float:
        """Return the acceptance rate behind n-grams of this length."""
        prior = PRIOR_ACCEPTANCE[ngram] * PRIOR_TRIALS
        return (self.accepted[ngram] + prior) / (self.proposed[ngram] + PRIOR_TRIALS)

    def _look_up(self, sequence: TokenSequence, lengths: Sequence[int]) -> list[int]:
        """Return what followed the longest n-gram where it occurred last, at most `lengths[n]` tokens for length n."""
        left = sequence.prompt.max_new_tokens - len(sequence.output_ids) - 1
        if left <= 0 or not any(lengths):
            return []
        text = self.texts.get(sequence) or "".join(map(chr, sequence.prompt.ids))
        done = len(text) - len(sequence.prompt.ids)
        text += "".join(map(chr, sequence.output_ids[done:]))
        self.texts[sequence] = text
        # N-grams are of the answer alone: the end of the prompt is the same in every example that it shows.
        for ngram in range(min(MAX_NGRAM, len(sequence.output_ids)), 0, -1):
            found = text.rfind(text[-ngram:], 0, -1)
            if found >= 0:
                first = found + ngram
                self.ngram_lengths[sequence] = ngram
                return [ord(each) for each in text[first : first + min(lengths[ngram], left)]]
        return []


def _draft_length(acceptance: float, break_even: float, longest: int) -> int:
    """Return how many tokens of a draft, up to `longest`, are each accepted with a probability above `break_even`."""
    # A token is accepted only if all before it are.
    count, chance = 0, acceptance
    while chance > break_even and count < longest:
        count += 1
        chance *= acceptance
    return count
