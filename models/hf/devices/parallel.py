"""A model on several devices of one machine: a worker process for each, requests split so that prefixes stay together.

A worker that dies loses no answer: what it had not answered is asked again in halves, until the request that kills
workers is alone and gets a Failure. Workers end with the model, and by themselves where their parent is gone.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from multiprocessing.connection import wait

from xlingual.errors import EnvironmentFault, UsageError, XlingualError
from xlingual.plugin import ModelOptions, Note
from xlingual.records import Failure, ModelSpec, Request, Response, failed_response

from ..checkpoint.description import Description
from ..diagnosis import diagnose, engine_words, recorded
from ..limits import ignore_note
from ..packed.prefix_tree import common_prefix_length
from ..tokens.cache import TokenCache, Tokenized
from ..tokens.prompt_proof import prove_prompts, show_prompt
from ..tokens.rendering import Rendered
from .workers import AllAnswered, DeviceWorker, Message, start_worker

MAX_CRASHES = 24
"""Workers lost in one call; then all that is unanswered fails, for the machine is at fault."""
CUT_SLACK = 8
"""A cut may move by one part in so many of a share to where two prompts have a shorter prefix in common."""


@dataclass(slots=True, kw_only=True)
class ParallelModel:
    """A transformers model whose requests are answered by one worker process a device."""

    name: str
    description: Description
    options: ModelOptions
    devices: tuple[str, ...]
    tokens: TokenCache = field(init=False)
    """Of the requests that were counted and are not answered yet."""
    workers: list[DeviceWorker] = field(default_factory=list, init=False)
    note: Callable[[str], None] = field(default=ignore_note, init=False)

    def __post_init__(self) -> None:
        """Start with an empty token cache."""
        self.tokens = TokenCache(self.description.tokenizer_context)

    @property
    def spec(self) -> ModelSpec:
        """Which model; its details say which engine answers, as far as the configuration tells."""
        spec = self.description.spec
        return replace(spec, details=recorded(spec.details, engine_words(self.description, self.options, None)))

    def diagnose(self, *, weights: bool) -> tuple[Mapping[str, str], str | None]:
        """Return how the model computes by its configuration; UsageError with `weights`: one device tries them."""
        if weights:
            raise UsageError("the weights are tried on one device", where="--device", hint="name one of them")
        return diagnose(self.description, self.options, None)

    def on_note(self, note: Callable[[str], None]) -> None:
        """Set the function that is called with a note: a worker died, or has a note of its own."""
        self.note = note

    def count_tokens(self, requests: Sequence[Request]) -> list[int]:
        """Return the prompt tokens of each request, special tokens included; 0 for one that cannot be rendered."""
        return self.tokens.count(requests)

    def prove_prompts(self, requests: Sequence[Request]) -> str:
        """Return the hash of the token ids of all prompts; ModelError where none of them holds its question."""
        return prove_prompts(self.description.tokenizer, self.tokens.keep(requests))

    def show_prompt(self, request: Request) -> str | None:
        """Return what the model reads, special tokens shown; None where the request cannot be rendered."""
        [found] = self.tokens.keep([request])
        return None if isinstance(found, Failure) else show_prompt(self.description.tokenizer, found)

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Answer every request, each response as soon as a worker sends it."""
        for note in () if self.workers else self.description.notes:
            self.note(note)
        tokenized = yield from self.tokens.take_tokenized(requests)
        # A stack: a share that has to be asked again goes next, to the first free worker.
        shares = split(tokenized, len(self.devices))[::-1]
        crashes = 0
        try:
            while self._assign(shares):
                for worker in self._ready_workers():
                    try:
                        message: Message = worker.pipe.recv()
                    except (EOFError, OSError):
                        crashes += 1
                        yield from self._requeue_lost(worker, shares, crashes)
                    else:
                        yield from _handle(worker, message, self.note)
        finally:
            for worker in [each for each in self.workers if each.busy]:
                self._end_worker(worker)

    def close(self) -> None:
        """End all workers and free the token cache."""
        self.tokens.clear()
        for worker in list(self.workers):
            self._end_worker(worker)

    def _assign(self, shares: list[list[Tokenized]]) -> bool:
        """Give shares to idle workers, starting those that are missing; False where all is answered."""
        while shares and (worker := self._idle_worker()) is not None:
            try:
                worker.ask(shares.pop())
            except OSError:
                # It has died, which the next read from its pipe shows.
                break
        return any(worker.busy for worker in self.workers)

    def _idle_worker(self) -> DeviceWorker | None:
        for worker in self.workers:
            if not worker.busy:
                return worker
        if len(self.workers) == len(self.devices):
            return None
        used = [worker.device for worker in self.workers]
        device = next(each for each in self.devices if used.count(each) < self.devices.count(each))
        on_cpu = device.startswith("cpu")
        threads = max(1, (os.cpu_count() or 1) // len(self.devices)) if on_cpu else 0
        options = replace(self.options, device=device)
        self.workers.append(start_worker(self.name, options, threads, self.spec.fingerprint))
        return self.workers[-1]

    def _ready_workers(self) -> list[DeviceWorker]:
        ready = wait([worker.pipe for worker in self.workers if worker.busy])
        return [worker for worker in self.workers if worker.pipe in ready]

    def _requeue_lost(self, worker: DeviceWorker, shares: list[list[Tokenized]], crashes: int) -> Iterator[Response]:
        """Put what a dead worker had not answered back to `shares`, or fail it."""
        lost = list(worker.asked.values())
        worker.process.join(1.0)
        what = f"the process on {worker.device} died (exit code {worker.process.exitcode})"
        self._end_worker(worker)
        if len(lost) <= 1 or crashes >= MAX_CRASHES:
            self.note(f"{what}; {len(lost)} requests failed")
            for each in lost:
                yield failed_response(each.request, Failure(kind="process died", message=what))
            return
        self.note(f"{what}; {len(lost)} requests are asked again")
        half = len(lost) // 2
        shares += [lost[half:], lost[:half]]

    def _end_worker(self, worker: DeviceWorker) -> None:
        self.workers.remove(worker)
        worker.end()


def _handle(worker: DeviceWorker, message: Message, note: Callable[[str], None]) -> Iterator[Response]:
    if isinstance(message, AllAnswered):
        worker.busy = False
        for each in worker.asked.values():
            yield failed_response(each.request, Failure(kind="no answer", message=f"{worker.device} gave none"))
        worker.asked = {}
    elif isinstance(message, Note):
        note(f"{worker.device}: {message.text}")
    elif isinstance(message, XlingualError):
        note(f"{worker.device}: {message}")
        raise message
    elif worker.asked.pop(message.key, None) is not None:
        yield message


def split(tokenized: Sequence[Tokenized], count: int) -> list[list[Tokenized]]:
    """Return the requests in at most `count` shares of about the same work, cut where few tokens are shared.

    Neighbours in the order of their tokens share prefixes, which a share computes once.
    """
    if not tokenized:
        return []
    ordered = sorted(tokenized, key=_leading_ids)
    shared = [0] + [common_prefix_length(_leading_ids(a), _leading_ids(b)) for a, b in pairwise(ordered)]
    work = [len(_leading_ids(each)) - prefix + _more_tokens(each) for each, prefix in zip(ordered, shared, strict=True)]
    sums = list(accumulate(work))
    cuts = [0]
    slack = len(ordered) // count // CUT_SLACK
    for number in range(1, count):
        even = 1 + next(index for index, total in enumerate(sums) if total * count >= sums[-1] * number)
        near = range(max(cuts[-1] + 1, even - slack), min(len(ordered), even + slack + 1))
        if near:
            cuts.append(min(near, key=lambda index: (shared[index], abs(index - even))))
    return [ordered[first:last] for first, last in zip(cuts, [*cuts[1:], len(ordered)], strict=True) if first < last]


def _leading_ids(tokenized: Tokenized) -> tuple[int, ...]:
    """Return the tokens that may share a prefix with others: the prompt, or the first choice with its context."""
    return tokenized.ids if isinstance(tokenized, Rendered) else tokenized.windows[0][0].ids


def _more_tokens(tokenized: Tokenized) -> int:
    """Return how many more tokens are computed, at most: new ones, or the scored ones of the choices."""
    if isinstance(tokenized, Rendered):
        return tokenized.request.max_new_tokens + (tokenized.request.max_thinking_tokens or 0)
    return sum(len(each.ids) - each.first for choice in tokenized.windows for each in choice)


def devices_of(word: str | None) -> tuple[str, ...]:
    """Return the devices that `--device` names: "cuda:0,cuda:1", "cuda:all", "cpu"; none for None.

    UsageError for devices of two kinds or one named twice, EnvironmentFault for "cuda:all" without any.
    """
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
