"""Drafts of the next tokens of an answer, looked up in its own prompt: answers quote. The model then judges them.

A draft that the model would not have said is dropped, so that drafts change how long an answer takes and nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from .prefix_tree import TokenSequence

PRIOR_ACCEPTANCE = (0.0, 0.35, 0.6, 0.7, 0.75, 0.8, 0.8, 0.85, 0.9)
"""How often a token is taken to be right before any was tried, by the length of the match before it: as measured with
SmolLM2 on the prompts of the benchmark, XQuAD and Flores-101 en-de; elsewhere a guess."""
PRIOR_TRIALS = 4.0
"""How many trials that counts for."""
LONGEST_MATCH = len(PRIOR_ACCEPTANCE) - 1
"""Tokens: of the end of an answer that is looked up; all longer ones are as good."""
LONGEST_DRAFT = 16
"""Tokens, of a row by itself; rows share them, down to `SHORTEST_DRAFT` for each."""
SHORTEST_DRAFT = 4
"""Longer drafts beside other rows cost more where they go wrong than they save."""
STEP_COST = 10
"""How many tokens a pass over none would cost as much as: weights are read, whatever is computed with them."""
ROW_COST = 0.1
"""And each of its rows, whose keys and values are read however many tokens it has."""
ACCEPTANCE_WINDOW = 200.0
"""Trials after which older ones fade, for the prompts to come may be of another kind."""


@dataclass(slots=True)
class PromptLookup:
    """Looks drafts up, and learns from the model's judgement how long they may be."""

    on: bool = True
    proposed: list[float] = field(default_factory=lambda: [0.0] * len(PRIOR_ACCEPTANCE))
    """Tokens that the model judged, by the length of the match that they followed."""
    accepted: list[float] = field(default_factory=lambda: [0.0] * len(PRIOR_ACCEPTANCE))
    texts: dict[TokenSequence, str] = field(default_factory=dict)
    """Prompt and answer of each row, a character for a token."""
    match_lengths: dict[TokenSequence, int] = field(default_factory=dict)
    """How long the match of each row's newest draft was."""

    def propose(self, sequences: Sequence[TokenSequence]) -> list[list[int]]:
        """Return a draft for each row, empty where a longer pass would not pay."""
        self.match_lengths.clear()
        if not self.on:
            return [[] for _ in sequences]
        # A token more is worth its time if it is good more often than the tokens of the pass are dear.
        price = len(sequences) / (len(sequences) * (1 + ROW_COST) + STEP_COST)
        longest = max(SHORTEST_DRAFT, LONGEST_DRAFT // max(1, len(sequences)))
        most = [0] + [_most(self._acceptance(length), price, longest) for length in range(1, LONGEST_MATCH + 1)]
        return [[] if sequence.is_isolated else self._look_up(sequence, most) for sequence in sequences]

    def record_acceptance(self, sequence: TokenSequence, draft: Sequence[int], accepted: int) -> None:
        """Note that the model agreed with the first `accepted` tokens of `draft`."""
        if draft:
            length = self.match_lengths[sequence]
            fade = ACCEPTANCE_WINDOW / max(ACCEPTANCE_WINDOW, self.proposed[length])
            self.accepted[length] = self.accepted[length] * fade + accepted
            self.proposed[length] = self.proposed[length] * fade + min(accepted + 1, len(draft))

    def forget(self, sequence: TokenSequence) -> None:
        """Drop what is kept for a row that is done."""
        self.texts.pop(sequence, None)

    def _acceptance(self, length: int) -> float:
        return (self.accepted[length] + PRIOR_ACCEPTANCE[length] * PRIOR_TRIALS) / (
            self.proposed[length] + PRIOR_TRIALS
        )

    def _look_up(self, sequence: TokenSequence, most: Sequence[int]) -> list[int]:
        left = sequence.prompt.request.max_new_tokens - len(sequence.new) - 1
        if left <= 0 or not any(most):
            return []
        text = self.texts.get(sequence) or "".join(map(chr, sequence.prompt.ids))
        done = len(text) - len(sequence.prompt.ids)
        text += "".join(map(chr, sequence.new[done:]))
        self.texts[sequence] = text
        # Only the answer is looked up: the end of the prompt is the same in every example that it shows.
        for length in range(min(LONGEST_MATCH, len(sequence.new)), 0, -1):
            place = text.rfind(text[-length:], 0, -1)
            if place >= 0:
                first = place + length
                self.match_lengths[sequence] = length
                return [ord(each) for each in text[first : first + min(most[length], left)]]
        return []


def _most(share: float, price: float, longest: int) -> int:
    """Return how many tokens of a draft, up to `longest`, are each good with a probability above `price`."""
    # A token is good only if all before it are.
    count, chance = 0, share
    while chance > price and count < longest:
        count += 1
        chance *= share
    return count
