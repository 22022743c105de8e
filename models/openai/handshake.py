"""The first words with a server, before any question: which model it has, how much it reads, what it calls itself.

The free ones come first: its list of models, and what its program tells at an address of its own. A server of one's own
that tells no more than names is asked for one token: its answer says which model gave it. OpenAI is asked nothing.
"""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from xlingual.errors import AuthError, EnvironmentFault, ModelError
from xlingual.identity import Json

from .address import Address
from .bodies import describe, read_json, read_object
from .client import UNREACHED, unreached
from .facts import ServerFacts, read_info, read_model_info, read_models, read_props, read_show
from .pacing import RETRIED, RateLimits, backoff
from .parameters import NEW_LIMIT, OLD_LIMIT
from .refusals import NO_MODEL, REFUSED, Refusal, hidden_refusal, refused_parameters
from .token_counts import PROGRAMS, TokenCounts

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from openai._types import RequestOptions  # the client has no public name for it

SECONDS = 30.0
"""For a server to say who it is."""
TOKEN_SECONDS = 120.0
"""For one token: some load the model first."""
ATTEMPTS = 5
"""Of the list of models, where the server is still loading."""
MAX_NAMES = 20
"""Names of models that a message lists."""
GREETING = "Hello"
"""The question of one token."""
OPENAI_FINGERPRINT = r"fp_[0-9a-f]{8,}"
"""OpenAI's change with its machines, also behind a proxy: they are recorded, and identify no model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake:
    """Asks a server who it is."""

    client: "AsyncOpenAI"
    address: Address
    limits: RateLimits
    hide: Callable[[str], str]
    mask: Callable[[bytes], bytes]
    key_hint: str
    has_key: bool

    async def run(self) -> ServerFacts | None:
        """Return the facts; None where nothing listens at the address.

        Raises AuthError where the server wants a key, ModelError where it has no such model, EnvironmentFault where it
        listens and does not answer.
        """
        if self.address.openai:
            return ServerFacts()
        status, body = await self._get_when_up("models")
        return None if status is None else await self._read(status, body)

    async def run_patiently(self) -> ServerFacts:
        """Return the facts of a server that may just be starting; EnvironmentFault where nothing listens."""
        why = ""
        for attempt in range(1, self.limits.first_attempts + 1):
            status, why = await self._get_when_up("models")
            if status is not None:
                return await self._read(status, why)
            if attempt < self.limits.first_attempts:
                await asyncio.sleep(backoff(self.limits, attempt))
        raise unreached(self.address.url, why)

    async def _read(self, status: int, body: str) -> ServerFacts:
        if status == 401 and not self.has_key:
            raise AuthError("the server wants a key (HTTP 401)", where=self.address.url, hint=self.key_hint)
        facts = ServerFacts()
        if status == 200:
            with suppress(ValueError):  # a page, or nothing: no list
                facts = read_models(read_json(body), self.address.model, own=self.address.self_hosted)
        if self.address.self_hosted or facts.program is not None:
            facts = await self._ask_program(facts)
        if facts.program in PROGRAMS and facts.program is not None:
            counts = TokenCounts(client=self.client, address=self.address, program=facts.program)
            facts = replace(facts, counts_tokens=await counts.works())
        if not self.address.self_hosted:
            return facts
        if not facts.listed and facts.program == "llama.cpp" and facts.names is not None and len(facts.names) == 1:
            return replace(facts, own_name=facts.names[0])  # it serves one model, whatever name it is asked for
        is_known = bool(facts.identity) and (facts.listed or facts.names is None)
        return facts if is_known else await self._ask_a_token(facts)

    async def _get_when_up(self, path: str) -> tuple[int | None, str]:
        """Return status and body; a server that is still loading a model is asked again until it has come up."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                status, body = await self._get(path)
            except TimeoutError:
                what = f"the server did not say within {SECONDS:.0f} seconds which models it has"
                hint = "is it busy, or no server of this API?"
                raise EnvironmentFault(what, where=self.address.url, hint=hint) from None
            if status is None or not (status in RETRIED or status >= 500) or status == 501:
                return status, body
            if attempt < ATTEMPTS:
                await asyncio.sleep(backoff(self.limits, attempt))
        what = f"the server answered {status} to the question for its models: {describe(body, self.hide)}"
        raise EnvironmentFault(what, where=self.address.url, hint="try again when it is ready")

    async def _get(self, path: str, post: Json = None, seconds: float = SECONDS) -> tuple[int | None, str]:
        """Return status and body of a document; None and the reason where nothing listens. Raises TimeoutError."""
        import openai  # noqa: PLC0415 - optional

        options: RequestOptions = {"timeout": seconds}
        try:
            if post is None:
                found = await self.client.get(path, cast_to=str, options=options)
            else:
                found = await self.client.post(path, cast_to=str, body=post, options=options)
            return 200, self.mask(found.encode("utf-8", "replace")).decode()
        except openai.APIStatusError as error:
            return error.status_code, error.response.text
        except openai.APIConnectionError as error:
            cause = error.__cause__
            if type(cause).__name__ in UNREACHED:
                return None, self.hide(f"{type(cause).__name__}: {cause}")
            if isinstance(error, openai.APITimeoutError):
                raise TimeoutError from None
            return 502, f"{type(cause).__name__}: {cause}"
        except Exception as error:  # noqa: BLE001 - the model call: whatever the client does, the server told nothing
            return 502, f"{type(error).__name__}: {error}"

    async def _ask_program(self, facts: ServerFacts) -> ServerFacts:
        """Add what the server's program tells at an address of its own; an unknown one is tried with all."""
        if facts.program == "vllm":
            return facts
        if facts.program in (None, "llama.cpp") and (found := read_props(await self._object("props"))):
            return facts.also(found)
        if facts.program in (None, "ollama"):
            shown = await self._object("api/show", {"model": self.address.model})
            tags = await self._object("api/tags") if shown else {}
            if found := read_show(shown, tags, self.address.model):
                return facts.also(found)
        if facts.program in (None, "sglang") and (found := read_model_info(await self._object("get_model_info"))):
            return facts.also(found)
        if facts.program is None and (found := read_info(await self._object("info"))):
            return facts.also(found)
        return facts

    async def _object(self, path: str, post: Json = None) -> Mapping[str, Json]:
        """Return the object that the server tells at `path`, outside of /v1; an empty one where it tells nothing."""
        try:
            status, body = await self._get(f"{self.address.root}/{path}", post)
        except TimeoutError:
            return {}
        return read_object(body) if status == 200 else {}

    async def _ask_a_token(self, facts: ServerFacts) -> ServerFacts:
        """Add the name that an answer bears. Raises ModelError where the server has others, and not the one asked for.

        Where the server refuses the question for other reasons, nothing is added: the first real one will tell.
        """
        name = self.address.model
        message: Json = [{"role": "user", "content": GREETING}]
        status, body, refused = await self._send_token("chat/completions", {"model": name, "messages": message})
        if status == 404 and Refusal(status=404, body=body, wait=None).codes.isdisjoint(NO_MODEL):
            status, body, refused = await self._send_token("completions", {"model": name, "prompt": GREETING})
        facts = replace(facts, refused=refused)
        if status == 200 and hidden_refusal(body, None) is None:
            return self._read_name(facts, read_object(body))
        refusal = None if status is None else Refusal(status=status, body=body, wait=None)
        if facts.names is not None and not facts.listed and refusal is not None and refusal.names_no_model:
            raise missing_model(self.address, facts.names, self.hide)
        return facts

    async def _send_token(self, path: str, question: dict[str, Json]) -> tuple[int | None, str, frozenset[str]]:
        """Return status and body of an answer of one token, and the parameters that the server refused before it."""
        fields: dict[str, Json] = {NEW_LIMIT if "messages" in question else OLD_LIMIT: 1, "temperature": 0.0}
        refused: set[str] = set()
        while True:
            try:
                status, body = await self._get(path, {**question, **fields}, TOKEN_SECONDS)
            except TimeoutError:
                what = f"the server gave no answer within {TOKEN_SECONDS:.0f} seconds"
                raise EnvironmentFault(what, where=self.address.url, hint="the same command again") from None
            named = refused_parameters(body, list(fields)) if status in REFUSED else ()
            if not named:
                return status, body, frozenset(refused)
            refused.update(named)
            fields = {key: value for key, value in fields.items() if key not in named}
            if NEW_LIMIT in named:
                fields[OLD_LIMIT] = 1

    def _read_name(self, facts: ServerFacts, document: Mapping[str, Json]) -> ServerFacts:
        """Add what an answer says of its model: a server that answers to a name that it does not list ignores names."""
        asked = self.address.model
        said = document.get("model")
        said = said if isinstance(said, str) and said and said != asked else None
        mark = document.get("system_fingerprint")
        identity = {}
        if isinstance(mark, str) and mark and not re.fullmatch(OPENAI_FINGERPRINT, mark):
            identity["system fingerprint"] = mark
        if facts.names and not facts.listed and said not in facts.names:
            if len(facts.names) > 1:  # nobody could say which of them it was
                raise missing_model(self.address, facts.names, self.hide)
            said = facts.names[0]
        return replace(facts, own_name=said, identity={**facts.identity, **identity})


def missing_model(address: Address, names: Sequence[str], hide: Callable[[str], str]) -> ModelError:
    """Return the error of a server that has models, and not the one that was asked for."""
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    offered = hide(", ".join(names[:MAX_NAMES])) + more
    hint = f"the server offers {offered}" if names else "the server offers no model"
    return ModelError(f"the server has no model {address.model!r}", where=address.url, hint=hint)
