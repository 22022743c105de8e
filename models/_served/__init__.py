"""Models behind inference servers that are started, watched and ended here; shared by vllm, sglang and serve.

program       a server program: its command line, and which arguments change its answers
environment   the interpreter that has it
server        the process, its health and its log
watchdog      a script that ends the server when this process is gone
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, cast

from xlingual import open_model
from xlingual.errors import EnvironmentFault, UsageError
from xlingual.identity import Json, content_hash
from xlingual.plugin import Model, ModelOptions, SupportsPromptProof
from xlingual.records import Failure, ModelSpec, Request, Response

from ..hf.checkpoint.description import Description
from ..hf.checkpoint.files import weights_folder
from ..hf.limits import ignore_note
from ..openai import OpenAiModel, read_extra_body, read_limits
from ..openai.address import read_address
from ..openai.facts import ServerFacts
from .environment import find_python
from .program import LaunchOptions, ServerProgram, identifying_arguments
from .server import Server, free_port, start_server

VERSION = 1
"""Of how servers are started and asked; goes up when an answer may change."""
MAX_RESTARTS = 3
"""After crashes, in all; then the run ends with the last lines of the server's log."""
MAX_ATTEMPTS = 3
"""Of a request; few, since whether the server is gone is seen from its process."""
EXIT_SECONDS = 5.0
"""From a broken connection to the end of the server's process, at most."""
USES = (
    "revision", "dtype", "batch_size", "allow_pickle", "trust_remote_code", "max_model_len", "server_python",
    "server_args", "extra_body", "timeout", "concurrency", "sampling", "thinking",
)  # fmt: skip
"""Options that every server program can use."""
LINKS_PREFIX = "xlingual-served-"
"""Of the names of folders of links."""
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "PYTHONUNBUFFERED": "1"}
"""The weights are on this machine; nothing is downloaded or reported."""


class DescribedModel(Protocol):
    """An hf model."""

    @property
    def description(self) -> Description:
        """All that is known of it without its weights."""
        ...


