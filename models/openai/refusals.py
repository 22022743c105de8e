"""Why a server refuses a request: a parameter that it does not take, too many tokens, no money, no such model.

Every server has words of its own. What is read here are the fields that OpenAI's errors have (`code`, `type`, `param`),
the places of pydantic's (`loc`), and the wordings of OpenAI, vLLM, SGLang, llama.cpp, TGI, Mistral, Groq and others.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from xlingual.identity import Json

from .bodies import error_of, likely_error_of, message_of, read_object

REFUSED = frozenset({400, 422})
"""Statuses with which servers refuse what a request says."""
QUOTA = frozenset({
    "insufficient_quota", "quota_exceeded", "billing_hard_limit_reached", "billing_not_active", "insufficient_credits",
    "insufficient_balance", "payment_required", "account_deactivated", "insufficient_user_quota", "budget_exceeded",
    "exceeded_current_quota_error", "arrearage",
})  # fmt: skip
"""Codes of an account without money: asking again is useless, whatever the status."""
_NO_MONEY = re.compile(
    r"insufficient_(?:user_)?quota|insufficient (?:account )?(?:balance|credits)|credit balance is too low"
    r"|budget has been exceeded|account is in arrears",
    re.IGNORECASE,
)
"""The words of those who have no code for it."""
NO_MODEL = frozenset({"model_not_found", "unknown_model", "model_not_exist", "invalid_model", "no_such_model"})
STATUS_OF_TYPE = (
    ("rate_limit", 429), ("too_many_requests", 429), ("resource_exhausted", 429), ("quota", 429), ("overloaded", 503),
    ("unavailable", 503), ("authentication", 401), ("unauthorized", 401), ("invalid_api_key", 401),
    ("permission", 403), ("forbidden", 403), ("not_found", 404), ("notfound", 404), ("timeout", 504),
    ("invalid_request", 400), ("badrequest", 400), ("bad_request", 400), ("invalid_argument", 400),
    ("context_length", 400), ("unsupported", 400),
)  # fmt: skip
"""The status that an error's type or code names, where it comes without one."""
PASSING_WORDS = (
    ("rate_limit", 429), ("ratelimit", 429), ("too_many_requests", 429), ("qps", 429), ("overloaded", 503),
    ("temporarily_unavailable", 503),
)  # fmt: skip
"""The status that an error's message speaks of, where nothing else names one."""
UNNAMED = 500
"""The status of an error that names none: it may pass."""

