"""Scoring requests: log-likelihoods of choices, collected over forward passes until all of a request are known.

A choice of two tokens behind a prompt is one `ScoringWindow`, whose last two tokens are scored; a long text is several.
Windows that read the same tokens are computed once. A request is answered when none of its windows is pending.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from xlingual.records import Failure, Likelihood, Response, failed_response

from .loaded_model import LoadedModel, vocabulary_of
from .tokens.choices import ScoringWindow, TokenizedChoices

if TYPE_CHECKING:
    import torch

LOGITS_BYTES = 2**28
"""Most memory of the logits of a forward pass."""
LOGIT_BYTES = 8
"""Of one logit: in float32, and once more while the logarithm of their sum is taken."""
NOT_FINITE = Failure(kind="non-finite logits", message="the scores of a token hold NaN or infinity")


@dataclass(slots=True, eq=False)
class WindowScores:
    """A window of a request, and what the model said of each of its scored tokens."""

    window: ScoringWindow
    request: "ScoringRequest"
    log_probs: list[float]
    """By scored token; NaN until it is known."""
    greedy: list[bool]
    """Whether each was the likeliest token."""

    def position(self, index: int) -> int:
        """Return the position whose logits score the scored token `index`: that of the token before it."""
        return self.window.first + index - 1


@dataclass(slots=True, eq=False)
class ScoringRequest:
    """A request whose choices are being scored."""

    tokenized: TokenizedChoices
    choices: list[list[WindowScores]] = field(default_factory=list)
    """The windows of each choice."""
    pending: int = 0
    """Windows that have not been scored yet."""
    failure: Failure | None = None

    def respond(self) -> Response:
        """Return the response; to be called when no window is pending."""
        request, tokens = self.tokenized.request, self.tokenized.tokens
        sums = [sum(sum(scores.log_probs) for scores in choice) for choice in self.choices]
        failure = self.failure
        if failure is None and not all(abs(each) < float("inf") for each in sums):
            failure = NOT_FINITE
        if failure is not None:
            return failed_response(request, failure, prompt_tokens=tokens)
        likelihoods = [
            Likelihood(
                logarithm=each,
                is_greedy=all(hit for scores in choice for hit in scores.greedy),
                tokens=sum(len(scores.greedy) for scores in choice),
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
    """A token whose log-likelihood is to be computed."""

    position: int
    """Of the token before it, whose logits score it."""
    scores: WindowScores
    index: int
    """Among the scored tokens of its window."""


WindowsByText = dict[tuple[int, ...], list[WindowScores]]
"""By the tokens that the model has to read for them: all but the last."""


def open_scoring_requests(tokenized: Sequence[TokenizedChoices]) -> WindowsByText:
    """Return the windows of all requests; those that read the same tokens stand together."""
    found: WindowsByText = {}
    for one in tokenized:
        request = ScoringRequest(one)
        for choice in one.windows:
            windows = []
            for window in choice:
                count = len(window.ids) - window.first
                scores = WindowScores(window, request, [float("nan")] * count, [False] * count)
                found.setdefault(window.ids[:-1], []).append(scores)
                windows.append(scores)
            request.choices.append(windows)
            request.pending += len(windows)
    return found


def finish_windows(windows: Iterable[WindowScores], failure: Failure | None = None) -> Iterator[Response]:
    """Note that `windows` are scored, and yield the responses of the requests that have no others pending."""
    for scores in windows:
        request = scores.request
        request.failure = request.failure or failure
        request.pending -= 1
        if not request.pending:
            yield request.respond()


def record_scores(logits: "torch.Tensor", targets: Sequence[tuple[int, ScoredToken]]) -> None:
    """Record what `logits`, (rows, vocabulary), say of the scored tokens, each given with its row."""
    import torch  # noqa: PLC0415 - heavy

    rows = torch.tensor([row for row, _ in targets], device=logits.device)
    tokens = torch.tensor([each.scores.window.ids[each.position + 1] for _, each in targets], device=logits.device)
    logits = logits.float()
    values = logits[rows, tokens] - logits.logsumexp(dim=-1)[rows]
    greedy = logits.argmax(dim=-1)[rows] == tokens
    for (_, each), value, hit in zip(targets, values.cpu().tolist(), greedy.cpu().tolist(), strict=True):
        each.scores.log_probs[each.index] = value
        each.scores.greedy[each.index] = hit


def max_scored_positions(loaded: LoadedModel) -> int:
    """Return for how many positions the memory budget holds the logits."""
    return max(1, LOGITS_BYTES // (LOGIT_BYTES * vocabulary_of(loaded.model)))
