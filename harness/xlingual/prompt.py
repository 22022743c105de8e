"""From a task's Prompt to a model's Request: templates, demonstrations, and what gives way in a small window.

The order of giving way: demonstrations go first, last one first; then the passage is cut from its end. Instruction,
question and answer cue are never cut; where they do not fit alone, the run is refused or the sample fails.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from .errors import DataError, UsageError
from .identity import Json, content_hash
from .records import Choice, Demonstration, Form, Message, ModelSpec, Prompt, Request, Role, Translation
from .sampling import sampling_content
from .thinking import ThinkingMode

TEMPLATES = ("alpaca", "chat", "raw")
TRANSLATION = "translation"
"""The template of models that take nothing but a sentence: NLLB, M2M-100. It is never chosen, the model has it."""
OVERFLOW_POLICIES = ("truncate", "error", "skip")

ALPACA_WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:"
)
"""Protocol constant: the wrapper of Stanford Alpaca, which x-LLaMA is trained and tested with (see `wording.py`)."""

ALPACA_WITHOUT_INPUT = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Response:"
)
"""Protocol constant as well: where there is no input, as in many rows of instruction data; no task asks so."""

RAW_STOP = ("\n",)
"""A base model does not end by itself; its answer is one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """Everything about a run that shapes its requests, besides the task."""

    model: ModelSpec
    template: str
    """alpaca, chat or raw."""
    stop: tuple[str, ...] | None
    """None: the template's own."""
    max_new_tokens: int
    on_overflow: str
    system: str | None = None
    shots_as_text: bool = False
    """Demonstrations stand in the one message of a chat, not in turns of their own."""
    thinking: ThinkingMode | None = None
    max_thinking_tokens: int | None = None
    translation: Translation | None = None
    """Of a task that translates."""

    @property
    def answer_tokens(self) -> int:
        """The most tokens of an answer, its thinking included."""
        return self.max_new_tokens + (self.max_thinking_tokens or 0)

    @property
    def stop_strings(self) -> tuple[str, ...]:
        """The stop strings in force."""
        if self.stop is not None:
            return self.stop
        return RAW_STOP if self.template == "raw" else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedRequest:
    """A request that fits the context window, and what it took."""

    request: Request
    shots_dropped: int
    passage_cut: int
    """Characters cut off the passage."""
    overflow: bool
    """The request does not fit whatever gives way; only with the policy `skip`."""


TokenCounter = Callable[[Sequence[Request]], list[int] | None]


def require_room(model: ModelSpec, max_new_tokens: int, *, where: str) -> None:
    """Refuse a limit of answers that leaves no token for any prompt in the model's window: no sample would be answered.

    Raises UsageError, as lm-eval refuses such a limit. It needs no count of tokens, so it holds for any backend.
    """
    window = model.context_length
    if window is not None and max_new_tokens >= window:
        raise UsageError(
            f"{max_new_tokens} new tokens leave no room for a prompt in a window of {window}",
            where=where,
            hint=f"choose --max-new-tokens below {window}",
        )


def choose_template(word: str, model: ModelSpec) -> str:
    """Return the template that `word` (auto, alpaca, chat or raw) means for `model`."""
    return model.template if word == "auto" else word


def render(prompt: Prompt, shots: Sequence[Demonstration], rendering: Rendering) -> Request:
    """Return the request for `prompt` after `shots`, keyed by all that can change its answer.

    Raises DataError for a prompt with earlier turns where the template has none.
    """
    if rendering.template == "chat":
        form, messages = Form.CHAT, _chat_messages(prompt, shots, rendering)
    else:
        form, messages = Form.TEXT, (_user(_text(prompt, shots, rendering)),)
    generates = not prompt.choices
    request = Request(
        key="",
        form=form,
        messages=messages,
        stop=rendering.stop_strings if generates else (),
        max_new_tokens=rendering.max_new_tokens if generates else 0,
        choices=tuple(Choice(text=each) for each in prompt.choices) if prompt.choices else None,
        thinking=rendering.thinking if generates else None,
        max_thinking_tokens=rendering.max_thinking_tokens if generates else None,
        translation=rendering.translation if rendering.template == TRANSLATION else None,
    )
    return replace(request, key=request_key(rendering.model, request))


