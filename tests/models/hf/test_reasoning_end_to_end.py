"""One reasoning model, three ways to it: a script, a server, local weights. The scores are the same, and right."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from xlingual import plugins
from xlingual.cli import run_command
from xlingual.records import RunRecord
from xlingual.registry import TASKS
from xlingual.serial import from_json

from ..fault_server import Asked, Reply, document, serve
from .test_thinking import ANSWER, THINK, THOUGHT, recite

pytest.importorskip("openai", reason="needs the extra `openai`")

SAID = "".join(ANSWER)
"""What the reciting model says after its thinking."""
QUESTIONS = {"fr": "Warsaw", "pl": SAID.replace("\n", " "), "it": "one"}
"""Gold answers: one that is nowhere, what the model says, and a word of its thinking."""
TASK = """
description = "Cities"
licence = "CC0"
citation = "none"
version = "1"
id = "id"
files = "cities/{language}.jsonl"
prompt = "{question}"
metrics = ["containment", "squad_em"]
max_new_tokens = 40
languages = ["en"]
"""


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield the folder of the questions; their task is a plugin of the user's."""
    (tmp_path / "mine/tasks").mkdir(parents=True)
    (tmp_path / "mine/tasks/cities.toml").write_text(TASK, encoding="utf-8")
    (tmp_path / "data/cities").mkdir(parents=True)
    rows = [
        {"id": name, "question": f"Which city is it in {name}?", "answer": gold} for name, gold in QUESTIONS.items()
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "data/cities/en.jsonl").write_text(text, encoding="utf-8")
    monkeypatch.setattr(plugins, "__path__", [*plugins.__path__, str(tmp_path / "mine")])
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    yield tmp_path / "data"
    TASKS.forget("cities")


@pytest.fixture(params=["script", "server", "server, in the text", "weights"])
def word(request: pytest.FixtureRequest, tmp_path: Path, tiny_llama: Path) -> Iterator[str]:
    """Yield the word of a model that thinks THOUGHT and says ANSWER."""
    thought = "".join(THOUGHT)
    marked = f"<think>\n{thought}</think>\n\n{SAID}"
    if request.param == "script":
        lines = [json.dumps({"id": name, "prediction": marked}) + "\n" for name in QUESTIONS]
        (tmp_path / "script.jsonl").write_text("".join(lines), encoding="utf-8")
        yield f"scripted:{tmp_path / 'script.jsonl'}"
    elif request.param == "weights":
        yield f"hf:{recite(tmp_path / 'model', tiny_llama, THINK, opens=True, special=False)}"
    else:
        apart = {"content": SAID, "reasoning_content": thought}
        told = apart if request.param == "server" else {"content": marked}

        def reply(_asked: Asked) -> Reply:
            message = {"message": {"role": "assistant", **told}, "finish_reason": "stop"}
            return document({"choices": [message], "usage": {"prompt_tokens": 5, "completion_tokens": 12}})

        with serve(reply) as server:
            yield f"openai:m@{server.url}"


def test_a_model_that_thinks_is_scored_by_its_answer(
    data: Path, word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    code = run_command(["eval", "-m", word, "-t", "cities", "--data", str(data), "-o", str(out)])
    assert code == 0, capsys.readouterr()
    [path] = out.rglob("results.json")
    record = from_json(RunRecord, json.loads(path.read_text(encoding="utf-8")))
    scores = {each.metric: each.value for each in record.estimates}
    # "one" stands in the thinking only, "Warsaw" nowhere.
    assert scores["containment"] == pytest.approx(100 / 3)
    assert scores["squad_em"] == pytest.approx(100 / 3)
    assert (record.counts.answered, record.counts.unfinished_thinking) == (3, 0)
    for line in (path.parent / "samples.jsonl").read_text(encoding="utf-8").splitlines():
        sample = json.loads(line)
        assert sample["thinking"] == "".join(THOUGHT).strip()
        assert sample.get("scored", sample["answer"]).strip() == SAID
        assert sample["unfinished_thinking"] is False


def test_a_budget_that_the_thinking_eats_leaves_no_answer_and_one_of_its_own_does(
    data: Path, tmp_path: Path, tiny_llama: Path
) -> None:
    word = f"hf:{recite(tmp_path / 'model', tiny_llama, THINK, opens=False, special=False)}"
    command = ["eval", "-m", word, "-t", "cities", "--data", str(data)]
    for words, unfinished, scored, value in (
        (("--max-new-tokens", "4"), 3, 0, None),
        (("--max-thinking-tokens", "4"), 0, 3, 33.3),
        (("--thinking", "off"), None, 3, 33.3),
    ):
        out = tmp_path / words[0]
        assert run_command([*command, *words, "-o", str(out)]) == 0
        [path] = out.rglob("results.json")
        record = from_json(RunRecord, json.loads(path.read_text(encoding="utf-8")))
        [containment] = [each for each in record.estimates if each.metric == "containment"]
        rounded = None if containment.value is None else round(containment.value, 1)
        assert (record.counts.unfinished_thinking, containment.n, rounded) == (unfinished, scored, value)
