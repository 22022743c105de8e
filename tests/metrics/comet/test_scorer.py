"""The formula of COMET against unbabel-comet 2.2.7 on tiny checkpoints: see make_goldens.py."""

import json
from pathlib import Path

import pytest
import torch

from xlingual.errors import EnvironmentFault, ModelError
from xlingual.files import read_json
from xlingual.metrics.comet import scorer as scorer_module
from xlingual.metrics.comet.model_record import RECORD, TOKENIZER, CometRecord
from xlingual.metrics.comet.scorer import CometScorer, Segment, sparsemax
from xlingual.serial import from_json

from .tiny_checkpoint import SEGMENTS, VARIANTS

GOLDENS: dict[str, list[float]] = json.loads((Path(__file__).parent / "goldens.json").read_text(encoding="utf-8"))[
    "scores"
]
ROWS = [Segment(source=row[0], hypothesis=row[1], reference=row[2]) for row in SEGMENTS]
NAMES = [each.name for each in VARIANTS]


def open_scorer(folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> CometScorer:
    record = from_json(CometRecord, read_json(folder / RECORD))
    return CometScorer(folder, record, device=device, dtype=dtype)


@pytest.mark.parametrize("batch_size", [1, 8, 32, None])
@pytest.mark.parametrize("variant", NAMES)
def test_scores_are_those_of_unbabel_comet(converted: Path, variant: str, batch_size: int | None) -> None:
    """Empty texts, texts of several scripts, over-long ones and special tokens in a text are among them."""
    found = open_scorer(converted / variant).score(ROWS, batch_size=batch_size)
    assert found == pytest.approx(GOLDENS[variant], abs=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("variant", NAMES)
def test_a_gpu_gives_the_same_scores(converted: Path, variant: str) -> None:
    found = open_scorer(converted / variant, device="cuda").score(ROWS)
    assert found == pytest.approx(GOLDENS[variant], abs=1e-5)


@pytest.mark.parametrize("variant", NAMES)
def test_order_and_company_of_segments_do_not_matter(converted: Path, variant: str) -> None:
    scorer = open_scorer(converted / variant)
    turned = scorer.score([*ROWS[::-1], *ROWS[:3]])
    assert turned == pytest.approx([*GOLDENS[variant][::-1], *GOLDENS[variant][:3]], abs=1e-6)
    assert scorer.score([]) == []


def test_a_unified_model_does_not_read_the_reference(converted: Path) -> None:
    scorer = open_scorer(converted / "cometkiwi22")
    without = [Segment(source=row[0], hypothesis=row[1], reference="") for row in SEGMENTS]
    assert scorer.score(without) == scorer.score(ROWS)


def test_smaller_numbers_are_close(converted: Path) -> None:
    found = open_scorer(converted / "comet22", dtype=torch.bfloat16).score(ROWS)
    assert found == pytest.approx(GOLDENS["comet22"], abs=0.1)


def test_texts_that_are_no_unicode_are_scored(converted: Path) -> None:
    scorer = open_scorer(converted / "comet22")
    broken, sound = (Segment(source="a", hypothesis=f"b {sign} c", reference="d") for sign in ("\ud800", "\ufffd"))
    assert scorer.score([broken]) == scorer.score([sound])


def test_memory_that_runs_out_halves_the_batch(converted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = open_scorer(converted / "comet22")
    whole, sizes = scorer._encode_batch, []

    def encode(inputs: list[list[int]]) -> torch.Tensor:
        if len(inputs) > 3:
            raise torch.OutOfMemoryError("no more")
        sizes.append(len(inputs))
        return whole(inputs)

    monkeypatch.setattr(scorer, "_encode_batch", encode)
    assert scorer.score(ROWS) == pytest.approx(GOLDENS["comet22"], abs=1e-6)
    assert max(sizes) > 1
    monkeypatch.setattr(scorer, "_encode_batch", lambda inputs: encode([[]] * 9))
    with pytest.raises(EnvironmentFault, match="does not hold one text"):
        scorer.score(ROWS)


def test_layers_without_weight_are_not_computed(converted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sparsemax of 0.4, 0.9, 0.1, -0.6 is 0.25, 0.75, 0, 0: the second layer and the third are spared."""
    scorer = open_scorer(converted / "comet22")
    encoder, seen = scorer._encoder, 0
    states = encoder.states

    def counted(ids: torch.Tensor, mask: torch.Tensor) -> object:
        nonlocal seen
        for state in states(ids, mask):
            seen += 1
            yield state

    monkeypatch.setattr(encoder, "states", counted)
    scorer.score(ROWS[:1])
    assert seen == 2


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0.4, 0.9, 0.1, -0.6], [0.25, 0.75, 0.0, 0.0]),
        ([0.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]),
        ([5.0, 1.0], [1.0, 0.0]),
        ([0.2, 0.1], [0.55, 0.45]),
        ([-3.0], [1.0]),
    ],
)
def test_sparsemax(scores: list[float], expected: list[float]) -> None:
    """By hand: Martins and Astudillo 2016, algorithm 1."""
    assert sparsemax(torch.tensor(scores)).tolist() == pytest.approx(expected, abs=1e-6)


def test_a_tokenizer_of_another_model_is_refused(converted: Path, tmp_path: Path) -> None:
    for path in (converted / "comet22").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    text = (tmp_path / TOKENIZER).read_text(encoding="utf-8")
    (tmp_path / TOKENIZER).write_text(text.replace("<pad>", "[PAD]"), encoding="utf-8")
    with pytest.raises(ModelError, match="lacks one of the tokens"):
        open_scorer(tmp_path)


def test_budgets_are_of_the_devices_that_there_are() -> None:
    assert set(scorer_module.BATCH_TOKENS) == {"cpu", "cuda"}
