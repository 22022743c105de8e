"""spBLEU and its models: found, checked, fetched whole or not at all, and scored as sacrebleu does."""

import hashlib
import http.server
import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import sentencepiece

from xlingual.errors import EnvironmentFault, UsageError
from xlingual.metrics import find_metric
from xlingual.metrics.sentencepiece_model import (
    MODELS,
    download_model,
    fetch_model,
    find_model,
    find_model_fault,
    model_digest,
)
from xlingual.records import Example, Response

ExampleMaker = Callable[..., Example]
ResponseMaker = Callable[..., Response]

SENTENCES = [
    "The quick brown fox jumps over the lazy dog.",
    "Der schnelle braune Fuchs springt über den faulen Hund.",
    "北京是中国的首都。",
    "القطة على الطاولة.",
    "Быстрая лиса прыгает через собаку.",
]
HYPOTHESES = ["The quick fox jumps over a dog.", "Der  braune Fuchs\u3000springt ", "", "北京首都。", "unbekannt ☃"]


@pytest.fixture(scope="module")
def model_bytes() -> bytes:
    stream = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 4),
        model_writer=stream,
        vocab_size=120,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return stream.getvalue()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XLINGUAL_SPM_DIR", str(tmp_path / "own"))
    monkeypatch.setenv("SACREBLEU", str(tmp_path / "sacrebleu"))
    (tmp_path / "own").mkdir()
    return tmp_path / "own"


@dataclass(frozen=True)
class Server:
    url: str
    asked: list[str]


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[http.server.ThreadingHTTPServer] = []

    def start(body: bytes, announced: int | None = None) -> Server:
        asked: list[str] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", str(len(body) if announced is None else announced))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name in the base class
                return

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return Server(url=f"http://127.0.0.1:{server.server_address[1]}/x.model", asked=asked)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(("metric_name", "model"), [("spbleu", "flores101"), ("spbleu_flores200", "flores200")])
def test_absent_model_is_a_reason_and_never_a_download(
    metric_name: str, model: str, folder: Path, make_example: ExampleMaker, make_response: ResponseMaker
) -> None:
    metric = find_metric(metric_name)
    assert find_model(model) is None
    reason = metric.missing("zh") or ""
    assert reason.startswith("not computed: ")
    assert "xlingual doctor --fetch-spm" in reason
    assert f"tok:{model}|" in metric.signature("zh")
    assert "spm:" not in metric.signature("zh")
    with pytest.raises(EnvironmentFault, match="not on this machine"):
        metric.measure(make_example("zh", "a"), make_response("a"))


@pytest.mark.parametrize(("metric_name", "model"), [("spbleu", "flores101"), ("spbleu_flores200", "flores200")])
def test_spbleu_equals_sacrebleu_with_the_same_file(
    metric_name: str,
    model: str,
    folder: Path,
    model_bytes: bytes,
    make_example: ExampleMaker,
    make_response: ResponseMaker,
) -> None:
    path = folder.parent / "sacrebleu" / "models" / MODELS[model].file
    path.parent.mkdir(parents=True)
    path.write_bytes(model_bytes)
    metric = find_metric(metric_name)
    assert find_model(model) == path
    assert metric.missing("de") is None
    hypotheses = [" ".join(text.split()) for text in HYPOTHESES]
    # In a process of its own, because sacrebleu reads $SACREBLEU when it is imported.
    script = (
        "import json, sys; from sacrebleu.metrics.bleu import BLEU; h, r = json.load(sys.stdin);"
        f"b = BLEU(tokenize={model!r}); s = b.corpus_score(h, [r]);"
        "print(repr(s.score)); print(b.get_signature())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps([hypotheses, SENTENCES]),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "SACREBLEU": str(folder.parent / "sacrebleu")},
    )
    expected, signature = done.stdout.split("\n")[:2]
    rows = [
        metric.measure(make_example("de", reference), make_response(hypothesis))
        for hypothesis, reference in zip(HYPOTHESES, SENTENCES, strict=True)
    ]
    score = float(metric.combine(np.array(rows).sum(axis=0)))
    assert score > 1
    assert score == pytest.approx(float(expected), abs=1e-9)
    assert metric.signature("de") == f"{signature}|spm:{hashlib.sha256(model_bytes).hexdigest()[:8]}"


