"""One attempt at one sample: the request through the official client, and its result."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from xlingual.errors import AuthError, ModelError
from xlingual.identity import Json, repair_surrogates
from xlingual.records import Failure, Form, Request, Response, Role, failed_response
from xlingual.thinking import ThinkingMode, split_thinking

from .address import Address
from .bodies import describe
from .body_limits import BodyFault
from .client import UNREACHED
from .completion import (
    Completion,
    is_cut_in_thinking,
    make_response,
    may_be_cut_too_early,
    opening_of,
    read_body,
    sendable,
)
from .cut_prompts import CutPrompts
from .handshake import missing_model
from .pacing import BUSY, RETRIED, ServerTrouble, retry_after
from .parameters import NEW_LIMIT, ServerParameters, limit_of
from .refusals import (
    REFUSED,
    LengthRefusal,
    Refusal,
    hidden_refusal,
    read_length_refusal,
    redirection,
    refused_parameters,
)
from .served_name import ServedName

if TYPE_CHECKING:
    from openai import AsyncAPIResponse, AsyncOpenAI
    from openai._response import AsyncResponseContextManager as Manager  # it has no public name
    from openai.types import Completion as TextCompletion
    from openai.types.chat import ChatCompletion, ChatCompletionMessageParam

    Item = TypeVar("Item")
    Stream: TypeAlias = Manager[AsyncAPIResponse[Item]]

MOST_TRIES = 24
"""Requests that one attempt may send while it finds out what the server takes."""
LIST_SECONDS = 10.0
"""For a server to list its models after it refused one."""
LEAST_TOKENS = 1


@dataclass(slots=True, kw_only=True)
class Connection:
    """A model behind an open connection."""

    client: "AsyncOpenAI"
    address: Address
    hide: Callable[[str], str]
    """Takes the secrets out of a message."""
    mask: Callable[[bytes], bytes]
    """Takes the keys out of what a server sent."""
    key_hint: str
    """What to do where the server refuses the key."""
    parameters: ServerParameters
    served: ServedName
    cut_prompts: CutPrompts
    thinks: bool = False
    """Whether the model is known to think: by its chat template, or by an answer."""
    most_tokens: int | None = None
    """Of any answer, where the server has said so."""
    opening: str | None = None
    """The marker with which this server's prompts open the thinking, where answers have shown that they do."""
    trial: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by the one request that tries a parameter for the first time."""

    async def attempt(self, request: Request, heard: Callable[[], None]) -> Response | ServerTrouble:
        """Ask `request` once, or as often as it takes to find out what the server understands.

        Raises AuthError where the key is refused or has no money left, ModelError where there is no such model.
        """
        self.parameters.check_thinking(request)
        # Stop strings would end the thinking, too: where the model is known to think, answers are cut here.
        thinks = request.form is Form.CHAT and (request.thinking is ThinkingMode.ON or self.thinks)
        sent = () if thinks or "stop" in self.parameters.refused else sendable(request.stop)
        found = await self._ask(request, sent, heard)
        if isinstance(found, Completion) and sent and self._is_cut_wrongly(found, sent):
            sent = ()
            found = await self._ask(request, sent, heard)
        if isinstance(found, ServerTrouble):
            return found
        if isinstance(found, Failure):
            return failed_response(request, found)
        self.served.check(found)
        self.cut_prompts.check(request, found)
        return make_response(request, found, sent, self.opening if request.form is Form.CHAT else None)

    def _is_cut_wrongly(self, found: Completion, sent: tuple[str, ...]) -> bool:
        return may_be_cut_too_early(found, sent) or is_cut_in_thinking(found, opened=self.opening is not None)

    async def _ask(
        self, request: Request, stop: tuple[str, ...], heard: Callable[[], None]
    ) -> Completion | Failure | ServerTrouble:
        most = min(limit_of(request), self.most_tokens or limit_of(request))
        for _ in range(MOST_TRIES):
            body = await self.send_learning(request, partial(self.parameters.fields, request, stop, most), heard)
            if isinstance(body, ServerTrouble):
                return body
            if isinstance(body, Refusal):
                length = read_length_refusal(body.body) if body.status in (*REFUSED, 413) else None
                fewer = None if length is None else self._shorten(length, most)
                if fewer is None:
                    return await self.refused(body, too_long=length is not None)
                most = fewer
                continue
            completion = read_body(body, request.form, self.hide)
            # One more than asked for: some servers count the end token.
            most_counted = None if self.parameters.has_own_limit else limit_of(request) + 1
            if isinstance(completion, Completion) and most_counted and (completion.tokens or 0) > most_counted:
                if self.parameters.limit_field(request) == NEW_LIMIT:
                    self.parameters.refused.add(NEW_LIMIT)
                    continue
                message = f"the server generated {completion.tokens} tokens, {limit_of(request)} were asked for"
                return Failure(kind="limit ignored", message=message)
            if isinstance(completion, Completion):
                self._learn_thinking(completion)
            return completion
        return Failure(kind="refused", message=f"the server refused {MOST_TRIES} forms of the request")

    def _learn_thinking(self, completion: Completion) -> None:
        if completion.thinking is None and self.opening is None:
            self.opening = opening_of(completion)
        thinks = completion.thinking is not None or split_thinking(completion.text).thinking is not None
        self.thinks = self.thinks or thinks

    def _shorten(self, length: LengthRefusal, most: int) -> int | None:
        """Return a smaller limit of new tokens that may fit, None where the prompt alone is too long."""
        if length.room is not None:
            fewer = length.room
        elif length.most is not None:
            fewer = self.most_tokens = length.most
        else:
            fewer = most // 2
        if not LEAST_TOKENS <= fewer < most:
            return None
        window = "" if length.window is None else f" of {length.window} tokens"
        self.parameters.leave_out(
            "max_new_tokens", f"less than asked for where the server's window{window} leaves less"
        )
        return fewer

    async def send_learning(
        self, request: Request, fields: Callable[[], dict[str, Json]], heard: Callable[[], None]
    ) -> bytes | Refusal | ServerTrouble:
        """Send a request with what the server takes of `fields`; one that is untried is tried by one request alone."""
        for _ in range(MOST_TRIES):
            tried = fields()
            if self.parameters.untried(tried):
                async with self.trial:
                    tried = fields()
                    found = await self.send(request, tried, heard)
                    if isinstance(found, bytes):
                        self.parameters.take(tried)
                    has_learnt = self._has_learnt(found, tried)
            else:
                found = await self.send(request, tried, heard)
                has_learnt = self._has_learnt(found, tried)
            if not has_learnt:
                return found
        return ServerTrouble(kind="refused", message=f"{MOST_TRIES} forms of the request were refused", retry=False)

    def _has_learnt(self, found: bytes | Refusal | ServerTrouble, tried: dict[str, Json]) -> bool:
        """Whether the server has named parameters that it does not take, so that asking without them may help."""
        if not isinstance(found, Refusal) or found.status not in REFUSED or read_length_refusal(found.body):
            return False
        return self.parameters.refuse(refused_parameters(found.body, list(tried)), tried)

    async def send(
        self, request: Request, fields: dict[str, Json], heard: Callable[[], None]
    ) -> bytes | Refusal | ServerTrouble:
        """Send a request once and return the body of the answer, whatever is in it."""
        import openai  # noqa: PLC0415 - optional

        parts = []
        try:
            async with self._open(request, fields) as response:
                wait = retry_after(response.headers)
                async for part in response.iter_bytes():
                    heard()
                    parts.append(part)
        except openai.APIStatusError as error:
            heard()
            said = redirection(error.status_code, error.response.headers) or error.response.text
            return Refusal(status=error.status_code, body=said, wait=retry_after(error.response.headers))
        except openai.APIConnectionError as error:
            return self._broken(error)
        except Exception as error:  # noqa: BLE001 - the model call: whatever the client does is this sample's failure
            return self._broken(error)
        body = self.mask(b"".join(parts))
        return hidden_refusal(body.decode("utf-8", "replace"), wait) or body

    def _open(self, request: Request, fields: dict[str, Json]) -> "Stream[ChatCompletion] | Stream[TextCompletion]":
        """Return what sends a request when it is entered, so that its body can be read as it comes."""
        name = self.address.model
        if request.form is Form.CHAT:
            chats = self.client.chat.completions.with_streaming_response
            return chats.create(model=name, messages=_messages(request), extra_body=fields)
        prompt = repair_surrogates("".join(message.text for message in request.messages))
        return self.client.completions.with_streaming_response.create(model=name, prompt=prompt, extra_body=fields)

    def _broken(self, error: Exception) -> ServerTrouble:
        import openai  # noqa: PLC0415 - optional

        cause = error.__cause__ if isinstance(error, openai.APIConnectionError) else error
        if isinstance(cause, BodyFault):
            return ServerTrouble(kind=cause.kind, message=str(cause), retry=False, final=True)
        name = type(cause).__name__ if cause else type(error).__name__
        slow = "Timeout" in name
        # What breaks while a body is read is not wrapped by the client.
        lost = isinstance(error, openai.APIConnectionError) or slow or name.endswith(("ProtocolError", "ReadError"))
        return ServerTrouble(
            kind="timeout" if slow else "connection" if lost else name,
            message=self.hide(f"{name}: {cause or error}" if str(cause or "") else name),
            retry=lost,
            reached=name not in UNREACHED,
        )

    async def refused(self, refusal: Refusal, *, too_long: bool) -> Failure | ServerTrouble:
        """Return what a refusal makes of the sample. Raises what ends the run."""
        status = refusal.status
        said = describe(refusal.body, self.hide)
        if refusal.is_quota:
            what = f"the account has no quota left (HTTP {status}): {said}"
            raise AuthError(what, where=self.address.url, hint="the same command asks the rest when it has")
        if status in (401, 403):
            what = f"the server refused the credentials (HTTP {status}): {said}"
            raise AuthError(what, where=self.address.url, hint=self.key_hint)
        if refusal.names_no_model:
            raise await self._missing(said)
        if too_long:
            return Failure(kind="prompt too long", message=f"the server answered {status}: {said}")
        may_pass = status in RETRIED or status >= 500
        return ServerTrouble(
            kind=f"HTTP {status}",
            message=f"the server answered {status}: {said}",
            retry=may_pass,
            final=not may_pass,
            busy=status in BUSY,
            wait=refusal.wait,
        )

    async def _missing(self, message: str) -> ModelError:
        """Return the error that says which models there are; `message` is the server's."""
        model = self.address.model
        try:
            page = await self.client.models.list(timeout=LIST_SECONDS)
            names = [str(each.id) for each in page.data]
        except Exception:  # noqa: BLE001 - the list is a courtesy
            what = f"no such model {model!r}, or no such address: {message}"
            return ModelError(what, where=self.address.url, hint="the URL mostly ends in /v1")
        if model in names:
            hint = "it may serve chats only (--template chat) or texts only (--template raw)"
            return ModelError(f"{model!r} is served, but not so: {message}", where=self.address.url, hint=hint)
        return missing_model(self.address, names, self.hide)


def _messages(request: Request) -> "list[ChatCompletionMessageParam]":
    messages: list[ChatCompletionMessageParam] = []
    for message in request.messages:
        text = repair_surrogates(message.text)
        if message.role is Role.USER:
            messages.append({"role": "user", "content": text})
        elif message.role is Role.SYSTEM:
            messages.append({"role": "system", "content": text})
        else:
            messages.append({"role": "assistant", "content": text})
    return messages
