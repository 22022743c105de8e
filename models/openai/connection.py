"""One attempt at one sample: the request through the official client, and its result."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from xlingual.errors import AuthError, ModelError
from xlingual.identity import Json, repair_surrogates
from xlingual.records import Failure, Form, Request, Response, Role, failed_response
from xlingual.redaction import redact

from .address import KEY_VARIABLE, NO_KEY, Address
from .completion import Completion, describe, make_response, may_be_cut_too_early, read_body, sendable
from .pacing import BUSY, RETRIED, RateLimits, ServerTrouble, retry_after

if TYPE_CHECKING:
    from openai import APIConnectionError, APIStatusError, AsyncOpenAI
    from openai.types.chat import ChatCompletionMessageParam

NEW_LIMIT = "max_completion_tokens"
OLD_LIMIT = "max_tokens"
LIST_SECONDS = 10.0
"""For a server to list its models after it refused one."""
MAX_NAMES = 20
"""Names of models that a message lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A status other than 200."""

    status: int
    message: str
    final: bool
    """Whether asking again is useless in spite of the status: an account without money is no full server."""
    wait: float | None


@dataclass(slots=True, kw_only=True)
class Connection:
    """A model behind an open connection."""

    client: "AsyncOpenAI"
    address: Address
    hide: Callable[[str], str]
    """Takes the secrets out of a message."""
    chat_limit: str = NEW_LIMIT
    """The field that limits the tokens of a chat: servers know the new name, the old one or both."""

    async def attempt(self, request: Request) -> Response | ServerTrouble:
        """Ask `request` once, or as often as it takes to find out what the server understands.

        Raises AuthError where the key is refused and ModelError where there is no such model.
        """
        sent = sendable(request.stop)
        found = await self._ask(request, sent)
        if isinstance(found, Completion) and may_be_cut_too_early(found, sent):
            sent = ()
            found = await self._ask(request, sent)
        if isinstance(found, ServerTrouble):
            return found
        if isinstance(found, Failure):
            return failed_response(request, found)
        return make_response(request, found, sent)

    async def _ask(self, request: Request, stop: tuple[str, ...]) -> Completion | Failure | ServerTrouble:
        field = self.chat_limit if request.form is Form.CHAT else OLD_LIMIT
        body = await self._send(request, stop, field)
        if isinstance(body, Refusal):
            if field == NEW_LIMIT and body.status in (400, 422) and NEW_LIMIT in body.message:
                self.chat_limit = OLD_LIMIT
                return await self._ask(request, stop)
            return await self._refused(body)
        if isinstance(body, ServerTrouble):
            return body
        completion = read_body(body, request.form, self.hide)
        # One more than asked for: some servers count the end token.
        if isinstance(completion, Completion) and (completion.tokens or 0) > request.max_new_tokens + 1:
            if field == NEW_LIMIT:
                self.chat_limit = OLD_LIMIT
                return await self._ask(request, stop)
            message = f"the server generated {completion.tokens} tokens, {request.max_new_tokens} were asked for"
            return Failure(kind="limit ignored", message=message)
        return completion

    async def _send(self, request: Request, stop: tuple[str, ...], field: str) -> bytes | Refusal | ServerTrouble:
        import openai  # noqa: PLC0415 - optional

        extra: dict[str, Json] = {field: request.max_new_tokens}
        if stop:
            extra["stop"] = stop
        try:
            if request.form is Form.CHAT:
                raw = await self.client.chat.completions.with_raw_response.create(
                    model=self.address.model, messages=_messages(request), temperature=0.0, extra_body=extra
                )
                return raw.content
            prompt = repair_surrogates("".join(message.text for message in request.messages))
            text = await self.client.completions.with_raw_response.create(
                model=self.address.model, prompt=prompt, temperature=0.0, extra_body=extra
            )
            return text.content
        except openai.APIStatusError as error:
            return _refusal(error)
        except openai.APIConnectionError as error:
            return self._broken(error)
        except Exception as error:  # noqa: BLE001 - the model call: whatever the client does is this sample's failure
            return ServerTrouble(kind=type(error).__name__, message=self.hide(str(error)), retry=False)

    def _broken(self, error: "APIConnectionError") -> ServerTrouble:
        import openai  # noqa: PLC0415 - optional

        cause = error.__cause__
        name = type(cause).__name__ if cause else type(error).__name__
        slow = isinstance(error, openai.APITimeoutError)
        return ServerTrouble(
            kind="timeout" if slow else "connection",
            message=self.hide(f"{name}: {cause or error}" if str(cause or "") else name),
            retry=True,
            reached=name not in ("ConnectError", "ConnectTimeout", "ProxyError"),
        )

    async def _refused(self, refusal: Refusal) -> ServerTrouble:
        status = refusal.status
        if status in (401, 403):
            # The server's own words may quote the key.
            what = f"the server refused the credentials (HTTP {status})"
            raise AuthError(what, where=self.address.url, hint=f"set the environment variable {KEY_VARIABLE}")
        if status == 404:
            raise await self._missing(describe(refusal.message, self.hide))
        return ServerTrouble(
            kind=f"HTTP {status}",
            message=f"the server answered {status}: {describe(refusal.message, self.hide)}",
            retry=(status in RETRIED or status >= 500) and not refusal.final,
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
        more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
        offered = self.hide(", ".join(names[:MAX_NAMES])) + more
        hint = f"the server offers {offered}" if names else "the server offers no model"
        return ModelError(f"the server has no model {model!r}", where=self.address.url, hint=hint)


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


def _refusal(error: "APIStatusError") -> Refusal:
    return Refusal(
        status=error.status_code,
        message=error.response.text,
        final=error.code == "insufficient_quota" or error.type == "insufficient_quota",
        wait=retry_after(error.response.headers),
    )


@asynccontextmanager
async def open_connection(address: Address, key: str | None, limits: RateLimits) -> AsyncIterator[Connection]:
    """Open the client of one event loop, and close it in every ending."""
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient, Timeout  # noqa: PLC0415 - optional

    secrets = address.secrets(key)
    authorization = address.authorization
    async with AsyncOpenAI(
        api_key=key or NO_KEY,
        base_url=address.url,
        default_headers={"Authorization": authorization} if authorization else None,
        default_query=dict(parse_qsl(address.query, keep_blank_values=True)) or None,
        max_retries=0,
        timeout=Timeout(limits.read_seconds, connect=limits.connect_seconds),
        # A proxy has no business between two processes of one machine, and a redirect would change what was asked.
        http_client=DefaultAsyncHttpxClient(trust_env=not address.loopback, follow_redirects=False),
    ) as client:
        yield Connection(client=client, address=address, hide=lambda text: redact(text, secrets))