def render_turns(messages: Sequence[Message], rendering: Rendering) -> Request:
    """Return the request for the answer to the `messages` of a chat, keyed as by `render`."""
    request = Request(
        key="",
        form=Form.CHAT,
        messages=tuple(messages),
        stop=rendering.stop_strings,
        max_new_tokens=rendering.max_new_tokens,
        thinking=rendering.thinking,
        max_thinking_tokens=rendering.max_thinking_tokens,
    )
    return replace(request, key=request_key(rendering.model, request))


def _text(prompt: Prompt, shots: Sequence[Demonstration], rendering: Rendering) -> str:
    """Return the one text that a model without turns continues."""
    if rendering.template == TRANSLATION:
        return prompt.input.strip()
    if prompt.history:
        what = f"the template {rendering.template!r} has no earlier turns"
        raise DataError(what, where="history", hint='template = "chat" has them')
    system = "".join(f"{each}\n\n" for each in (rendering.system, prompt.system) if each)
    worked = _worked_input(prompt, shots)
    if rendering.template == "alpaca":
        wrapper = ALPACA_WITH_INPUT if worked else ALPACA_WITHOUT_INPUT
        text = wrapper.replace("{input}", _MARK).replace("{instruction}", prompt.instruction)
        return system + text.replace(_MARK, worked)
    if worked:
        text = f"{prompt.instruction}\n\n{worked}{_joint(prompt)}" if prompt.instruction else worked + _joint(prompt)
    else:
        text = f"{prompt.instruction}\n"
    # Models go on after a cue's colon; before a choice, its space is the beginning of the choice's first token.
    return system + (text if prompt.choices else text.rstrip(" "))


def request_key(model: ModelSpec, request: Request) -> str:
    """Return the content hash of all that can change the answer to `request`."""
    content: dict[str, Json] = {
        "model": model.fingerprint,
        "form": request.form.value,
        "messages": [[message.role.value, message.text] for message in request.messages],
        "stop": list(request.stop),
        "max_new_tokens": request.max_new_tokens,
    }
    if request.choices is not None:
        content["choices"] = [[each.before, each.text] for each in request.choices]
    if request.sampling is not None:
        content["sampling"] = sampling_content(request.sampling)
    if request.thinking is not None:
        content["thinking"] = request.thinking.value
    if request.max_thinking_tokens is not None:
        content["max_thinking_tokens"] = request.max_thinking_tokens
    if request.translation is not None:
        content["translation"] = [request.translation.source, request.translation.target]
    return content_hash(content)


_MARK = "\0input\0"
"""Stands for the input while the instruction is filled in, so that no text is taken for a placeholder."""


def _user(text: str) -> Message:
    return Message(role=Role.USER, text=text)


def _chat_messages(prompt: Prompt, shots: Sequence[Demonstration], rendering: Rendering) -> tuple[Message, ...]:
    system = "\n\n".join(each for each in (rendering.system, prompt.system) if each)
    messages = [Message(role=Role.SYSTEM, text=system)] if system else []
    if rendering.shots_as_text and shots:
        return (*messages, _user(_chat_text(replace(prompt, before=_solved(shots) + prompt.before))))
    for shot in shots:
        messages.append(_user(_chat_text(shot.prompt)))
        messages.append(Message(role=Role.ASSISTANT, text=shot.answer))
    for question, answer in prompt.history or ():
        messages += [_user(question), Message(role=Role.ASSISTANT, text=answer)]
    return (*messages, _user(_chat_text(prompt)))


def _chat_text(prompt: Prompt) -> str:
    return "\n\n".join(filter(None, (prompt.instruction, prompt.input)))


def _worked_input(prompt: Prompt, shots: Sequence[Demonstration]) -> str:
    """Return the demonstrations, then the input that waits for an answer."""
    return _solved(shots) + prompt.input


