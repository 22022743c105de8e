"""Scoring requests: the log-likelihoods of choices, collected over forward passes until a request is complete."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from xlingual.records import Failure, Likelihood, Response, failed_response

from .loaded_model import LoadedModel
from .tokens.choices import ScoringWindow, TokenizedChoices

if TYPE_CHECKING:
    import torch

SCORE_BYTES = 2**28
"""Most memory of the scores of a forward pass over the vocabulary."""
NUMBER_BYTES = 8
"""Of one score: in float32, and once more while their sum is taken."""
NOT_FINITE = Failure(kind="non-finite logits", message="the scores of a token hold NaN or infinity")


@dataclass(slots=True, eq=False)
class WindowScores:
    """A passage on its way: what the model said of each of its scored tokens."""

    passage: ScoringWindow
    scoring: "ScoringRequest"
    logarithms: list[float]
    greedy: list[bool]

    def place(self, number: int) -> int:
        """Return the place of the token that the scored token `number` follows."""
        return self.passage.first + number - 1


@dataclass(slots=True, eq=False)
class ScoringRequest:
    """A request whose passages are being scored."""

    tokenized: TokenizedChoices
    choices: list[list[WindowScores]] = field(default_factory=list)
    open: int = 0
    """WindowsByText that have not been scored yet."""
    failure: Failure | None = None

    def respond(self) -> Response:
        """Add up what is known when nothing is open any more."""
        request, tokens = self.tokenized.request, self.tokenized.tokens
        sums = [sum(sum(entry.logarithms) for entry in choice) for choice in self.choices]
        failure = self.failure
        if failure is None and not all(abs(each) < float("inf") for each in sums):
            failure = NOT_FINITE
        if failure is not None:
            return failed_response(request, failure, prompt_tokens=tokens)
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
class ScoredToken:
    """A token whose likelihood is asked for: the scored token `number` of an entry, behind `place` of its text."""

    place: int
    entry: WindowScores
    number: int


WindowsByText = dict[tuple[int, ...], list[WindowScores]]
"""By what the model has to read for them: all tokens but the last."""


def open_scoring_requests(tokenized: Sequence[TokenizedChoices]) -> WindowsByText:
    """Return the entries of all requests; those that need the same reading share it."""
    found: WindowsByText = {}
    for one in tokenized:
        scoring = ScoringRequest(one)
        for choice in one.passages:
            entries = []
            for passage in choice:
                count = len(passage.ids) - passage.first
                entry = WindowScores(passage, scoring, [float("nan")] * count, [False] * count)
                found.setdefault(passage.ids[:-1], []).append(entry)
                entries.append(entry)
            scoring.choices.append(entries)
            scoring.open += len(entries)
    return found


def close(entries: Iterable[WindowScores], failure: Failure | None = None) -> Iterator[Response]:
    """Note that `entries` are done, and yield the responses of the requests that have no others open."""
    for entry in entries:
        scoring = entry.scoring
        scoring.failure = scoring.failure or failure
        scoring.open -= 1
        if not scoring.open:
            yield scoring.respond()


def score_positions(scores: "torch.Tensor", wanted: Sequence[tuple[int, ScoredToken]]) -> None:
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


def most_positions(loaded: LoadedModel) -> int:
    """Return how many positions' scores over the vocabulary the budget holds."""
    return max(1, SCORE_BYTES // (NUMBER_BYTES * loaded.model.config.vocab_size))
