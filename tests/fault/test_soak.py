"""Many samples and many models: time in line with them, memory that does not grow faster, and a resume in seconds."""

from pathlib import Path

import pytest
from bench.soak import MEBIBYTE, eval_words, forget, measure, soak_board, write_task

QUARTER, WHOLE = 12_500, 50_000
GROWTH = 1.6
"""Of what time or memory in line with the samples would be. Time is the processor's: other work does not count."""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_fifty_thousand_samples_take_time_and_memory_in_line(tmp_path: Path) -> None:
    write_task(tmp_path, WHOLE)
    small, large = (measure(f"{part}", tmp_path, eval_words("echo", f"out-{part}", part)) for part in (QUARTER, WHOLE))
    assert large.processor < GROWTH * small.processor * WHOLE / QUARTER
    assert large.peak < GROWTH * small.peak * WHOLE / QUARTER
    kept = forget(tmp_path, f"out-{WHOLE}", 0.9)
    assert kept == WHOLE * 9 // 10
    [journal] = (tmp_path / f"out-{WHOLE}").rglob("journal.jsonl")
    resumed = measure("resume", tmp_path, eval_words("echo", f"out-{WHOLE}", WHOLE))
    assert resumed.processor < GROWTH * large.processor
    assert journal.read_bytes().count(b"\n") == WHOLE


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_three_hundred_models_on_one_board(tmp_path: Path) -> None:
    write_task(tmp_path, 1)
    measured = soak_board(tmp_path, 300)
    page = (tmp_path / "board.md").read_text(encoding="utf-8")
    assert all(f"model-{number:03}" in page for number in range(300))
    assert measured.processor < 120
    assert measured.peak < 1500 * MEBIBYTE
