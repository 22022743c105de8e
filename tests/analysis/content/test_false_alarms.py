"""What the detectors say of real references, which are right: next to nothing."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from bench.content_false_alarms import count_alarms, flores_paragraphs, flores_references, xquad_golds, xquad_passages

from xlingual.analysis.content import AnsweredSample
from xlingual.plugin import DataSource
from xlingual.records import Example
from xlingual.selection import select_tasks

from .labelled_table import LANGUAGES

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="the real data are not beside the repository (../shared/data)"
)
Make = Callable[[Sequence[Example]], Iterator[AnsweredSample]]
SHORT = ("off_target", "code_switch")
"""Names and lists of names in Latin letters are now and then called another language."""
NONE = ("loop", "refusal", "whole_passage", "question_copy", "english")


def _alarms(task: str, make: Make, count: int) -> dict[str, float]:
    """Return the rates of the measures over the first `count` examples, in per cent."""
    [found] = select_tasks([task], [])
    examples = found.examples(found.spec.split, DataSource(folder=DATA, sample=False, offline=True)).rows[:count]
    alarms = count_alarms(list(make(examples)))
    return {name: 100 * each.counted / each.judged for name, each in alarms.items() if each.judged}


@needs_data
@pytest.mark.parametrize("code", LANGUAGES)
def test_gold_answers_and_passages_of_xquad(code: str) -> None:
    golds = _alarms(f"xquad/{code}", xquad_golds, 120)
    assert {name: rate for name, rate in golds.items() if rate and name not in SHORT} == {}
    passages = _alarms(f"xquad/{code}", xquad_passages, 30)
    assert {name: rate for name, rate in passages.items() if rate and name not in SHORT} == {}
    assert max(passages[name] for name in SHORT) <= 4.0


@needs_data
@pytest.mark.parametrize(
    "code", ["de", "fr", "ru", "fa", "ja", "ko", "sw", "fi", *(each for each in LANGUAGES if each != "en")]
)
def test_references_of_flores(code: str) -> None:
    """Eight of these are languages that no phrase and no number was chosen by."""
    found = _alarms(f"flores101/en-{code}", flores_references, 60)
    assert {name: rate for name, rate in found.items() if rate and name in NONE} == {}
    assert max(found[name] for name in ("abstention", "boilerplate", "source_copy", "off_target")) <= 1.0
    assert _alarms(f"flores101/en-{code}", flores_paragraphs, 60)["code_switch"] <= 4.0
