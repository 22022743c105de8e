"""What a request says besides its words, and what of that a server does not take.

A server that refuses a parameter is sent it no more: one refused request altogether, not one a sample. What is left out
is the server's own then, and noted. A parameter that has not been tried is tried by one request alone.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from xlingual.identity import Json
from xlingual.records import Form, Request
from xlingual.thinking import ThinkingMode

NEW_LIMIT = "max_completion_tokens"
OLD_LIMIT = "max_tokens"
BUDGET = "thinking_token_budget"
"""vLLM's limit of thinking alone."""
TEMPLATE = "chat_template_kwargs"
EFFORT = "reasoning_effort"
RESERVED = frozenset({"model", "messages", "prompt", "stream", "n", "best_of"})
"""What `--extra-body` may not set: answers could not be read, or would not belong to their questions."""
EFFORTS = {ThinkingMode.ON: ("medium",), ThinkingMode.OFF: ("none", "minimal")}
"""Words of `reasoning_effort`, the first that a server takes."""
LEFT_OUT = {
    NEW_LIMIT: "",
    OLD_LIMIT: "not sent, the server takes no limit of new tokens",
    "stop": "not sent, answers are cut here",
    TEMPLATE: "",
    EFFORT: "",
    BUDGET: "not sent, the limit of new tokens counts thinking and answer together",
}
"""What is noted of a parameter that is refused, where that is not "the server's own"; "": nothing."""


def said_of(name: str) -> str:
    """Return what is recorded of a parameter that the server refuses; "": nothing."""
    return LEFT_OUT.get(name, "the server's own")


def limit_of(request: Request) -> int:
    """Return the tokens that a server may generate: servers count thinking among them."""
    return request.max_new_tokens + (request.max_thinking_tokens or 0)


@dataclass(slots=True, kw_only=True)
class ServerParameters:
    """The parameters that one server takes, as far as that is known."""

    program: str | None
    """The server program, where it is known; "openai" for OpenAI itself."""
    extra: Mapping[str, Json]
    """`--extra-body`: sent as it is, and never left out."""
    note: Callable[[str], None]
    refused: set[str] = field(default_factory=set)
    """Names; of `reasoning_effort`, "reasoning_effort=none" as well."""
    taken: set[str] = field(default_factory=set)
    left_out: dict[str, str] = field(default_factory=dict)
    """What is recorded of those that a request would have had."""

    def fields(self, request: Request, stop: Sequence[str], most: int) -> dict[str, Json]:
        """Return the parameters of a request whose answer may have `most` tokens."""
        found: dict[str, Json] = {} if self.has_own_limit else {self.limit_field(request): most}
        sampling = request.sampling
        found["temperature"] = 0.0 if sampling is None else sampling.temperature
        if sampling is not None:
            chosen = {"top_p": sampling.top_p, "top_k": sampling.top_k, "min_p": sampling.min_p, "seed": sampling.seed}
            found |= {name: value for name, value in chosen.items() if value is not None}
        if stop:
            found["stop"] = list(stop)
        if request.form is Form.CHAT:
            found |= self._thinking(request.thinking)
            if request.max_thinking_tokens is not None and self.program == "vllm":
                found[BUDGET] = request.max_thinking_tokens
        kept = {name: value for name, value in found.items() if name not in self.refused}
        return {**kept, **{name: _merged(kept.get(name), value) for name, value in self.extra.items()}}

    def limit_field(self, request: Request) -> str:
        """Return the name of the limit: chats have a new name for it, which some servers do not know."""
        return NEW_LIMIT if request.form is Form.CHAT and NEW_LIMIT not in self.refused else OLD_LIMIT

    def _thinking(self, mode: ThinkingMode | None) -> dict[str, Json]:
        """Return how this server is told to think or not: by the chat template's switch, or by an effort."""
        if mode is None:
            return {}
        switch: dict[str, Json] = {TEMPLATE: {"enable_thinking": mode is ThinkingMode.ON}}
        efforts = [word for word in EFFORTS[mode] if f"{EFFORT}={word}" not in self.refused]
        effort: dict[str, Json] = {EFFORT: efforts[0]} if efforts and EFFORT not in self.refused else {}
        if self.program in ("openai", "ollama"):
            return effort
        return effort if TEMPLATE in self.refused else switch

    @property
    def has_own_limit(self) -> bool:
        """Whether the user has set the limit of new tokens as an extra field."""
        return bool({NEW_LIMIT, OLD_LIMIT} & set(self.extra))

    def untried(self, fields: Mapping[str, Json]) -> list[str]:
        """Return the parameters that the server has not taken yet."""
        return [name for name in fields if name not in self.taken]

    def take(self, fields: Iterable[str]) -> None:
        """Remember that the server has answered a request with these."""
        self.taken.update(fields)

    def refuse(self, names: Sequence[str], fields: Mapping[str, Json]) -> bool:
        """Leave out from now on what the server has named; False where that changes nothing."""
        ours = [name for name in names if name not in self.extra]
        for name in ours:
            self.refused.add(f"{EFFORT}={fields[name]}" if name == EFFORT else name)
            if (said := said_of(name)) and name not in self.left_out:
                self.leave_out(name, said)
        return bool(ours)

    def leave_out(self, name: str, said: str) -> None:
        """Record and note that a setting of the run is not in force."""
        if self.left_out.get(name) != said:
            self.left_out[name] = said
            self.note(f"{name}: {said}")

    def check_thinking(self, request: Request) -> None:
        """Note settings of thinking for which the server has no field."""
        if request.form is not Form.CHAT:
            return
        if request.thinking is not None and not self._thinking(request.thinking):
            self.leave_out("thinking", "the server's own")
        if request.max_thinking_tokens is not None and self.program != "vllm":
            self.leave_out("max_thinking_tokens", LEFT_OUT[BUDGET])


def _merged(ours: Json, chosen: Json) -> Json:
    """Return the user's value; of two objects, both, the user's fields first."""
    return {**ours, **chosen} if isinstance(ours, Mapping) and isinstance(chosen, Mapping) else chosen
