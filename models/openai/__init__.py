"""Models behind servers that speak OpenAI's API: `openai:NAME@http://host/v1`, or `openai:NAME` at OpenAI itself."""

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from xlingual.errors import EnvironmentFault, UsageError
from xlingual.identity import content_hash
from xlingual.plugin import Model, ModelOptions
from xlingual.records import Failure, ModelSpec, Request, Response, failed_response
from xlingual.registry import register_model

from .address import Address, read_address, read_key
from .connection import open_connection
from .pacing import RateLimits
from .schedule import make_schedule
from .stream import iterate

NO_LIKELIHOODS = Failure(
    kind="no likelihoods",
    message="chat servers give no log-likelihoods of given texts; use hf: or lm-eval:local-completions for choices",
)
VERSION = 1
"""Of how requests are put and answers are read; goes up when an answer may change."""


@dataclass(slots=True, kw_only=True)
class OpenAiModel:
    """A model on a server; nothing is open between two calls of `answer`."""

    spec: ModelSpec
    address: Address
    limits: RateLimits

    def count_tokens(self, requests: Sequence[Request]) -> list[int] | None:  # noqa: ARG002 - the protocol's
        """Return None: only the server has the tokenizer."""
        return None

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Answer each request as soon as the server does.

        Raises AuthError, ModelError and EnvironmentFault where no request at all can be answered.
        """
        for request in requests:
            if request.choices is not None:
                yield failed_response(request, NO_LIKELIHOODS)
        requests = [request for request in requests if request.choices is None]
        if not requests:
            return
        key = read_key(self.address)

        async def work(deliver: Callable[[Response], None]) -> None:
            async with open_connection(self.address, key, self.limits) as connection:
                await make_schedule(requests, connection.attempt, deliver, self.limits, self.address.url).run()

        yield from iterate(work)

    def close(self) -> None:
        """Do nothing: connections end with the answers."""


@register_model("openai")
def open_openai(name: str, options: ModelOptions) -> Model:
    """Open the model `NAME[@URL]`; nothing is sent yet.

    Raises UsageError for a wrong word, AuthError where OpenAI's key is missing, EnvironmentFault where the client is
    not installed or the server is on the network and the run is offline.
    """
    if options.revision is not None and "://" in name:
        raise UsageError("a model on a server has no revision to choose", where="--revision")
    # What stands behind the last "@" of a word arrives as a revision, which no server knows.
    address = read_address(name if options.revision is None else f"{name}@{options.revision}")
    if options.offline and not address.loopback:
        raise EnvironmentFault(
            "the server is on the network and the run is offline", where=address.url, hint="leave out --offline"
        )
    if importlib.util.find_spec("openai") is None:
        raise EnvironmentFault("the package openai is not installed", where="openai", hint="pip install 'openai>=2,<4'")
    limits = RateLimits() if options.batch_size is None else RateLimits(max_concurrency=options.batch_size)
    if limits.max_concurrency < 1:
        raise UsageError(f"must be at least 1, got {limits.max_concurrency}", where="--batch-size")
    read_key(address)
    return OpenAiModel(spec=_describe(address), address=address, limits=limits)


def _describe(address: Address) -> ModelSpec:
    return ModelSpec(
        word=f"openai:{address.model}" + ("" if address.official else f"@{address.url}"),
        backend="openai",
        name=address.model,
        revision=None,
        fingerprint=content_hash(["openai", VERSION, address.url, address.model, "temperature 0"]),
        dtype=None,
        template="chat",
        context_length=None,
        parent=None,
    )
