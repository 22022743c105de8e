"""The section of the benchmark's page on held-out languages: written alone, and kept when the rest is written anew."""

from pathlib import Path

from bench.held_out import HEADING, NEXT, held_out_section, section_of, with_section
from bench.report import Run
from bench.workloads import HELD_OUT, WORKLOADS

PAGE = f"# Benchmarks\n\ntables\n\n{NEXT}, and what was tried\n\nnotes\n"
RATES = {"product": 100.0, "read": 10.0}
WORK = {
    "prompt_tokens": 30, "distinct_tokens": 20, "answer_tokens": 5, "operations": 250.0, "weight_bytes": 20,
    "lengths": [2, 3], "operations_per_token": 10.0,
}  # fmt: skip


def run(way: str, wall: float) -> Run:
    work = WORK if way == "xlingual" else None
    return Run(workload="tr", way=way, ready=0.0, wall=wall, processor=wall, peak=1.0, answers={"0": "a"}, work=work)


def test_the_section_is_written_alone_and_kept() -> None:
    unmeasured = with_section(PAGE, section_of(PAGE))
    assert "Not measured yet" in unmeasured
    section = held_out_section([run("xlingual", 1.0), run("hflm:8", 4.0)], RATES)
    page = with_section(unmeasured, section)
    assert (page.count(HEADING), page.count(NEXT), "Not measured yet" in page) == (1, 1, False)
    assert page.startswith("# Benchmarks\n\ntables\n")
    assert page.endswith("notes\n")
    assert "### XQuAD tr, 0-shot, 1 prompts" in section
    assert "| 4.00x |" in section or "4.00x" in section
    assert section_of(page) == section
    assert with_section(page, section_of(page)) == page


def test_what_is_held_out_is_nowhere_fitted() -> None:
    fitted = {each.task for each in WORKLOADS}
    assert not fitted & {each.task for each in HELD_OUT}
    script = (Path(__file__).resolve().parents[2] / "bench" / "fit_drafts.py").read_text(encoding="utf-8")
    assert not any(word in script for word in ("xquad", "mlqa", "flores"))


def test_the_page_has_the_section() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert with_section(page, section_of(page)) == page
    assert HEADING in page
