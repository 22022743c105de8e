"""Log-likelihoods of choices through a server: of the tokens of a prompt that ends with the choice.

Texts go to `/completions` with `echo` and `logprobs`, as lm-eval's local-completions asks; chats go to
`/chat/completions` with vLLM's `prompt_logprobs`, the choice being the beginning of the assistant's turn. Where a
server has neither, that is said at the first choice, before anything else is asked.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite

from xlingual.errors import ModelError
from xlingual.identity import Json, repair_surrogates
from xlingual.records import Choice, Failure, Form, Likelihood, Message, Request, Response, Role, failed_response

from .bodies import describe, read_object
from .connection import Connection
from .pacing import ServerTrouble
from .parameters import NEW_LIMIT, OLD_LIMIT
from .refusals import Refusal, read_length_refusal

HINTS = {
    Form.CHAT: "--template raw asks through /completions; hf: and lm-eval:local-completions score choices too",
    Form.TEXT: "hf: scores choices, and so do servers with echo and logprobs in /completions, as vLLM",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedToken:
    """A token of a prompt."""

    text: str
    start: int | None
    """Where it begins in the prompt, as the server says."""
    logarithm: float | None
    """None for the first: nothing stands before it."""
    is_greedy: bool | None


@dataclass(slots=True, kw_only=True)
class ChoiceScoring:
    """Scores the choices of requests on one connection."""

    connection: Connection
    works: set[Form]
    """Forms of requests that the server has scored."""

    async def attempt(self, request: Request, heard: Callable[[], None]) -> Response | ServerTrouble:
        """Return the likelihood of each choice of `request`. Raises ModelError where the server cannot tell them."""
        found: list[Likelihood] = []
        counts: list[int] = []
        for choice in request.choices or ():
            scored = await self._score(request, choice, heard)
            if isinstance(scored, ServerTrouble):
                return scored
            if isinstance(scored, Failure):
                return failed_response(request, scored)
            likelihood, count = scored
            found.append(likelihood)
            counts.append(count)
        return Response(
            key=request.key, text=None, failure=None, finish=None, prompt_tokens=max(counts, default=0) or None,
            tokens=None, likelihoods=tuple(found),
        )  # fmt: skip

    async def _score(
        self, request: Request, choice: Choice, heard: Callable[[], None]
    ) -> tuple[Likelihood, int] | Failure | ServerTrouble:
        asked = _with_choice(request, choice)
        body = await self.connection.send(asked, self._fields(asked), heard)
        if isinstance(body, ServerTrouble):
            return body
        if isinstance(body, Refusal):
            is_too_long = read_length_refusal(body.body) is not None
            if body.status in (400, 404, 405, 422, 501) and request.form not in self.works and not is_too_long:
                raise self._cannot(request, describe(body.body, self.connection.hide))
            return await self.connection.refused(body, too_long=is_too_long)
        document = read_object(body)
        prompt = "".join(message.text for message in asked.messages)
        if request.form is Form.CHAT:
            tokens = read_prompt_logprobs(document)
            likelihood = last_likelihood(tokens, choice.text)
        else:
            tokens = read_echo(document)
            context = prompt[: len(prompt) - len(choice.text)]
            likelihood = likelihood_of(tokens, repair_surrogates(prompt), len(context.rstrip()))
        if likelihood is None:
            if request.form in self.works:
                return Failure(kind="no likelihoods", message="the answer holds no log-likelihoods of the prompt")
            raise self._cannot(request, "its answer holds none of the prompt's tokens")
        self.works.add(request.form)
        return likelihood, len(tokens)

    def _fields(self, asked: Request) -> dict[str, Json]:
        if asked.form is Form.TEXT:
            fields: dict[str, Json] = {OLD_LIMIT: 1, "temperature": 0.0, "logprobs": 1, "echo": True}
        else:
            fields = {NEW_LIMIT: 1, "temperature": 0.0, "prompt_logprobs": 0}
            fields |= {"add_generation_prompt": False, "continue_final_message": True}
        parameters = self.connection.parameters
        kept = {name: value for name, value in fields.items() if name not in parameters.refused}
        return {**kept, **parameters.extra}

    def _cannot(self, request: Request, said: str) -> ModelError:
        what = f"the server gives no log-likelihoods of choices: {said}"
        return ModelError(what, where=self.connection.address.url, hint=HINTS[request.form])


def _with_choice(request: Request, choice: Choice) -> Request:
    """Return the request whose prompt ends with the choice."""
    last = Message(role=Role.ASSISTANT if request.form is Form.CHAT else Role.USER, text=choice.before + choice.text)
    return replace(request, messages=(*request.messages, last), choices=None)


def read_echo(document: Mapping[str, Json]) -> list[ServedToken]:
    """Return the tokens of an echoed prompt and of what was generated after it, [] where the answer has none."""
    choices = document.get("choices")
    first = choices[0] if isinstance(choices, list) and len(choices) == 1 else None
    found = first.get("logprobs") if isinstance(first, Mapping) else None
    if not isinstance(found, Mapping):
        return []
    texts, values = found.get("tokens"), found.get("token_logprobs")
    if not isinstance(texts, list) or not isinstance(values, list) or len(texts) != len(values):
        return []
    starts, tops = _same_length(found.get("text_offset"), texts), _same_length(found.get("top_logprobs"), texts)
    return [
        ServedToken(
            text=str(text), start=start if isinstance(start, int) else None, logarithm=_number(value),
            is_greedy=_is_best(_number(value), top),
        )
        for text, value, start, top in zip(texts, values, starts, tops, strict=True)
    ]  # fmt: skip


def _same_length(values: Json, texts: Sequence[Json]) -> Sequence[Json]:
    return values if isinstance(values, list) and len(values) == len(texts) else [None] * len(texts)


def _number(value: Json) -> float | None:
    """Return a logarithm, None for all else: Python's JSON has NaN and infinities, and servers say null."""
    is_one = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    return min(float(value), 0.0) if is_one and isinstance(value, int | float) else None