def _solved(shots: Sequence[Demonstration]) -> str:
    """Return the demonstrations, each with its answer after its cue."""
    return "".join(f"{shot.prompt.input}{_joint(shot.prompt)}{shot.answer}\n\n" for shot in shots)


def _joint(prompt: Prompt) -> str:
    """Return what stands between an input and its answer: nothing after a cue ("Answer: "), else a line break."""
    return "" if prompt.input.endswith(" ") else "\n"


def fit(
    prompts: Sequence[Prompt], shots: Sequence[Demonstration], rendering: Rendering, count: TokenCounter
) -> list[FittedRequest]:
    """Render every prompt and make those that overflow the model's context window fit by `rendering.on_overflow`.

    Raises DataError for the policy `error` at the first overflow, and for `truncate` where the fixed part does not fit;
    UsageError where the window does not hold the answer alone.
    """
    require_room(rendering.model, rendering.answer_tokens, where="--max-new-tokens")
    requests = [render(prompt, shots, rendering) for prompt in prompts]
    whole = [FittedRequest(request=each, shots_dropped=0, passage_cut=0, overflow=False) for each in requests]
    window = rendering.model.context_length
    if window is None or (lengths := count(requests)) is None:
        return whole
    room = window - rendering.answer_tokens
    return [
        fitted if length <= room else _shrink(prompt, shots, rendering, _TokenBudget(room, count))
        for prompt, fitted, length in zip(prompts, whole, lengths, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _TokenBudget:
    tokens: int
    count: TokenCounter

    def holds(self, request: Request) -> bool:
        lengths = self.count([request])
        return lengths is not None and lengths[0] <= self.tokens


def _shrink(prompt: Prompt, shots: Sequence[Demonstration], rendering: Rendering, room: _TokenBudget) -> FittedRequest:
    if rendering.on_overflow == "error":
        raise DataError(
            f"a prompt is longer than {room.tokens} tokens: {prompt.after.strip()[:60]!r}",
            where="--on-overflow error",
            hint="--on-overflow truncate drops demonstrations, then cuts passages",
        )
    for kept in range(len(shots) - 1, -1, -1):
        request = render(prompt, shots[:kept], rendering)
        if room.holds(request):
            return FittedRequest(request=request, shots_dropped=len(shots) - kept, passage_cut=0, overflow=False)
    low, high = 0, len(prompt.passage)
    while low < high - 1:
        middle = (low + high) // 2
        held = room.holds(render(_cut(prompt, middle), (), rendering))
        low, high = (middle, high) if held else (low, middle)
    request = render(_cut(prompt, low), (), rendering)
    fits = low > 0 and room.holds(request)
    if not fits and rendering.on_overflow != "skip":
        raise DataError(
            f"the question alone is longer than {room.tokens} tokens: {prompt.after.strip()[:60]!r}",
            where=rendering.model.name,
            hint="--on-overflow skip records such samples as failed; --max-new-tokens N makes room",
        )
    return FittedRequest(
        request=request, shots_dropped=len(shots), passage_cut=len(prompt.passage) - low, overflow=not fits
    )


def _cut(prompt: Prompt, characters: int) -> Prompt:
    return replace(prompt, passage=prompt.passage[:characters])


def cut_beginning(request: Request, room: int, count: TokenCounter) -> tuple[Request, int] | None:
    """Return a text request without so much of its beginning that `room` tokens hold it, and the characters cut off.

    This is how lm-eval makes prompts fit, so it is done with requests that come from it. None where nothing is left,
    and for chats, which have no beginning to lose.
    """
    if request.form is not Form.TEXT:
        return None
    text = "".join(message.text for message in request.messages)
    low, high = 0, len(text)
    while low < high:
        middle = (low + high) // 2
        lengths = count([replace(request, messages=(_user(text[middle:]),))])
        fits = lengths is None or lengths[0] <= room
        low, high = (low, middle) if fits else (middle + 1, high)
    return (replace(request, messages=(_user(text[low:]),)), low) if low < len(text) else None
