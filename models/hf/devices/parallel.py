"""A model on several devices of one machine: a process for each, the requests split so that prefixes stay together.

A process that dies costs time and no answer: what it had not answered is asked again, in halves, until the request that
kills is alone and gets a Failure. Processes end with the model, and by themselves where their parent is gone.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from multiprocessing.connection import wait

from xlingual.errors import EnvironmentFault, ModelError, UsageError
from xlingual.plugin import ModelOptions, Note
from xlingual.records import Failure, ModelSpec, Request, Response

from ..checkpoint.description import Description
from ..limits import take_no_note
from ..packed.prefix_tree import common_prefix_length
from ..responses import failed
from ..tokens.choices import count_tokens
from ..tokens.rendering import Rendered, render
from .workers import AllAnswered, DeviceWorker, LoadFailure, Message, start_worker

MOST_DEATHS = 24
"""Processes lost in one call; then all that is unanswered fails, for it is the machine that is at fault."""
LEEWAY = 8
"""A cut may move by one part in so many of a share to where two prompts have less in common."""


@dataclass(slots=True, kw_only=True)
class ParallelModel:
    """A transformers model whose requests are answered by one process a device."""

    name: str
    description: Description
    options: ModelOptions
    devices: tuple[str, ...]
    workers: list[DeviceWorker] = field(default_factory=list, init=False)
    note: Callable[[str], None] = field(default=take_no_note, init=False)

    @property
    def spec(self) -> ModelSpec:
        """Which model."""
        return self.description.spec

    def on_note(self, note: Callable[[str], None]) -> None:
        """Take the function that is told of lost processes and short memory."""
        self.note = note

    def count_tokens(self, requests: Sequence[Request]) -> list[int]:
        """Return the prompt tokens of each request, special tokens included; 0 for one that cannot be rendered."""
        return count_tokens(self.description.reader, requests)

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Answer every request, each response as soon as one of the processes has it."""
        prompts: list[Rendered] = []
        for request, each in zip(requests, self._render(requests), strict=True):
            if not isinstance(each, Failure):
                prompts.append(each)
            elif request.choices is not None:  # what stands before a choice may be nothing at all
                prompts.append(Rendered(request=request, ids=()))
            else:
                yield failed(request, each)
        # A share that has to be asked again is taken next, by whoever is free.
        shares = [[each.request for each in share] for share in split(prompts, len(self.devices))][::-1]
        deaths = 0
        try:
            while self._assign(shares):
                for worker in self._ready_workers():
                    try:
                        message: Message = worker.pipe.recv()
                    except (EOFError, OSError):
                        deaths += 1
                        yield from self._requeue_lost(worker, shares, deaths)
                    else:
                        yield from _receive(worker, message, self.note)
        finally:
            for worker in [each for each in self.workers if each.busy]:
                self._end_worker(worker)

    def close(self) -> None:
        """End all processes."""
        for worker in list(self.workers):
            self._end_worker(worker)

    def _render(self, requests: Sequence[Request]) -> list[Rendered | Failure]:
        return render(self.description.tokenizer, requests, self.description.vocabulary)

    def _assign(self, shares: list[list[Request]]) -> bool:
        """Give shares to processes that have nothing to do, new ones where they are missing; False: all is done."""
        while shares and (worker := self._free()) is not None:
            try:
                worker.ask(shares.pop())
            except OSError:
                # Its death shows as soon as it is listened to.
                break
        return any(worker.busy for worker in self.workers)

    def _free(self) -> DeviceWorker | None:
        for worker in self.workers:
            if not worker.busy:
                return worker
        if len(self.workers) == len(self.devices):
            return None
        used = [worker.device for worker in self.workers]
        device = next(each for each in self.devices if used.count(each) < self.devices.count(each))
        on_cpu = device.startswith("cpu")
        threads = max(1, (os.cpu_count() or 1) // len(self.devices)) if on_cpu else 0
        self.workers.append(start_worker(self.name, replace(self.options, device=device), threads))
        return self.workers[-1]

    def _ready_workers(self) -> list[DeviceWorker]:
        ready = wait([worker.pipe for worker in self.workers if worker.busy])
        return [worker for worker in self.workers if worker.pipe in ready]

    def _requeue_lost(self, worker: DeviceWorker, shares: list[list[Request]], deaths: int) -> Iterator[Response]:
        """Put what a dead process had not answered back to `shares`, or give it up."""
        lost = list(worker.asked.values())
        worker.process.join(1.0)
        what = f"the process on {worker.device} died (exit code {worker.process.exitcode})"
        self._end_worker(worker)
        if len(lost) <= 1 or deaths >= MOST_DEATHS:
            self.note(f"{what}; {len(lost)} requests failed")
            for request in lost:
                yield failed(request, Failure(kind="process died", message=what))
            return
        self.note(f"{what}; {len(lost)} requests are asked again")
        half = len(lost) // 2
        shares += [lost[half:], lost[:half]]

    def _end_worker(self, worker: DeviceWorker) -> None:
        self.workers.remove(worker)
        worker.end()


def _receive(worker: DeviceWorker, message: Message, note: Callable[[str], None]) -> Iterator[Response]:
    if isinstance(message, AllAnswered):
        worker.busy = False
        for request in worker.asked.values():
            yield failed(request, Failure(kind="no answer", message=f"{worker.device} gave none"))
        worker.asked = {}
    elif isinstance(message, Note):
        note(f"{worker.device}: {message.text}")
    elif isinstance(message, LoadFailure):
        raise ModelError(message.what, where=worker.device, hint=message.hint)
    elif worker.asked.pop(message.key, None) is not None:
        yield message


def split(prompts: Sequence[Rendered], count: int) -> list[list[Rendered]]:
    """Return the prompts in at most `count` shares of like work; cuts avoid to part prompts that share a prefix."""
    if not prompts:
        return []
    ordered = sorted(prompts, key=lambda prompt: prompt.ids)
    shared = [0] + [common_prefix_length(a.ids, b.ids) for a, b in pairwise(ordered)]
    work = [len(each.ids) - known + each.request.max_new_tokens for each, known in zip(ordered, shared, strict=True)]
    sums = list(accumulate(work))
    cuts = [0]
    for place in range(1, count):
        near = 1 + next(at for at, total in enumerate(sums) if total * count >= sums[-1] * place)
        leeway = len(ordered) // count // LEEWAY
        around = range(max(cuts[-1] + 1, near - leeway), min(len(ordered), near + leeway + 1))
        if around:
            cuts.append(min(around, key=lambda at: (shared[at], abs(at - near))))
    return [ordered[first:last] for first, last in zip(cuts, [*cuts[1:], len(ordered)], strict=True) if first < last]


def devices_of(word: str | None) -> tuple[str, ...]:
    """Return the devices that `--device` names: "cuda:0,cuda:1", "cuda:all", "cpu"; none for None."""
    if word is None:
        return ()
    if word == "cuda:all":
        import torch  # noqa: PLC0415 - heavy

        if not torch.cuda.is_available():
            raise EnvironmentFault("this machine has no cuda device", where="--device", hint="leave --device out")
        return tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))
    devices = tuple(each.strip() for each in word.split(","))
    kinds = {each.partition(":")[0] for each in devices}
    if "" in kinds or len(kinds) > 1:
        raise UsageError(f"not devices of one kind: {word!r}", where="--device", hint="cuda:0,cuda:1 or cuda:all")
    if len(set(devices)) < len(devices) and kinds != {"cpu"}:
        raise UsageError(f"a device is named twice: {word!r}", where="--device")
    return devices