@dataclass(slots=True, kw_only=True)
class ServedModel:
    """A model on a server of its own, which starts with the first answer and ends with `close` or with this process."""

    spec: ModelSpec
    inner: Model
    """The same model as the hf backend describes it; its tokenizer counts the tokens."""
    program: ServerProgram
    python: str
    options: ModelOptions
    folder: Path | None = field(default=None, init=False)
    """With configuration, tokenizer and weights."""
    server: Server | None = field(default=None, init=False)
    restarts: int = field(default=0, init=False)
    note: Callable[[str], None] = field(default=ignore_note, init=False)

    def on_note(self, note: Callable[[str], None]) -> None:
        """Set the function that is called with a note: the server has crashed."""
        self.note = note

    def count_tokens(self, requests: Sequence[Request]) -> list[int] | None:
        """Return the prompt tokens of each request."""
        return self.inner.count_tokens(requests)

    def prove_prompts(self, requests: Sequence[Request]) -> str | None:
        """Return the hash of the token ids of all prompts, by the tokenizer and the template that the server loads."""
        return self.inner.prove_prompts(requests) if isinstance(self.inner, SupportsPromptProof) else None

    def show_prompt(self, request: Request) -> str | None:
        """Return what the server makes of a request, by the same, special tokens shown."""
        return self.inner.show_prompt(request) if isinstance(self.inner, SupportsPromptProof) else None

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Answer each request as soon as the server does; after a crash it is restarted and asked the rest.

        Raises EnvironmentFault with the end of the server's log where it does not start or keeps crashing.
        """
        pending = {request.key: request for request in requests}
        while pending:
            server = self._running()
            client = self._client(server)
            client.expect_counts(requests, self.inner.count_tokens(requests))
            try:
                for response in client.answer(list(pending.values())):
                    if response.failure is not None and server.exits_within(_exit_seconds(response.failure)):
                        break
                    del pending[response.key]
                    yield response
            except EnvironmentFault:
                if server.is_alive():
                    raise
            finally:
                self.spec = client.spec  # with what the answers have shown
            if pending:
                self._count_crash(server)

    def close(self) -> None:
        """End the server."""
        if self.server is not None:
            self.server.stop()
            self.server = None
        if self.folder is not None and self.folder.name.startswith(LINKS_PREFIX):
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder = None
        self.inner.close()

    def _running(self) -> Server:
        if self.server is not None and self.server.is_alive():
            return self.server
        if self.folder is None:
            self.folder = servable_folder(description_of(self.inner), self.options)
        port = free_port()
        launch = LaunchOptions(
            python=self.python,
            model=self.folder,
            name=self._name(),
            port=port,
            dtype=self.spec.dtype or "auto",
            device=self.options.device,
            trust_remote_code=description_of(self.inner).trusted,
            max_model_len=self.options.max_model_len,
            extra_arguments=self.options.server_args,
        )
        self.server = start_server(self.program.name, port, self.program.command(launch), ENVIRONMENT)
        try:
            self.server.wait_until_healthy(self.program.health)
        except BaseException:
            self.server.stop(keep_log=True)
            raise
        return self.server

    def _client(self, server: Server) -> OpenAiModel:
        limits = replace(read_limits(self.options), attempts=MAX_ATTEMPTS, first_attempts=MAX_ATTEMPTS)
        most = self.options.concurrency or self.options.batch_size or self.program.max_concurrency
        client = OpenAiModel(
            spec=self.spec,
            address=read_address(f"{self._name()}@{server.url}"),
            limits=replace(limits, initial_concurrency=min(8, most), max_concurrency=most),
            facts=ServerFacts(program=self.program.name, listed=True),
            extra=read_extra_body(self.options.extra_body),
        )
        client.on_note(self.note)
        return client

    def _name(self) -> str:
        """Return what requests call the model."""
        return str(self.folder) if self.program.named_by_path else self.spec.name

    def _count_crash(self, server: Server) -> None:
        self.restarts += 1
        if self.restarts > MAX_RESTARTS:
            fault = server.fault(f"the server has crashed {self.restarts} times")
            server.stop(keep_log=True)
            raise fault
        self.note(f"the server ended with code {server.watchdog.returncode}; it is started again")
        server.stop()


def _exit_seconds(failure: Failure) -> float:
    """Return how long to wait for the end of a server that has not answered."""
    return EXIT_SECONDS if failure.kind == "connection" else 0.0


def description_of(model: Model) -> Description:
    """Return the description of an hf model, or of one that the packaged default wraps; UsageError for others."""
    inner = getattr(model, "inner", model)
    if not hasattr(inner, "description"):
        raise UsageError("only models in the transformers layout can be served", where=model.spec.word)
    return cast(DescribedModel, inner).description


def servable_folder(description: Description, options: ModelOptions) -> Path:
    """Return a folder with all that a server needs; one of links where the weights were converted elsewhere."""
    weights = weights_folder(description.checkpoint, options)
    if description.checkpoint.gguf is None:
        return weights
    links = Path(tempfile.mkdtemp(prefix=LINKS_PREFIX))
    for folder in (weights, description.checkpoint.folder):
        for path in folder.iterdir():
            if not (links / path.name).exists():
                (links / path.name).symlink_to(path.resolve())
    return links


def open_served(program: ServerProgram, name: str, options: ModelOptions) -> Model:
    """Open the model NAME for a server of `program`; the weights and the server are loaded with the first answer.

    Raises UsageError and ModelError as the hf backend does, EnvironmentFault where the program is not installed.
    """
    if not name:
        hint = f"{program.name}:FOLDER or {program.name}:org/name[@revision]"
        raise UsageError("no model is named", where=program.name, hint=hint)
    if options.dtype is None and program.dtype is not None:
        options = replace(options, dtype=program.dtype)
    python, version = find_python(program.name, program.package, options.server_python)
    extra = read_extra_body(options.extra_body)
    read_limits(options)
    described = replace(options, server_python=None, server_args=(), extra_body=None, timeout=None, concurrency=None)
    inner = open_model(name if name == "smollm2" else f"hf:{name}", described)
    description_of(inner)
    arguments = identifying_arguments(program, options.server_args)
    identity: list[Json] = [program.name, VERSION, version, inner.spec.fingerprint, arguments]
    identity += [{"extra_body": extra}] if extra else []
    spec = replace(inner.spec, word=f"{program.name}:{name}", backend=program.name, fingerprint=content_hash(identity))
    return ServedModel(spec=spec, inner=inner, program=program, python=python, options=options)