_COMPLAINT = re.compile(
    r"unsupported|not (?:(?:be|an?|yet|currently) )*"
    r"(?:supported|permitted|allowed|accepted|recogni[sz]ed|available|valid|implemented)"
    r"|unknown|unrecogni[sz]ed|unexpected|extra|invalid|only the default|does(?:n't| not) (?:support|accept|allow|take)"
    r"|cannot|can't|deprecated|(?:must|should|has to|needs to) (?:be|have)|no longer|forbidden|incompatible|required"
    r"|without|refuse|reject|disallow|illegal|out of range|greater than|less than|positive",
    re.IGNORECASE,
)
_OFFERED = re.compile(
    r"(?:expected one of|(?:supported|allowed|accepted|valid|known|available) "
    r"(?:\w+ )?(?:parameters|params|fields|arguments|properties|keys|names|options|values)(?: are| include)?:?"
    r"(?= ?[`'\"\[({]|:| are)).*",
    re.IGNORECASE | re.DOTALL,
)
"""What a server takes instead: none of that is refused."""
_WORDS = frozenset({"stop", "seed", "echo"})
"""Parameters that are words of the language as well: they count where they are quoted or called a parameter."""
_LENGTH = re.compile(
    r"context[ _](?:length|size|window)|max_(?:completion_|new_)?tokens|maximum (?:context|number of|model|allowed)"
    r"|too (?:long|many tokens)|input tokens|input length|n_ctx|exceed\w* .{0,40}(?:tokens|limit|length)",
    re.IGNORECASE,
)
_NUMBER = r"[`'\"]?(\d[\d,]*)[`'\"]?"
_WINDOW = (
    rf"context (?:length|size|window)[^.\d\"]{{0,30}}{_NUMBER}", rf"{_NUMBER} (?:maximum )?context (?:length|window)",
    rf"n_ctx\W+{_NUMBER}", rf"must be <= {_NUMBER}. Given", rf"max(?:imum)?_model_len\W+{_NUMBER}",
)  # fmt: skip
_PROMPT = (
    rf"{_NUMBER} (?:`?inputs?`? tokens|tokens (?:from|in) the (?:input|message|prompt)|in the (?:message|prompt))",
    rf"n_prompt_tokens\W+{_NUMBER}", rf"(?:input|prompt) \({_NUMBER} tokens?\)", rf"resulted in {_NUMBER} tokens",
    rf"Prompt contains {_NUMBER} tokens", rf"request has {_NUMBER} input", rf"prompt (?:is|has|of) {_NUMBER} tokens",
)  # fmt: skip
_MOST = (
    rf"supports at most {_NUMBER} completion", rf"less than or equal to {_NUMBER}", rf"\[\s*\d+\s*,\s*{_NUMBER}\s*\]",
    rf"> {_NUMBER}, which is the maximum", rf"max_(?:completion_|new_)?tokens\S* (?:must be )?(?:<=|at most) {_NUMBER}",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An answer that is an error: by its status, or by its body in spite of the status 200."""

    status: int
    body: str
    wait: float | None
    """Seconds that the server asked to wait."""

    @property
    def codes(self) -> frozenset[str]:
        """The code and the type of the error, in small letters."""
        error = _error_in(self.body)
        named = (error.get(name) for name in ("code", "type", "status")) if isinstance(error, Mapping) else ()
        return frozenset(each.casefold() for each in named if isinstance(each, str))

    @property
    def is_quota(self) -> bool:
        """Whether the account has no money: no later attempt gets an answer."""
        said = message_of(_error_in(self.body))
        return self.status == 402 or bool(self.codes & QUOTA) or (self.status < 500 and bool(_NO_MONEY.search(said)))

    @property
    def names_no_model(self) -> bool:
        """Whether the server has no such model, or no such address."""
        return self.status == 404 or bool(self.codes & NO_MODEL)


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthRefusal:
    """A request of too many tokens; None is what the server does not say."""

    window: int | None
    """Of prompt and answer together."""
    prompt: int | None
    most: int | None
    """Of an answer alone."""

    @property
    def room(self) -> int | None:
        """What the window leaves for an answer."""
        return None if self.window is None or self.prompt is None else self.window - self.prompt


def redirection(status: int, headers: Mapping[str, str]) -> str | None:
    """Return where a redirect leads, in words, None where it is none: they are not followed."""
    place = headers.get("location")
    return f"go to {place}" if 300 <= status < 400 and place else None


def _error_in(body: str) -> Json:
    document = read_object(body)
    return error_of(document) or likely_error_of(document)


def hidden_refusal(body: str, wait: float | None) -> Refusal | None:
    """Return the refusal that a body of status 200 holds, None where it holds none.

    What is no error by its form is one where it names a status.
    """
    document = read_object(body)
    if error := error_of(document):
        return Refusal(status=_status(error) or UNNAMED, body=body, wait=wait)
    status = _status(likely_error_of(document))
    return None if status is None else Refusal(status=status, body=body, wait=wait)


def _status(error: Json) -> int | None:
    """Return the status that an error names by its number, else by a word; None where it names none."""
    fields = error if isinstance(error, Mapping) else {}
    for name in ("code", "status", "status_code", "error_code"):
        value = fields.get(name)
        number = int(value) if isinstance(value, int | str) and str(value).isdecimal() else 0
        if 400 <= number < 600:
            return number
    named = " ".join(str(fields.get(name) or "") for name in ("type", "code", "status")).casefold()
    said = message_of(error).casefold().replace(" ", "_")
    for words, known in ((named, STATUS_OF_TYPE), (said, PASSING_WORDS)):
        if found := next((status for word, status in known if word in words), None):
            return found
    return None


def refused_parameters(body: str, sent: Sequence[str]) -> tuple[str, ...]:
    """Return which of the parameters `sent` a refusal names as what it does not take; () where it names none."""
    document = read_object(body)
    if named := [name for name in sent if name in set(_places(document))]:
        return tuple(named)
    text = " ".join(_OFFERED.sub("", each) for each in _texts(document)) or _OFFERED.sub("", body)
    named = [name for name in sent if _mentions(text, name)]
    begins = any(re.match(rf"\W*{name}\W*[:\uff1a]", text) for name in named)  # its name, then words of any language
    return tuple(named) if begins or _COMPLAINT.search(text) else ()


def _mentions(text: str, name: str) -> bool:
    quoted = rf"[`'\"\[]{name}[`'\"\]]|(?:parameter|argument|field|property|key|name|supplied|model)s?:? ?{name}\b"
    quoted += rf"|\b{name} (?:sequence|string|word|parameter|argument|field)s?\b"
    # Not the beginning of another name, as `max_tokens` is of `max_tokens_per_doc`.
    return bool(re.search(quoted if name in _WORDS else rf"(?<![\w.-]){name}(?![\w-])", text, re.IGNORECASE))


def _places(value: Json, depth: int = 0) -> Iterator[str]:
    """Yield what `param` and `loc` name anywhere in a body."""
    if depth > 6:
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key == "param" and isinstance(item, str):
                yield from re.split(r"[.,\s\[\]]+", item)
            elif key == "loc" and isinstance(item, list):
                yield from (each for each in item if isinstance(each, str))
            else:
                yield from _places(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from _places(item, depth + 1)


def _texts(value: Json, depth: int = 0) -> Iterator[str]:
    """Yield all texts in a body but what it says was sent."""
    if isinstance(value, str):
        yield value
    elif depth <= 6 and isinstance(value, Mapping):
        for key, item in value.items():
            if key not in ("input", "body"):
                yield from _texts(item, depth + 1)
    elif depth <= 6 and isinstance(value, list):
        for item in value:
            yield from _texts(item, depth + 1)


def read_length_refusal(body: str) -> LengthRefusal | None:
    """Return what a refusal says of lengths; None where it is about something else."""
    if not _LENGTH.search(body):
        return None
    found = LengthRefusal(window=_first(_WINDOW, body), prompt=_first(_PROMPT, body), most=_first(_MOST, body))
    speaks = re.search(r"too (?:long|large|many)|exceed|reduce|maximum|at most|less than|longer|valid range|<=", body)
    return found if speaks and (found != LengthRefusal(window=None, prompt=None, most=None) or _is_code(body)) else None


def _is_code(body: str) -> bool:
    return "context_length_exceeded" in body or bool(re.search(r"too (?:long|many tokens)", body))


def _first(patterns: Sequence[str], text: str) -> int | None:
    for pattern in patterns:
        if found := re.search(pattern, text, re.IGNORECASE):
            return int(found[1].replace(",", ""))
    return None
