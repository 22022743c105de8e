"""The majority baseline: one answer to all questions of a task, that which is right most often.

Of choices it takes the place that is right most often, of free answers the gold answer that most examples share. It
counts over the whole split, so that a limited run has the answers of the whole one.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from xlingual.errors import UsageError
from xlingual.identity import content_hash
from xlingual.plugin import Model, ModelOptions
from xlingual.records import Example, Failure, ModelSpec, Request, Response
from xlingual.registry import register_model

from ._examples import describe, respond


@register_model("majority")
def open_majority(name: str, options: ModelOptions) -> Model:  # noqa: ARG001 - nothing is loaded
    """Open the model that always gives the most frequent answer; UsageError for a name."""
    if name:
        raise UsageError(f"takes no name, got {name!r}", where="majority")
    spec = describe(word="majority", backend="majority", name="majority", fingerprint=content_hash(["majority", 1]))
    return MajorityModel(spec=spec)


@dataclass(frozen=True, slots=True)
class _Majority:
    """What is right most often in a task; None where no example has it."""

    text: str | None
    place: int | None


@dataclass(slots=True, kw_only=True)
class MajorityModel:
    """A model that looks at no question, only at which one of a task's it is."""

    spec: ModelSpec
    found: dict[str, _Majority] = field(default_factory=dict, init=False)

    def see_split(self, keys: Collection[str], examples: Sequence[Example]) -> None:
        """Count the gold answers of a task; of equal counts the first in the order of the data is taken."""
        texts = Counter(example.targets[0] for example in examples if example.targets)
        places = Counter(
            example.choices.index(example.targets[0])
            for example in examples
            if example.choices and example.targets and example.targets[0] in example.choices
        )
        first = _Majority(
            text=max(texts, key=texts.__getitem__, default=None),
            place=max(places, key=places.__getitem__, default=None),
        )
        self.found.update(dict.fromkeys(keys, first))

    def count_tokens(self, requests: Sequence[Request]) -> list[int] | None:  # noqa: ARG002 - the protocol's
        """Return None: there is no tokenizer."""
        return None

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Give every request of a task the same answer; a Failure where the task has no gold answers."""
        for request in requests:
            yield respond(request, self._choose(request))

    def close(self) -> None:
        """Forget the counts."""
        self.found.clear()

    def _choose(self, request: Request) -> str | Failure:
        majority = self.found.get(request.key, _Majority(None, None))
        if request.choices is not None and majority.place is not None:
            return request.choices[min(majority.place, len(request.choices) - 1)].text
        if majority.text is None:
            return Failure(kind="no gold answers", message="the task has none to count")
        return majority.text
