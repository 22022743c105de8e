"""How many tokens prompts have, where the server tells: vLLM and llama.cpp have `/tokenize`, with the chat template.

Then prompts are fitted to the window before they are asked, as those of local models are.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from xlingual.errors import EnvironmentFault
from xlingual.identity import Json, repair_surrogates
from xlingual.records import Form, Message, Request, Role

from .address import Address
from .bodies import read_object

if TYPE_CHECKING:
    from openai import AsyncOpenAI

SECONDS = 60.0
"""For one count."""
AT_ONCE = 16
"""Requests that are counted at the same time."""
PROGRAMS = ("vllm", "llama.cpp")
"""Server programs that count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCounts:
    """Counts the tokens of requests by the tokenizer of a server."""

    client: "AsyncOpenAI"
    address: Address
    program: str

    async def works(self) -> bool:
        """Whether this server counts: older ones of its program do not, and gateways may hide it."""
        try:
            found = await self._post("tokenize", self._question("One two three."))
        except EnvironmentFault:
            return False
        return _read(found) is not None

    async def count(self, requests: Sequence[Request]) -> list[int]:
        """Return the prompt tokens of each request; EnvironmentFault where the server does not answer any more."""
        room = asyncio.Semaphore(AT_ONCE)

        async def one(request: Request) -> int:
            async with room:
                return await self._count(_whole(request))

        return list(await asyncio.gather(*(one(request) for request in requests)))

    async def _count(self, request: Request) -> int:
        messages: Json = [
            {"role": each.role.value, "content": repair_surrogates(each.text)} for each in request.messages
        ]
        if request.form is Form.TEXT:
            question = self._question("".join(repair_surrogates(each.text) for each in request.messages))
        elif self.program == "vllm":
            is_open = request.messages[-1].role is Role.ASSISTANT
            question = {"model": self.address.model, "messages": messages, "add_generation_prompt": not is_open}
            question |= {"continue_final_message": True} if is_open else {}
        else:
            prompt = (await self._post("apply-template", {"messages": messages})).get("prompt")
            question = {**self._question(str(prompt)), "add_special": False, "parse_special": True}
        count = _read(await self._post("tokenize", question))
        if count is None:
            raise self._fault("its answer holds no count")
        return count

    def _question(self, text: str) -> dict[str, Json]:
        if self.program == "vllm":
            return {"model": self.address.model, "prompt": text}
        return {"content": text, "add_special": True}

    async def _post(self, path: str, question: Json) -> Mapping[str, Json]:
        import openai  # noqa: PLC0415 - optional

        url = f"{self.address.root}/{path}"
        try:
            return read_object(await self.client.post(url, cast_to=str, body=question, options={"timeout": SECONDS}))
        except openai.APIStatusError as error:
            raise self._fault(f"HTTP {error.status_code} from /{path}") from None
        except openai.APIConnectionError as error:
            raise self._fault(type(error.__cause__ or error).__name__) from None

    def _fault(self, why: str) -> EnvironmentFault:
        what = f"the server has stopped counting tokens ({why})"
        return EnvironmentFault(what, where=self.address.url, hint="the same command again")


def _whole(request: Request) -> Request:
    """Return the request with the longest of its choices at its end."""
    if not request.choices:
        return request
    longest = max((choice.before + choice.text for choice in request.choices), key=len)
    role = Role.ASSISTANT if request.form is Form.CHAT else Role.USER
    return replace(request, messages=(*request.messages, Message(role=role, text=longest)), choices=None)


def _read(found: Mapping[str, Json]) -> int | None:
    count, tokens = found.get("count"), found.get("tokens")
    if isinstance(count, int) and not isinstance(count, bool):
        return count
    return len(tokens) if isinstance(tokens, list) else None
