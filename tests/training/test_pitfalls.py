"""What no loss shows when it is lost: no reads from the device, no square masks, the kernel of a GPU.

docs/tuning-pitfalls.md says which test holds which of the eighteen pitfalls.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AttentionInterface

from xlingual.training import attention
from xlingual.training.loop import Training, prepare, take_step
from xlingual.training.observing import SilentTrainingObserver
from xlingual.training.parallel import init_distributed
from xlingual.training.settings import TrainingJob, TrainSettings

from .conftest import make_plan, make_rows

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tuning-pitfalls.md"
READS = ("item", "tolist", "__float__", "__int__", "__bool__", "numpy", "cpu")


@pytest.fixture
def training(tiny: Path, tmp_path: Path) -> Iterator[Training]:
    """A training before its first step, in this process."""
    rows = make_rows()
    plan = replace(make_plan(rows), id="3" * 64)
    settings = TrainSettings(pack_length=64, device="cpu")
    job = TrainingJob(plan=plan, rows=rows, weights=tiny, tokenizer=tiny, folder=tmp_path, settings=settings)
    with init_distributed("cpu", "float32") as world:
        yield prepare(job, world, SilentTrainingObserver())


@contextmanager
def _counted(patch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Count the calls that would wait for a GPU."""
    calls: list[str] = []

    def counting(name: str) -> Callable[..., object]:
        own = getattr(torch.Tensor, name)

        def read(*arguments: object, **names: object) -> object:
            calls.append(name)
            return own(*arguments, **names)

        return read

    with patch.context() as patched:
        for name in READS:
            patched.setattr(torch.Tensor, name, counting(name))
        yield calls


def test_a_step_reads_nothing_from_the_device(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    with _counted(monkeypatch) as calls:
        for number in range(3):
            take_step(training, training.step_schedule.step(number))
        assert calls == []
        reports = training.loss_meter.read()
        assert len(calls) == 2  # the sums and the norms of all three steps
    assert [each.step for each in reports] == [1, 2, 3]


def test_no_square_mask_is_built(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    masks: list[tuple[int, ...]] = []

    def attend(module: Any, query: Any, key: Any, value: Any, mask: torch.Tensor, **names: Any) -> Any:  # noqa: ANN401
        masks.append(tuple(mask.shape))
        return attention.attend(module, query, key, value, mask, **names)

    AttentionInterface.register(attention.NAME, attend)
    try:
        take_step(training, training.step_schedule.step(0))
    finally:
        attention.register()
    assert masks
    assert set(masks) == {(1, 1, 1, 1)}


def test_the_tests_that_the_page_names_are_there() -> None:
    tests = Path(__file__).resolve().parents[1]
    sources = "".join(path.read_text(encoding="utf-8") for path in tests.rglob("test_*.py"))
    rows = [line.split("|") for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    named = {name for row in rows for name in re.findall(r"\b(?!test_)[a-z0-9]+(?:_[a-z0-9]+)+\b", row[4])}
    files = {name for row in rows for name in re.findall(r"\btest_\w+\.py", row[4])}
    assert len(named) > 15
    assert [name for name in sorted(named) if f"{name}(" not in sources] == []
    assert files <= {path.name for path in tests.rglob("test_*.py")}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("window", [None, 5])
def test_the_varlen_kernel_matches_attention_by_document(window: int | None) -> None:
    device = torch.device("cuda")
    torch.manual_seed(0)
    query = torch.randn(1, 4, 60, 64, device=device)
    key, value = (torch.randn(1, 2, 60, 64, device=device) for _ in range(2))
    documents = attention.pack_documents([23, 1, 36], device)

    class Layer:
        layer_idx = 0

    exact, _ = attention.attend(Layer(), query, key, value, None, documents=documents, sliding_window=window)
    query, key, value = query.bfloat16(), key.bfloat16(), value.bfloat16()
    fast, _ = attention.attend(Layer(), query, key, value, None, documents=documents, sliding_window=window)
    assert float((exact - fast.float()).abs().max()) < 0.03
