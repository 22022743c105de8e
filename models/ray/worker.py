"""What runs in a worker process: the model, asked one chunk at a time."""

import os
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence

from xlingual import open_model
from xlingual.data import FileState, learn_hashes
from xlingual.errors import XlingualError
from xlingual.plugin import ExampleAware, Model, ModelOptions, Note, SupportsNotes
from xlingual.records import Example, Request, Response


class ModelWorker:
    """A model in a process of its own; what it raises travels as a value, since Ray would wrap it."""

    def __init__(self, word: str, options: ModelOptions, threads: int, hashes: Mapping[FileState, str]) -> None:
        """Nothing is opened yet: `hello` does, so that its errors can be told.

        `hashes` are those that the driver knows: a worker on the same machine does not read the weights again for them.
        """
        # Ray gives a worker one thread; this comes before torch is imported.
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = str(threads)
        learn_hashes(hashes)
        self.word = word
        self.options = options
        self.model: Model | None = None
        self.notes: list[str] = []
        self.one_at_a_time = threading.Lock()
        self.last_stopped = 0

    def hello(self) -> str | XlingualError:
        """Open the model and return its fingerprint."""
        try:
            self.model = open_model(self.word, self.options)
        except XlingualError as error:
            return error
        if isinstance(self.model, SupportsNotes):
            self.model.on_note(self.notes.append)
        return self.model.spec.fingerprint

    def answer(
        self, number: int, requests: Sequence[Request], examples: Mapping[str, Example]
    ) -> Iterator[Response | Note | XlingualError]:
        """Answer chunk `number`, each response as soon as it is known, after what was told on the way to it."""
        with self.one_at_a_time:
            if self.model is None or number <= self.last_stopped:
                return
            if isinstance(self.model, ExampleAware):
                self.model.see(examples)
            responses = self.model.answer(requests)
            try:
                for response in responses:
                    yield from self._told()
                    yield response
                    if number <= self.last_stopped:
                        break
                yield from self._told()
            except XlingualError as error:
                yield from self._told()
                yield error
            finally:
                if isinstance(responses, Generator):
                    responses.close()

    def _told(self) -> Iterator[Note]:
        while self.notes:  # each by itself: Ray sends into what it iterates over, which lists cannot take
            yield Note(self.notes.pop(0))

    def stop(self, number: int) -> None:
        """Give up all chunks up to `number` after the answer at hand."""
        self.last_stopped = max(self.last_stopped, number)
