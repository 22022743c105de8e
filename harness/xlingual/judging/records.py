"""What is known of a judge and of what it said: the records that `judge.json` is made of."""

from dataclasses import dataclass
from enum import StrEnum

from ..records import Estimate

JUDGE_SCHEMA = 1


class JudgeKind(StrEnum):
    """What a judge is asked."""

    CORRECTNESS = "correctness"
    """Whether an answer is right: question, accepted answers, answer."""
    PAIRWISE = "pairwise"
    """Which of two runs' answers is better, in both orders."""
    TRANSLATION = "translation"
    """How good a translation is, 0 to 100."""


class VerdictState(StrEnum):
    """What became of one question to the judge."""

    READ = "read"
    UNCLEAR = "cannot tell"
    """The judge said so."""
    UNREADABLE = "unreadable"
    """It said something else than it was asked for."""
    FAILED = "failed"
    """There is no reply: an error, or the question does not fit its window."""
    UNASKED = "not asked"
    """The run stopped before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeVerdict:
    """What a judge said to one question."""

    state: VerdictState
    word: str
    """The verdict as it was read, or why there is none."""
    value: float | None
    """0 to 1: of the answer; of a pair 1 where the one shown first is better, 0.5 for a tie. None unless READ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeIdentity:
    """All that must be the same for two judged scores to be comparable."""

    kind: JudgeKind
    model: str
    fingerprint: str
    backend: str
    prompt: str
    """Name and version, "pairwise-v1"."""
    prompt_hash: str
    """Content hash of the prompt file's words, 8 hex digits."""
    template: str
    """The form of the prompt: "auto" is the judge's own."""
    sampling: str
    """"greedy", or the parameters."""
    max_new_tokens: int
    """0: nothing is generated, the likeliest verdict counts."""
    thinking: str
    language_gate: bool
    """Whether an answer in another language than asked for is marked before the judge is asked."""
    longest: int
    """Characters of an answer that the judge is shown at most."""

    @property
    def signature(self) -> str:
        """The identity in the form of a metric's signature."""
        parts = [
            f"judge:{self.kind}",
            f"prompt:{self.prompt}#{self.prompt_hash}",
            f"model:{self.model}#{self.fingerprint[:8]}",
            *([] if self.template == "auto" else [f"template:{self.template}"]),
            self.sampling,
            *([] if self.thinking == "auto" else [f"thinking:{self.thinking}"]),
            f"max-tokens:{self.max_new_tokens}",
            f"language-gate:{'on' if self.language_gate else 'off'}",
            f"cut:{self.longest}",
            *(["orders:both", "ties:half"] if self.kind is JudgeKind.PAIRWISE else []),
        ]
        return "|".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictCounts:
    """What became of the answers of a run."""

    answers: int
    judged: int
    """With a score from what the judge said."""
    empty: int
    """Scored 0 without asking, or as a loss; a tie where both of a pair are."""
    wrong_language: int
    """The same, by the language gate."""
    same: int
    """Pairs of one and the same answer: a tie, without asking."""
    unclear: int
    unreadable: int
    failed: int
    """The judge gave no reply; these, and the unclear, unreadable, unasked and unanswered, have no score."""
    unasked: int
    unanswered: int
    """The judged run has no answer: it failed, or ended inside its thinking."""
    ties: int
    """Of judged pairs, those with as much for the one as for the other."""
    cut: int
    """Answers that were shown only in part."""
    suspect: int
    """Answers that hold what the judge's verdict would look like, or markers of a chat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCount:
    """How many pairs had these two verdicts; words as of the judged run: win, tie, loss."""

    shown_first: str
    """When the run's answer was shown first."""
    shown_second: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderAgreement:
    """Whether a judge says the same of a pair in both orders."""

    consistency: Estimate
    """Per cent of pairs with the same verdict in both orders."""
    kappa: Estimate
    """Cohen's kappa of the two orders, over win, tie and loss."""
    first_position: Estimate
    """Per cent of verdicts, a tie counting half, for the answer that was shown first: 50 without a position bias."""
    counts: tuple[OrderCount, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldAgreement:
    """A judge against a metric that compares with gold answers, on the answers that the judge was asked about."""

    metric: str
    n: int
    both: int
    """Right by judge and metric."""
    judge_only: int
    metric_only: int
    neither: int
    agreement: Estimate
    kappa: Estimate
    accepts_matches: Estimate
    """Per cent of the answers that match the gold which the judge calls right."""
    accepts_others: Estimate
    """Per cent of those that do not match which it calls right: synonyms, or mistakes of the judge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairGoldAgreement:
    """Pairs of which one answer matches the gold and the other does not: does the judge prefer the one that does?"""

    metric: str
    n: int
    prefers_match: Estimate
    """Per cent, a tie counting half."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A judge against labels of people."""

    file: str
    sha256: str
    n: int
    """Labelled items with a verdict."""
    unscored: int
    accuracy: Estimate
    sensitivity: Estimate | None
    """Per cent of items labelled right (or better) that the judge calls so; None for pairs, where it is `accuracy`."""
    specificity: Estimate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectedRate:
    """What the judged rate would be if the judge erred as on the labelled set, and not otherwise."""

    value: float | None
    low: float | None
    high: float | None
    method: str
    reason: str | None
    """Why there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What the verdicts took."""

    requests: int
    prompt_tokens: int | None
    tokens: int | None
    cost: float | None
    """By the prices given; None without prices or counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeReport:
    """A judge on the answers of one run: what `judge.json` holds."""

    schema: int
    judge: JudgeIdentity
    model: str
    """The judged one."""
    fingerprint: str
    task: str
    language: str
    against: str | None
    """The other model of pairs."""
    limit: str | None
    counts: VerdictCounts
    score: Estimate
    orders: OrderAgreement | None
    gold: tuple[GoldAgreement, ...]
    pair_gold: tuple[PairGoldAgreement, ...]
    calibration: Calibration | None
    corrected: CorrectedRate | None
    spending: Spending
    notes: tuple[str, ...]
    finished_at: str
