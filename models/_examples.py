"""Models that answer from the examples instead of the prompts: what echo, oracle and scripted have in common."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from xlingual.records import Choice, Example, Failure, Finish, Likelihood, ModelSpec, Request, Response
from xlingual.thinking import ThinkingMarkers

UNLIKELY = -1e6
"""Log-likelihood of the choices that are not named: less than that of the other at any length."""
Reply: TypeAlias = Callable[[Example], str | Failure]


@dataclass(slots=True, kw_only=True)
class ExampleModel:
    """A model that looks up the example behind a request and replies to that."""

    spec: ModelSpec
    reply: Reply
    examples: dict[str, Example] = field(default_factory=dict, init=False)

    def see(self, examples: Mapping[str, Example]) -> None:
        """Learn which example stands behind each request key; called before `answer`, any number of times."""
        self.examples.update(examples)

    def count_tokens(self, requests: Sequence[Request]) -> list[int] | None:  # noqa: ARG002 - the protocol's
        """Return None: there is no tokenizer."""
        return None

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Reply to each request in turn; a Failure where its example was not seen."""
        for request in requests:
            example = self.examples.get(request.key)
            unseen = Failure(kind="unseen", message="the model was not shown the example of this request")
            said = unseen if example is None else self.reply(example)
            yield respond(request, said)

    def close(self) -> None:
        """Forget the examples."""
        self.examples.clear()


def respond(request: Request, said: str | Failure) -> Response:
    """Make a response of what was said; with choices, it is certain of the one that was named."""
    found = said if request.choices is None or isinstance(said, Failure) else _likelihoods(said, request.choices)
    text = found if isinstance(found, str) else None
    return Response(
        key=request.key,
        text=text,
        failure=found if isinstance(found, Failure) else None,
        finish=None if text is None else Finish.EOS,
        prompt_tokens=None,
        tokens=None,
        likelihoods=found if isinstance(found, tuple) else None,
    )


def _likelihoods(said: str, choices: Sequence[Choice]) -> tuple[Likelihood, ...] | Failure:
    named = [choice.text.strip() == said.strip() for choice in choices]
    if not any(named):
        return Failure(kind="no such choice", message=f"{said[:60]!r} is none of the {len(choices)} choices")
    return tuple(Likelihood(logarithm=0.0 if hit else UNLIKELY, is_greedy=hit, tokens=None) for hit in named)


def describe(
    *, word: str, backend: str, name: str, fingerprint: str, thinking: ThinkingMarkers | None = None
) -> ModelSpec:
    """Return the spec of a model without weights, template and context window."""
    return ModelSpec(
        word=word,
        backend=backend,
        name=name,
        revision=None,
        fingerprint=fingerprint,
        dtype=None,
        template="raw",
        context_length=None,
        parent=None,
        thinking=thinking,
    )
