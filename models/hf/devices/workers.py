"""A process that answers requests on a device of its own, and what it says to the process that asks."""

import multiprocessing
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Protocol, cast

from xlingual.data import FileState, known_hashes, learn_hashes
from xlingual.errors import XlingualError
from xlingual.plugin import ModelOptions, Note, SupportsNotes
from xlingual.records import Response
from xlingual.registry import MODELS

from ..tokens.cache import Tokenized

GRACE = 5.0
"""Seconds for a process to end before it is killed."""


class TokenizedModel(SupportsNotes, Protocol):
    """What a process uses of the model that the backend opens."""

    def answer_tokenized(self, tokenized: Sequence[Tokenized]) -> Iterator[Response]:
        """Answer requests whose tokens are known."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSetup:
    """What a process starts with."""

    name: str
    """Of the model."""
    options: ModelOptions
    threads: int
    """Of torch; 0: as torch chooses."""
    hashes: Mapping[FileState, str]
    """Of the files that the parent has read, so that no process reads the weights only for their hash."""


@dataclass(frozen=True, slots=True)
class AllAnswered:
    """All that was asked is answered."""


@dataclass(slots=True, eq=False)
class DeviceWorker:
    """A process, seen from the one that asks."""

    device: str
    process: BaseProcess
    pipe: Connection
    asked: dict[str, Tokenized] = field(default_factory=dict)
    """What it has not answered yet."""
    busy: bool = False

    def ask(self, share: Sequence[Tokenized]) -> None:
        """Hand requests over, with their tokens; OSError where the process is gone."""
        self.asked = {each.request.key: each for each in share}
        self.busy = True
        self.pipe.send(list(share))

    def end(self) -> None:
        """End the process, whatever it is doing."""
        self.pipe.close()
        self.process.terminate()
        self.process.join(GRACE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.process.close()


def start_worker(name: str, options: ModelOptions, threads: int) -> DeviceWorker:
    """Start a process that will answer with the model `name` on `options.device`."""
    setup = WorkerSetup(name=name, options=options, threads=threads, hashes=known_hashes())
    # A fork would copy the threads' locks of torch in whatever state they are.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(setup, theirs), daemon=True)
    process.start()
    theirs.close()
    return DeviceWorker(device=str(options.device), process=process, pipe=ours)


def work(setup: WorkerSetup, pipe: Connection) -> None:
    """Answer lists of requests until there is nobody to ask; the main function of a process."""
    # The terminal sends its signal to every process; ours is told by the one that asks.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch  # noqa: PLC0415 - heavy

    if setup.threads:
        torch.set_num_threads(setup.threads)
    learn_hashes(setup.hashes)
    try:
        model = cast(TokenizedModel, MODELS.get("hf")(setup.name, setup.options))
        model.on_note(lambda message: pipe.send(Note(message)))
        _serve(model, pipe)
    except XlingualError as error:
        pipe.send(error)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        # Whoever asked is gone. Threads of torch and a half-done answer are of no use to anybody.
        os._exit(0)


def _serve(model: TokenizedModel, pipe: Connection) -> None:
    while True:
        share: list[Tokenized] = pipe.recv()
        for response in model.answer_tokenized(share):
            pipe.send(response)
        pipe.send(AllAnswered())


Message = Response | Note | XlingualError | AllAnswered
"""What comes back through the pipe. An error is one that no request is to blame for: the model does not load."""
