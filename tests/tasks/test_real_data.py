"""The real benchmark files, where they lie beside the project: read whole, and scored 100 by the oracle."""

from pathlib import Path

import pytest

from xlingual.cli.progress import SilentRunObserver
from xlingual.planning import RunSettings
from xlingual.plugin import DataSource, ModelOptions
from xlingual.run import evaluate
from xlingual.selection import open_model, select_tasks

from ..real_data import REAL

PLACE = DataSource(folder=REAL, sample=False, offline=True)
XQUAD = ("ar", "de", "el", "en", "es", "hi", "tr", "vi", "zh")
pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="the real benchmark files are not beside the project")


def _oracle(tasks: list[str], out: Path) -> list[dict[str, float | None]]:
    settings = RunSettings(data_source=PLACE, out=out)
    with_oracle = evaluate(open_model("oracle", ModelOptions()), select_tasks(tasks, []), settings, SilentRunObserver())
    return [{each.metric: each.value for each in record.estimates} for record in with_oracle]


@pytest.mark.slow
@pytest.mark.parametrize("language", XQUAD)
def test_xquad(language: str, tmp_path: Path) -> None:
    values = _oracle([f"xquad/{language}"], tmp_path)[0]
    rows = select_tasks([f"xquad/{language}"], [])[0].examples("test", PLACE).rows
    assert len(rows) == 1190
    # No gold of these files normalises to nothing, which would get EM 1 and F1 0 from the official scripts.
    for rules in ("mlqa", "mlqa_fixed", "squad"):
        assert values[f"{rules}_em"] == 100.0
        assert values[f"{rules}_f1"] == 100.0
    assert values["containment"] == 100.0


def test_mlqa(tmp_path: Path) -> None:
    languages = ("ar", "de", "en", "es", "hi", "vi", "zh")
    pairs = [f"en-{code}" for code in languages if code != "en"]
    rows = _oracle([*(f"mlqa/{code}" for code in languages), *(f"mlqa/{pair}" for pair in pairs)], tmp_path)
    assert all(values["mlqa_f1"] == values["mlqa_em"] == values["containment"] == 100.0 for values in rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    "direction", ["en-ar", "en-el", "en-hi", "en-ja", "en-ko", "en-th", "en-tr", "en-vi", "en-zh", "zh-en", "sw-am"]
)
def test_flores(direction: str, tmp_path: Path) -> None:
    values = _oracle([f"flores101/{direction}"], tmp_path)[0]
    assert [values["chrf++"], values["bleu"]] == pytest.approx([100.0, 100.0])


@pytest.mark.slow
def test_every_language_of_flores_is_read() -> None:
    for task in select_tasks(["flores101/en-*"], []):
        assert len(task.examples("devtest", PLACE).rows) == 1012


def test_questions_of_one_paragraph_share_a_cluster() -> None:
    rows = select_tasks(["xquad/en"], [])[0].examples("test", PLACE).rows
    contexts: dict[str, set[str]] = {}
    for row in rows:
        contexts.setdefault(row.cluster, set()).add(row.fields["context"])
    assert len(contexts) == 240
    assert all(len(texts) == 1 for texts in contexts.values())
