"""The actor of a worker process: a model that answers one chunk at a time."""

import os
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence

from xlingual import open_model
from xlingual.data import FileState, learn_hashes
from xlingual.errors import XlingualError
from xlingual.plugin import ExampleAware, Model, ModelOptions, Note, SupportsNotes
from xlingual.records import Example, Request, Response


class ModelWorker:
    """A model in a process of its own. Its errors are returned as values, since Ray would wrap them."""

    def __init__(self, word: str, options: ModelOptions, threads: int, hashes: Mapping[FileState, str]) -> None:
        """Open nothing yet: `open` does, and returns its errors.

        `hashes` are those that the driver knows, so that a worker on its machine does not read the weights for them.
        """
        # Ray sets one thread; torch reads these when it is imported, which is later.
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = str(threads)
        learn_hashes(hashes)
        self.word = word
        self.options = options
        self.model: Model | None = None
        self.notes: list[str] = []
        self.lock = threading.Lock()
        """Held while a chunk is answered."""
        self.last_cancelled = 0

    def open(self) -> str | XlingualError:
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
        """Answer chunk `number`, each response as soon as it is known, after the notes that came before it."""
        with self.lock:
            if self.model is None or number <= self.last_cancelled:
                return
            if isinstance(self.model, ExampleAware):
                self.model.see(examples)
            responses = self.model.answer(requests)
            try:
                for response in responses:
                    yield from self._new_notes()
                    yield response
                    if number <= self.last_cancelled:
                        break
                yield from self._new_notes()
            except XlingualError as error:
                yield from self._new_notes()
                yield error
            finally:
                if isinstance(responses, Generator):
                    responses.close()

    def _new_notes(self) -> Iterator[Note]:
        while self.notes:  # one at a time: Ray sends into what it iterates over, which a list does not support
            yield Note(self.notes.pop(0))

    def cancel(self, number: int) -> None:
        """Cancel all chunks up to `number`, after the response at hand."""
        self.last_cancelled = max(self.last_cancelled, number)
