"""`ray:2:hf:FOLDER`: two workers, one of them killed, against the same model in this process."""

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from xlingual import open_model
from xlingual.plugin import ModelOptions, SupportsNotes
from xlingual.records import Request

ray = pytest.importorskip("ray", reason="needs the extra `ray`")
MakeRequest = Callable[..., Request]
pytestmark = pytest.mark.slow  # three processes import torch and transformers: half a minute on a busy machine


def test_workers_answer_as_one_process_does_though_one_is_killed(
    tiny_llama: Path, text_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("RAY_ADDRESS", "local")
    options = ModelOptions(device="cpu", dtype="float32")
    passages = ("The quick brown fox", "中国的首都是北京", "القاهرة عاصمة مصر")
    asked = [text_request(f"{passage} {each}", max_new_tokens=60) for passage in passages for each in range(30)]
    alone = open_model(f"hf:{tiny_llama}", options)
    expected = {each.key: (each.text, each.tokens, each.finish) for each in alone.answer(asked)}
    alone.close()
    assert len({text for text, _, _ in expected.values()}) > 60
    model = open_model(f"ray:2:hf:{tiny_llama}", options)
    notes: list[str] = []
    assert isinstance(model, SupportsNotes)
    model.on_note(notes.append)
    found = {}
    for response in model.answer(asked):
        found[response.key] = (response.text, response.tokens, response.finish)
        if len(found) == 5:
            children = psutil.Process().children(recursive=True)
            workers = [each for each in children if each.name().startswith("ray::ModelWorker")]
            assert len(workers) == 2
            workers[0].kill()
    model.close()
    assert found == expected
    assert [note.rpartition("; ")[2].split(" ", 1)[1] for note in notes] == ["requests are asked again"]
    assert not ray.is_initialized()
