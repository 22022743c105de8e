"""Runs with analyses of all kinds beside them, made by the commands themselves, for the tests of pages."""

from pathlib import Path

from xlingual.cli import run_command

from ..judging.runs import Judge, answer_questions, evaluate, ids, read_one
from ..small_base import make_small_base

HOSTILE = "<b>judge&"
"""The name of a judge, which pages show as text."""


def put_everything(folder: Path) -> Path:
    """Return the folder of two runs, of a judge of one of them, and of the analyses of space and content."""
    runs = folder / "runs"
    oracle = evaluate(runs, "oracle", "-t", "xquad/en", "--data", "sample")
    names = ids(read_one(oracle))
    answer_questions(folder, "loops", dict.fromkeys(names, "again and again and " * 30))
    judge = Judge(folder, dict.fromkeys(names, "A"), name=HOSTILE)
    words = [str(oracle), "--kind", "correctness"]
    codes = [judge.run(*words), run_command(["analyze", "content", str(runs), "--keep", str(content_of(folder))])]
    base = make_small_base(folder / "small")
    words = ["analyze", "space", str(base), "--langs", "en,zh", "--data", "sample", "--limit", "12", "--lens", "4"]
    codes.append(run_command([*words, "--out", str(runs / "analysis")]))
    if codes[1:] != [0, 0]:
        raise RuntimeError(f"the analyses ended with {codes}")
    return runs


def content_of(folder: Path) -> Path:
    """Return where the analysis of content is kept."""
    return folder / "runs" / "analysis" / "content.json"
