"""Models behind servers that speak OpenAI's API: `openai:NAME@http://host/v1`, or `openai:NAME` at OpenAI itself.

address       a word to a URL and a name
credentials   which key and headers go to which host
client        the official client for one server
handshake     the first words with a server: who is it? `facts`: what servers tell; `token_counts`: of prompts
parameters    what a request says besides its words; `refusals`: why a server does not take it
completion    an answer to text, thinking and counts; `message`: its fields; `bodies`: JSON, errors
served_name   whose answer it is; `cut_prompts`: of the whole prompt?
likelihoods   choices
connection    one attempt at one sample
schedule      which sample is asked when; `pacing`: how many at once; `stream`: an event loop as an iterator
"""

import importlib.util
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from xlingual.errors import EnvironmentFault, UsageError
from xlingual.identity import Json, canonical_json, content_hash
from xlingual.plugin import Model, ModelOptions, Note
from xlingual.records import ModelSpec, Request, Response
from xlingual.redaction import environment_secrets, redact, redact_settings
from xlingual.registry import register_model

from .address import Address, read_address
from .bodies import read_json
from .client import open_client
from .connection import Connection
from .credentials import Credentials, key_hint, read_credentials
from .cut_prompts import CutPrompts
from .facts import ServerFacts
from .handshake import Handshake
from .likelihoods import ChoiceScoring
from .pacing import RateLimits, ServerTrouble
from .parameters import RESERVED, ServerParameters, said_of
from .schedule import make_schedule
from .served_name import ServedName
from .stream import iterate
from .token_counts import TokenCounts

if TYPE_CHECKING:
    from openai import AsyncOpenAI

VERSION = 2
"""Of how requests are put and answers are read; goes up when an answer may change."""
USES = (
    "revision",
    "batch_size",
    "max_model_len",
    "extra_body",
    "headers",
    "timeout",
    "concurrency",
    "key_env",
    "sampling",
    "thinking",
)
"""Options that a server can be asked with; --revision has a message of its own."""


def _ignore_note(_note: str) -> None:
    """Do nothing with a note."""


