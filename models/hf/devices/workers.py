"""A worker process that answers requests on a device of its own, and the messages that it sends to its parent."""

import multiprocessing
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Protocol, cast

from xlingual.data import FileState, known_hashes, learn_hashes
from xlingual.errors import ModelError, XlingualError
from xlingual.plugin import ModelOptions, Note, SupportsNotes
from xlingual.records import ModelSpec, Response
from xlingual.registry import MODELS

from ..tokens.cache import Tokenized

GRACE_SECONDS = 5.0
"""For a worker to end before it is killed."""


class TokenizedModel(SupportsNotes, Protocol):
    """What a worker uses of an `HfModel`."""

    @property
    def spec(self) -> ModelSpec:
        """Which model."""
        ...

    def answer_tokenized(self, tokenized: Sequence[Tokenized]) -> Iterator[Response]:
        """Answer requests that are tokenized already."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSetup:
    """What a worker starts with."""

    name: str
    """Of the model."""
    options: ModelOptions
    threads: int
    """Of torch; 0: as torch chooses."""
    fingerprint: str
    """Of the model as the parent described it."""
    hashes: Mapping[FileState, str]
    """Of the files that the parent has hashed, so that no worker reads the weights only for their hash."""


@dataclass(frozen=True, slots=True)
class AllAnswered:
    """The worker has answered its whole share."""


@dataclass(slots=True, eq=False)
class DeviceWorker:
    """A worker, as its parent sees it."""

    device: str
    process: BaseProcess
    pipe: Connection
    asked: dict[str, Tokenized] = field(default_factory=dict)
    """What it has not answered yet, by key."""
    busy: bool = False

    def ask(self, share: Sequence[Tokenized]) -> None:
        """Send it a share; OSError where the process is gone."""
        self.asked = {each.request.key: each for each in share}
        self.busy = True
        self.pipe.send(list(share))

    def end(self) -> None:
        """End the process, whatever it does."""
        self.pipe.close()
        self.process.terminate()
        self.process.join(GRACE_SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.process.close()


def start_worker(name: str, options: ModelOptions, threads: int, fingerprint: str) -> DeviceWorker:
    """Start a worker for the model `name` on `options.device`, which must have the fingerprint."""
    setup = WorkerSetup(name=name, options=options, threads=threads, fingerprint=fingerprint, hashes=known_hashes())
    # A fork would copy the locks of torch's threads in any state.
    context = multiprocessing.get_context("spawn")
    parent_end, worker_end = context.Pipe()
    process = context.Process(target=run_worker, args=(setup, worker_end), daemon=True)
    process.start()
    worker_end.close()
    return DeviceWorker(device=str(options.device), process=process, pipe=parent_end)


def run_worker(setup: WorkerSetup, pipe: Connection) -> None:
    """Answer shares until the parent is gone; the main function of a worker.

    A model that cannot be opened, or has changed since, is sent to the parent as the error that says so.
    """
    # A terminal sends its signal to every process; the parent decides when a worker ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch  # noqa: PLC0415 - heavy

    if setup.threads:
        torch.set_num_threads(setup.threads)
    learn_hashes(setup.hashes)
    try:
        model = cast(TokenizedModel, MODELS.get("hf")(setup.name, setup.options))
        if model.spec.fingerprint != setup.fingerprint:
            raise ModelError(
                "the model's files have changed since the run began", where=setup.name, hint="start the run again"
            )
        model.on_note(lambda message: pipe.send(Note(message)))
        _serve(model, pipe)
    except XlingualError as error:
        pipe.send(error)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        # The parent is gone: nobody waits for the threads of torch and an unfinished answer.
        os._exit(0)


def _serve(model: TokenizedModel, pipe: Connection) -> None:
    while True:
        share: list[Tokenized] = pipe.recv()
        for response in model.answer_tokenized(share):
            pipe.send(response)
        pipe.send(AllAnswered())


Message = Response | Note | XlingualError | AllAnswered
"""What a worker sends. An error is one that no request is to blame for: the model does not load."""
