"""The packaged prompts, and what a prompt file of a user may hold."""

from pathlib import Path

import pytest

from xlingual.errors import DataError
from xlingual.judging.prompts import FIELDS, VerdictForm, find_prompt, prompt_names, read_prompt
from xlingual.judging.records import JudgeKind

GOOD = """
name = "mine"
version = "3"
kind = "correctness"
form = "label"
description = "d"
cue = "RESULT"
max_new_tokens = 8
instruction = "Judge."
input = "{question} {answer}"
[verdicts]
correct = "RIGHT"
incorrect = "WRONG"
"""


@pytest.mark.parametrize("kind", JudgeKind)
def test_every_packaged_prompt_can_be_filled(kind: JudgeKind) -> None:
    names = prompt_names(kind)
    assert kind.value in names
    for name in names:
        prompt = find_prompt(name, kind)
        assert prompt.name == name
        filled = prompt.fill({each: f"<{each}>" for each in FIELDS[kind]})
        text = filled.instruction + filled.input
        assert "<mark>" in text
        assert "{" not in text
        assert (filled.choices is not None) == (prompt.form is VerdictForm.CHOICE)


def test_the_papers_prompts_say_what_is_corrected() -> None:
    for name, kind in (("correctness-xllama", JudgeKind.CORRECTNESS), ("pairwise-xllama", JudgeKind.PAIRWISE)):
        prompt = find_prompt(name, kind)
        assert len(prompt.corrections) == 3
        assert "2308.04948" in (prompt.citation or "")


def test_a_prompt_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD, encoding="utf-8")
    prompt = find_prompt(str(path), JudgeKind.CORRECTNESS)
    assert prompt.label == "mine-v3"
    path.write_text(GOOD.replace("Judge.", "Judge well."), encoding="utf-8")
    assert find_prompt(str(path), JudgeKind.CORRECTNESS).hash != prompt.hash


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('cue = "RESULT"\n', "", "'cue' is missing"),
        ('cue = "RESULT"', 'cue = "***"', ":7: the cue has no letters"),
        ("{answer}", "{reply}", "{reply} is none of its texts"),
        ("{answer}", "", "does not show {answer}"),
        ('"WRONG"', '"right"', "one word stands for two verdicts"),
        ('incorrect = "WRONG"', "", "'incorrect' is missing"),
        ('form = "label"', 'form = "score"', "is none of the kind"),
        ('form = "label"', 'form = "two scores"', "two scores are of pairs"),
        ('"RIGHT"', '["RIGHT", "YES"]\nfoo = 1', "unknown key 'foo'"),
        ("max_new_tokens = 8", "max_new_tokens = 0", ":8: "),
    ],
)
def test_a_wrong_prompt_names_its_line(tmp_path: Path, before: str, after: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace(before, after), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_prompt(path)
    assert message in str(caught.value)


def test_a_choice_has_one_word_a_verdict(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    text = GOOD.replace('form = "label"', 'form = "choice"').replace('"RIGHT"', '["RIGHT", "YES"]')
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="has several words"):
        read_prompt(path)