@dataclass(slots=True, kw_only=True)
class OpenAiModel:
    """A model on a server; nothing is open between two calls of `answer`."""

    spec: ModelSpec
    """Its details grow with what the answers show: the name they bear, parameters that the server does not take."""
    address: Address
    limits: RateLimits
    options: ModelOptions = field(default_factory=ModelOptions)
    facts: ServerFacts | None = field(default_factory=ServerFacts)
    """None: nothing listened at the address when the model was opened."""
    extra: Mapping[str, Json] = field(default_factory=dict)
    note: Callable[[str], None] = field(default=_ignore_note, init=False)
    counted: dict[str, int] = field(default_factory=dict, init=False)
    """Prompt tokens, by the content of a request."""

    def on_note(self, note: Callable[[str], None]) -> None:
        """Set the function that is called with a note: what the server does not take, what it calls the model."""
        self.note = note

    def count_tokens(self, requests: Sequence[Request]) -> list[int] | None:
        """Return the prompt tokens of each request where the server counts them, else None: it has the tokenizer.

        Raises EnvironmentFault where it has counted before and does not any more.
        """
        facts = self.facts
        if facts is None or not facts.counts_tokens or facts.program is None:
            return None
        program = facts.program
        asked = [_content_of(request) for request in requests]
        new = {each: request for each, request in zip(asked, requests, strict=True) if each not in self.counted}

        async def count(deliver: Callable[[list[int]], None]) -> None:
            credentials = read_credentials(self.address, self.options.key_env, self.options.headers)
            async with open_client(self.address, credentials, self.limits) as client:
                counts = TokenCounts(client=client, address=self.address, program=program)
                deliver(await counts.count(list(new.values())))

        if new:
            [found] = iterate(count)
            self.counted.update(zip(new, found, strict=True))
        return [self.counted[each] for each in asked]

    def expect_counts(self, requests: Sequence[Request], counts: Sequence[int] | None) -> None:
        """Take the prompt tokens of requests from elsewhere: where the server reads fewer, a note says so."""
        if counts is not None:
            self.counted.update(zip(map(_content_of, requests), counts, strict=True))

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Answer each request as soon as the server does.

        Raises AuthError, ModelError and EnvironmentFault where no request at all can be answered.
        """
        if not requests:
            return
        credentials = read_credentials(self.address, self.options.key_env, self.options.headers)

        async def work(deliver: Callable[[Response | Note], None]) -> None:
            await self._ask(requests, credentials, deliver)

        items: Iterator[Response | Note] = iterate(work)
        for item in items:
            if isinstance(item, Note):
                self.note(item.text)
            else:
                yield item

    async def _ask(
        self, requests: Sequence[Request], credentials: Credentials, deliver: Callable[[Response | Note], None]
    ) -> None:
        async with open_client(self.address, credentials, self.limits) as client:
            handshake = _handshake(self, client, credentials)
            facts = self.facts
            if facts is None:
                facts = await self._greet_again(handshake)
            if self.facts is not None and facts.own_name is not None:
                deliver(Note(f"the server calls the model {facts.own_name!r}"))
            connection = self._connect(handshake, facts, lambda text: deliver(Note(text)))
            scoring = ChoiceScoring(connection=connection, works=set())

            async def attempt(request: Request, heard: Callable[[], None]) -> Response | ServerTrouble:
                return await (connection if request.choices is None else scoring).attempt(request, heard)

            # Choices come first: where the server cannot score them, that is said before anything else is asked.
            ordered = sorted(requests, key=lambda request: request.choices is None)
            try:
                await make_schedule(ordered, attempt, deliver, self.limits, self.address.url).run()
            finally:
                learnt = {**connection.served.details, **connection.parameters.left_out}
                if learnt:
                    self.spec = replace(self.spec, details={**(self.spec.details or {}), **learnt})

    def _connect(self, handshake: Handshake, facts: ServerFacts, note: Callable[[str], None]) -> Connection:
        """Return what asks one sample after the other, which knows nothing but what the handshake has told."""
        program = "openai" if self.address.openai else facts.program
        parameters = ServerParameters(program=program, extra=self.extra, note=note)
        parameters.refuse(sorted(facts.refused), {})
        return Connection(
            client=handshake.client,
            address=self.address,
            hide=handshake.hide,
            mask=handshake.mask,
            key_hint=handshake.key_hint,
            parameters=parameters,
            served=ServedName(
                asked=self.address.model,
                own=facts.own_name,
                strict=self.address.self_hosted and (not facts.listed or facts.program is not None),
                where=self.address.url,
                note=note,
            ),
            cut_prompts=CutPrompts(
                expected=lambda request: self.counted.get(_content_of(request)), leave_out=parameters.leave_out
            ),
            thinks=facts.markers is not None,
        )

    async def _greet_again(self, handshake: Handshake) -> ServerFacts:
        """Return the facts of a server that was not there when the model was opened.

        Raises EnvironmentFault where it is still not there, and where it is one that the run was not planned for.
        """
        facts = await handshake.run_patiently()
        found = describe(self.address, self.options, facts, self.extra)
        if (found.fingerprint, found.context_length) != (self.spec.fingerprint, self.spec.context_length):
            what = "the server has started only now, and the run was planned without what it tells about its model"
            raise EnvironmentFault(what, where=self.address.url, hint="the same command again")
        return facts

    def close(self) -> None:
        """Do nothing: connections end with the answers."""


def _content_of(request: Request) -> str:
    """Return what a request's tokens are of."""
    messages: list[Json] = [[each.role.value, each.text] for each in request.messages]
    choices: list[Json] = [[each.before, each.text] for each in request.choices or ()]
    return content_hash([request.form.value, messages, choices])


def _handshake(model: OpenAiModel, client: "AsyncOpenAI", credentials: Credentials) -> Handshake:
    return Handshake(
        client=client,
        address=model.address,
        limits=model.limits,
        hide=lambda text: redact(text, credentials.secrets),
        mask=credentials.mask,
        key_hint=key_hint(model.address, model.options.key_env),
        has_key=credentials.key is not None or "authorization" in map(str.casefold, credentials.headers),
    )