def test_own_folder_comes_first_and_empty_files_do_not_count(folder: Path, model_bytes: bytes) -> None:
    other = folder.parent / "sacrebleu" / "models" / MODELS["flores101"].file
    other.parent.mkdir(parents=True)
    other.write_bytes(model_bytes)
    own = folder / other.name
    own.touch()
    assert find_model("flores101") == other
    own.write_bytes(model_bytes)
    assert find_model("flores101") == own
    assert fetch_model("flores101") == own


def test_a_changed_or_broken_file_is_refused(
    folder: Path, model_bytes: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    path = folder / MODELS["flores101"].file
    path.write_bytes(model_bytes)
    assert find_model_fault("flores101") is None
    sidecar = path.with_name(f"{path.name}.sha256")
    sidecar.write_text(f"{'0' * 64}  {path.name}\n", encoding="utf-8")
    assert "has changed" in (find_model_fault("flores101") or "")
    sidecar.write_text(model_digest(path), encoding="utf-8")
    assert find_model_fault("flores101") is None
    sidecar.unlink()
    path.write_bytes(b"<html>sign in</html>")
    assert "is not a SentencePiece model" in (find_metric("spbleu").missing("de") or "")
    assert capfd.readouterr() == ("", "")


def test_download_is_stored_whole_with_its_digest(
    folder: Path, model_bytes: bytes, serve: Callable[..., Server]
) -> None:
    server = serve(model_bytes)
    path = download_model(replace(MODELS["flores101"], url=server.url), folder / "new")
    assert path.read_bytes() == model_bytes
    digest = hashlib.sha256(model_bytes).hexdigest()
    sidecar = path.with_name(f"{path.name}.sha256")
    assert sidecar.read_text(encoding="utf-8") == f"{digest}  {path.name}\n"
    assert {each.name for each in path.parent.iterdir()} == {path.name, sidecar.name}
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("body", "announced", "sha256", "match"),
    [
        (b"<html>sign in</html>", None, None, "not a SentencePiece model"),
        (b"half", 4000, None, "cannot be downloaded|bytes"),
        (b"other", None, "0" * 64, "expected 0000"),
    ],
)
def test_a_bad_download_leaves_nothing(
    body: bytes, announced: int | None, sha256: str | None, match: str, folder: Path, serve: Callable[..., Server]
) -> None:
    model = replace(MODELS["flores101"], url=serve(body, announced).url, sha256=sha256)
    with pytest.raises(EnvironmentFault, match=match) as caught:
        download_model(model, folder)
    assert caught.value.where == model.url
    assert caught.value.hint
    assert list(folder.iterdir()) == []


def test_a_second_download_must_agree_with_the_first(
    folder: Path, model_bytes: bytes, serve: Callable[..., Server]
) -> None:
    path = download_model(replace(MODELS["flores101"], url=serve(model_bytes).url), folder)
    with pytest.raises(EnvironmentFault, match="expected"):
        download_model(replace(MODELS["flores101"], url=serve(model_bytes + b"\n").url), folder)
    assert path.read_bytes() == model_bytes


def test_no_network_is_said_within_seconds(folder: Path) -> None:
    start = time.monotonic()
    with pytest.raises(EnvironmentFault, match="cannot be downloaded") as caught:
        download_model(replace(MODELS["flores101"], url="http://127.0.0.1:9/x.model"), folder)
    assert time.monotonic() - start < 5
    assert "XLINGUAL_SPM_DIR" in caught.value.hint
    assert caught.value.exit_code == 5


def test_a_folder_that_cannot_be_made_is_a_fault(
    folder: Path, model_bytes: bytes, serve: Callable[..., Server]
) -> None:
    blocker = folder / "file"
    blocker.touch()
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        download_model(replace(MODELS["flores101"], url=serve(model_bytes).url), blocker / "below")


def test_other_names_are_refused() -> None:
    with pytest.raises(UsageError, match="no such SentencePiece model") as caught:
        find_model("flores10")
    assert "flores101" in caught.value.hint
