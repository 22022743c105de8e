"""The way from the hub: pinned bytes only, gated models named, and an end within seconds where there is no network."""

import hashlib
import http.server
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from xlingual.cli import run_command
from xlingual.errors import AuthError, EnvironmentFault, ModelError
from xlingual.files import hash_file
from xlingual.metrics.comet.download import fetch
from xlingual.metrics.comet.published import PUBLISHED, HubFile

from .test_scorer import GOLDENS, ROWS, open_scorer


@dataclass
class Hub:
    """A server that answers as the hub does: a file a path, or a status instead."""

    files: dict[str, bytes] = field(default_factory=dict)
    status: int | None = None
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    state = Hub()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            state.asked.append(self.path)
            content = state.files.get(self.path.partition("?")[0])
            if self.path == "/":
                self.send_response(200)
                self.end_headers()
                return
            if state.status is not None or content is None:
                self.send_response(state.status or 404)
                if state.status in (401, 403):
                    self.send_header("X-Error-Code", "GatedRepo")
                elif state.status is None:
                    self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", self.path.split("/")[4])
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    monkeypatch.setenv("XLINGUAL_COMET_DIR", str(tmp_path / "models"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def served(hub: Hub, checkpoints: dict[str, Path], encoder: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """Serve the tiny checkpoint as the published one."""
    path = checkpoints["comet22"]
    hparams = path.parents[1] / "hparams.yaml"
    model = replace(
        PUBLISHED["comet22"],
        checkpoint=HubFile(path="checkpoints/model.ckpt", sha256=hash_file(path)),
        hparams=HubFile(path="hparams.yaml", sha256=hash_file(hparams)),
    )
    monkeypatch.setitem(PUBLISHED, "comet22", model)
    base = f"/{model.repository}/resolve/{model.revision}"
    hub.files[f"{base}/checkpoints/model.ckpt"] = path.read_bytes()
    hub.files[f"{base}/hparams.yaml"] = hparams.read_bytes()
    for each in ("config.json", "tokenizer.json"):
        address = f"/{model.encoder}/resolve/{model.encoder_revision}/{each}"
        hub.files[address] = (encoder / each).read_bytes()
    return hub


def test_a_model_is_fetched_once_and_scored_with(served: Hub, tmp_path: Path) -> None:
    folder = fetch("comet22")
    assert folder == tmp_path / "models" / "comet22"
    assert open_scorer(folder).score(ROWS) == pytest.approx(GOLDENS["comet22"], abs=1e-6)
    before = len(served.asked)
    assert fetch("comet22") == folder
    assert len(served.asked) == before


def test_damaged_weights_are_made_anew(served: Hub) -> None:
    weights = fetch("comet22") / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert open_scorer(fetch("comet22")).score(ROWS) == pytest.approx(GOLDENS["comet22"], abs=1e-6)


@pytest.mark.parametrize("name", ["checkpoints/model.ckpt", "hparams.yaml"])
def test_other_bytes_than_the_pinned_ones_are_refused(served: Hub, tmp_path: Path, name: str) -> None:
    path = next(each for each in served.files if each.endswith(name))
    served.files[path] += b"\n"
    with pytest.raises(ModelError):
        fetch("comet22")
    assert not (tmp_path / "models").exists()


def test_an_encoder_without_tokenizer_json_is_asked_for_its_sentencepiece_model(served: Hub) -> None:
    del served.files[next(each for each in served.files if each.endswith("tokenizer.json"))]
    with pytest.raises(ModelError, match="there is no such file"):
        fetch("comet22")
    assert any(path.endswith("sentencepiece.bpe.model") for path in served.asked)


@pytest.mark.parametrize("status", [401, 403])
def test_a_gated_model_names_its_licence(hub: Hub, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    hub.status = status
    with pytest.raises(AuthError, match=r"accepted the licence \(CC BY-NC-SA 4.0\)"):
        fetch("cometkiwi22")
    assert run_command(["metrics", "cometkiwi22", "--fetch"]) == 4
    hint = capsys.readouterr().err.splitlines()[-1]
    assert hint == "hint: accept it at https://huggingface.co/Unbabel/wmt22-cometkiwi-da, then set HF_TOKEN"


@pytest.mark.parametrize(
    ("status", "fault", "message"),
    [(404, ModelError, "there is no such file"), (400, EnvironmentFault, "the hub said 400")],
)
def test_a_server_in_trouble_is_named(hub: Hub, status: int, fault: type[Exception], message: str) -> None:
    hub.status = status
    with pytest.raises(fault, match=message):
        fetch("comet22")


def test_without_a_network_it_ends_within_seconds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XLINGUAL_COMET_DIR", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    begin = time.monotonic()
    with pytest.raises(EnvironmentFault) as caught:
        fetch("comet22")
    assert time.monotonic() - begin < 10
    assert str(tmp_path / "comet22") in caught.value.hint


def test_the_offline_flag_is_obeyed(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(EnvironmentFault, match="HF_HUB_OFFLINE"):
        fetch("comet22")
    assert hub.asked == []


def test_pins_are_whole() -> None:
    for model in PUBLISHED.values():
        assert len(model.revision) == len(model.encoder_revision) == 40
        assert all(file.sha256 is None or len(file.sha256) == 64 for file in (model.checkpoint, model.hparams))