def _is_best(value: float | None, top: Json) -> bool | None:
    others = [each for each in map(_number, top.values()) if each is not None] if isinstance(top, Mapping) else []
    return value >= max(others) if others and value is not None else None


def read_prompt_logprobs(document: Mapping[str, Json]) -> list[ServedToken]:
    """Return the tokens of vLLM's `prompt_logprobs`, one entry a position: of the prompt alone, template included."""
    rows = document.get("prompt_logprobs")
    found = []
    for row in rows if isinstance(rows, list) else []:
        entry = next(iter(row.values()), None) if isinstance(row, Mapping) else None
        entry = entry if isinstance(entry, Mapping) else {}
        rank = entry.get("rank")
        found.append(
            ServedToken(
                text=str(entry.get("decoded_token") or ""), start=None, logarithm=_number(entry.get("logprob")),
                is_greedy=rank == 1 if isinstance(rank, int) else None,
            )
        )  # fmt: skip
    return found


def likelihood_of(tokens: Sequence[ServedToken], prompt: str, boundary: int) -> Likelihood | None:
    """Return the likelihood of what stands in `prompt` from `boundary` on, None where the tokens are not the prompt's.

    The boundary is the end of the context without the spaces at its end, as lm-eval and our own models have it: some
    tokenizers give a space before a choice a token of its own.
    A token that begins before the boundary and ends after it counts: a choice's first token mostly holds the space
    before it. What was generated after the prompt does not count.
    """
    ends, length = [], 0
    for token in tokens:
        length += len(token.text)
        ends.append(length)
    shift = "".join(token.text for token in tokens).find(prompt)
    if shift >= 0:  # what a template or the tokenizer puts before a prompt has texts, too
        starts = [end - len(token.text) - shift for end, token in zip(ends, tokens, strict=True)]
        ends = [end - shift for end in ends]
    else:  # tokens of parts of characters have no texts to count; the server's own offsets remain
        starts = [token.start for token in tokens if token.start is not None]
        # Nothing stands before the first token of a prompt; one with a likelihood was generated.
        if not tokens or len(starts) != len(tokens) or tokens[0].logarithm is not None:
            return None
        ends = [*starts[1:], len(prompt) + 1]
    chosen = [
        token
        for token, start, end in zip(tokens, starts, ends, strict=True)
        if (end > boundary or start >= boundary) and start < len(prompt)
    ]
    return _sum(chosen, tokens)


def last_likelihood(tokens: Sequence[ServedToken], choice: str) -> Likelihood | None:
    """Return the likelihood of the last tokens, back to the one that the choice begins in, and the space before it."""
    text, wanted = "", choice.strip()
    first = len(tokens)
    while first > 0 and wanted not in text:
        first -= 1
        text = tokens[first].text + text
    if wanted not in text:
        return None
    while first > 0 and not tokens[first - 1].text.strip():
        first -= 1
    return _sum(tokens[first:], tokens)


def _sum(chosen: Sequence[ServedToken], tokens: Sequence[ServedToken]) -> Likelihood | None:
    """Return the likelihood of the `chosen` of all `tokens`, None where one lacks its logarithm.

    Without it, a choice would look likelier than it is. The first token of a prompt has none.
    """
    counted = [token for token in chosen if token.logarithm is not None or token is not tokens[0]]
    values = [token.logarithm for token in counted if token.logarithm is not None]
    if not values or len(values) < len(counted):
        return None
    greedy = [token.is_greedy for token in counted]
    unknown = any(each is None for each in greedy)
    return Likelihood(logarithm=sum(values), is_greedy=None if unknown else all(greedy), tokens=len(values))