@register_model("openai", uses=USES)
def open_openai(name: str, options: ModelOptions) -> Model:
    """Open the model `NAME[@URL]` and ask the server who it is; OpenAI itself is asked nothing.

    A server that is not there is none yet: `answer` looks again. Raises UsageError for a wrong word or option,
    AuthError where a key is missing, ModelError where the server has no such model, EnvironmentFault where the client
    is not installed, or the server is on the network and the run is offline.
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
    limits, extra = read_limits(options), read_extra_body(options.extra_body)
    credentials = read_credentials(address, options.key_env, options.headers)
    model = OpenAiModel(
        spec=describe(address, options, None, extra), address=address, limits=limits, options=options, extra=extra
    )

    async def greet(deliver: Callable[[ServerFacts | None], None]) -> None:
        async with open_client(address, credentials, limits) as client:
            deliver(await _handshake(model, client, credentials).run())

    [model.facts] = iterate(greet)
    model.spec = describe(address, options, model.facts, extra)
    return model


def read_limits(options: ModelOptions) -> RateLimits:
    """Return how much is asked at once and how long is waited; UsageError for values that make no sense."""
    limits = RateLimits()
    most = options.concurrency if options.concurrency is not None else options.batch_size
    if most is not None:
        if most < 1:
            where = "--batch-size" if options.concurrency is None else "--concurrency"
            raise UsageError(f"must be at least 1, got {most}", where=where)
        limits = replace(limits, max_concurrency=most)
    if options.timeout is not None:
        if not options.timeout > 0:
            raise UsageError(f"must be above 0, got {options.timeout:g}", where="--timeout")
        seconds = options.timeout
        limits = replace(limits, read_seconds=seconds, sample_seconds=max(limits.sample_seconds, 2 * seconds))
    return limits


def read_extra_body(text: str | None) -> Mapping[str, Json]:
    """Return the object of `--extra-body`; UsageError for what is none, or sets what makes answers unreadable."""
    if text is None:
        return {}
    where, hint = "--extra-body", """a JSON object: '{"repetition_penalty": 1.1}'"""
    try:
        found = read_json(text)
    except ValueError as error:
        raise UsageError(f"not JSON ({error})", where=where, hint=hint) from None
    if not isinstance(found, Mapping):
        raise UsageError("not an object", where=where, hint=hint)
    try:
        json.dumps(found, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:  # NaN, Infinity, half a character
        raise UsageError(f"holds what JSON has no form for ({error})", where=where, hint=hint) from None
    if taken := sorted(RESERVED & set(found)):
        raise UsageError(f"{taken[0]!r} is not for the user to set", where=where, hint="it is part of every question")
    return found


def describe(
    address: Address, options: ModelOptions, facts: ServerFacts | None, extra: Mapping[str, Json]
) -> ModelSpec:
    """Return the spec of a model on a server, with what the server tells about it; `facts` None: it is not there."""
    known = facts or ServerFacts()
    identity: list[Json] = ["openai", VERSION, address.url, address.model, "temperature 0"]
    if known.fingerprinted:
        identity.append({"server": known.fingerprinted})
    if extra:
        identity.append({"extra_body": extra})
    if options.max_model_len is not None:
        identity.append({"max_model_len": options.max_model_len})
    details = known.recorded | {name: said for name in sorted(known.refused) if (said := said_of(name))}
    if extra:
        details["extra_body"] = redact_settings(canonical_json(extra), environment_secrets())
    if facts is None:
        details["server"] = "not there when the run was planned"
    windows = [each for each in (known.context_length, options.max_model_len) if each is not None]
    return ModelSpec(
        word=f"openai:{address.model}" + ("" if address.official else f"@{address.url}"),
        backend="openai",
        name=address.model,
        revision=None,
        fingerprint=content_hash(identity),
        dtype=None,
        template="chat",
        context_length=min(windows, default=None),
        parent=None,
        thinking=known.markers,
        details=details or None,
    )
