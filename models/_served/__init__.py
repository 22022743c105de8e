"""Models behind inference servers that we start, watch and end: what vllm, sglang and serve have in common."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, cast

from xlingual import open_model
from xlingual.errors import EnvironmentFault, UsageError
from xlingual.identity import Json, content_hash
from xlingual.plugin import Model, ModelOptions
from xlingual.records import Failure, ModelSpec, Request, Response

from ..hf.checkpoint.description import Description
from ..hf.checkpoint.files import weights_folder
from ..hf.limits import take_no_note
from ..openai import OpenAiModel
from ..openai.address import read_address
from ..openai.pacing import RateLimits
from .environment import find_python
from .program import LaunchOptions, ServerProgram, telling_arguments
from .server import Server, free_port, start_server

VERSION = 1
"""Of how servers are started and asked; goes up when an answer may change."""
RESTARTS = 3
"""After crashes, in all; then the run ends with the server's own last words."""
ATTEMPTS = 3
"""Of a request at a server of ours: whether it is gone is not a matter of patience."""
NOTICE_SECONDS = 5.0
"""Between a broken connection and the end of the server's process being known, at most."""
LINKS = "xlingual-served-"
"""Begins the names of folders of links."""
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "PYTHONUNBUFFERED": "1"}
"""The weights lie here already; nothing is to be fetched or reported."""


class Described(Protocol):
    """The hf model behind a name."""

    @property
    def description(self) -> Description:
        """All that is known of it without weights."""
        ...


@dataclass(slots=True, kw_only=True)
class ServedModel:
    """A model on a server of its own, which starts with the first answer and ends with `close` or with us."""

    spec: ModelSpec
    inner: Model
    """The same model as the hf backend describes it: its tokenizer counts."""
    program: ServerProgram
    python: str
    options: ModelOptions
    folder: Path | None = field(default=None, init=False)
    """What is served: configuration, tokenizer and weights in one place."""
    server: Server | None = field(default=None, init=False)
    restarts: int = field(default=0, init=False)
    note: Callable[[str], None] = field(default=take_no_note, init=False)

    def on_note(self, note: Callable[[str], None]) -> None:
        """Take the function that is told of crashes."""
        self.note = note

    def count_tokens(self, requests: Sequence[Request]) -> list[int] | None:
        """Return the prompt tokens of each request."""
        return self.inner.count_tokens(requests)

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Answer each request as soon as the server does; after a crash it is started again and asked the rest.

        Raises EnvironmentFault with the end of the server's log where it does not start or keeps crashing.
        """
        pending = {request.key: request for request in requests}
        while pending:
            server = self._running()
            try:
                for response in self._client(server).answer(list(pending.values())):
                    if response.failure is not None and server.has_gone(_patience(response.failure)):
                        break
                    del pending[response.key]
                    yield response
            except EnvironmentFault:
                if server.is_alive():
                    raise
            if pending:
                self._count_crash(server)

    def close(self) -> None:
        """End the server."""
        if self.server is not None:
            self.server.stop()
            self.server = None
        if self.folder is not None and self.folder.name.startswith(LINKS):
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder = None
        self.inner.close()

    def _running(self) -> Server:
        if self.server is not None and self.server.is_alive():
            return self.server
        if self.folder is None:
            self.folder = servable_folder(described(self.inner), self.options)
        port = free_port()
        launch = LaunchOptions(
            python=self.python,
            model=self.folder,
            name=self._name(),
            port=port,
            dtype=self.spec.dtype or "auto",
            device=self.options.device,
            trust_remote_code=described(self.inner).trusted,
            more=self.options.server_args,
        )
        self.server = start_server(self.program.name, port, self.program.command(launch), ENVIRONMENT)
        try:
            self.server.wait_until_healthy(self.program.health)
        except BaseException:
            self.server.stop(keep_log=True)
            raise
        return self.server

    def _client(self, server: Server) -> OpenAiModel:
        most = self.options.batch_size or self.program.most
        limits = RateLimits(start=min(8, most), most=most, attempts=ATTEMPTS, first_attempts=ATTEMPTS)
        return OpenAiModel(spec=self.spec, address=read_address(f"{self._name()}@{server.url}"), limits=limits)

    def _name(self) -> str:
        """Return what requests call the model."""
        return str(self.folder) if self.program.named_by_path else self.spec.name

    def _count_crash(self, server: Server) -> None:
        self.restarts += 1
        if self.restarts > RESTARTS:
            fault = server.fault(f"the server has crashed {self.restarts} times")
            server.stop(keep_log=True)
            raise fault
        self.note(f"the server ended with code {server.watchdog.returncode}; it is started again")
        server.stop()


def _patience(failure: Failure) -> float:
    """Return how long to wait for the end of a server that has not answered, in seconds."""
    return NOTICE_SECONDS if failure.kind == "connection" else 0.0


def described(model: Model) -> Description:
    """Return the description of an hf model, or of one that the packaged default wraps; UsageError for others."""
    inner = getattr(model, "inner", model)
    if not hasattr(inner, "description"):
        raise UsageError("only models in the transformers layout can be served", where=model.spec.word)
    return cast(Described, inner).description


def servable_folder(description: Description, options: ModelOptions) -> Path:
    """Return a folder with all that a server needs, made of links where weights were converted to another place."""
    weights = weights_folder(description.checkpoint, options)
    if description.checkpoint.gguf is None:
        return weights
    links = Path(tempfile.mkdtemp(prefix=LINKS))
    for place in (weights, description.checkpoint.folder):
        for path in place.iterdir():
            if not (links / path.name).exists():
                (links / path.name).symlink_to(path.resolve())
    return links


def open_served(program: ServerProgram, name: str, options: ModelOptions) -> Model:
    """Open the model NAME for a server of `program`; weights, and the server, come with the first answer.

    Raises UsageError and ModelError as the hf backend does, EnvironmentFault where the engine is not installed.
    """
    if not name:
        hint = f"{program.name}:FOLDER or {program.name}:org/name[@revision]"
        raise UsageError("no model is named", where=program.name, hint=hint)
    if options.dtype is None and program.dtype is not None:
        options = replace(options, dtype=program.dtype)
    python, version = find_python(program.name, program.package, options.server_python)
    inner = open_model(name if name == "smollm2" else f"hf:{name}", options)
    described(inner)
    told = telling_arguments(program, options.server_args)
    identity: list[Json] = [program.name, VERSION, version, inner.spec.fingerprint, told]
    spec = replace(inner.spec, word=f"{program.name}:{name}", backend=program.name, fingerprint=content_hash(identity))
    return ServedModel(spec=spec, inner=inner, program=program, python=python, options=options)
