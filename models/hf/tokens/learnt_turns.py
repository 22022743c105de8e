"""What is learnt of an answer in a chat: from the end of the prompt to the end of the turn, as the template has both.

    prompt     <|im_start|>user\\nHi<|im_end|>\\n<|im_start|>assistant\\n
    with it    <|im_start|>user\\nHi<|im_end|>\\n<|im_start|>assistant\\nHello.<|im_end|>\\n
    learnt                                                            Hello.<|im_end|>

The prompt is what evaluation asks with, after the same messages. So a model learns to say all that it has to say there:
a space or an empty thought that the template puts before the answer, and the token that ends the turn. A template with
`{% generation %}` says by itself what is learnt. Where the chat with the answer does not begin with the prompt, or the
answer or its end is not found in it, nothing is guessed: that is a Failure, or a ModelError where it is so in any chat.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import pairwise
from typing import TypeAlias

from xlingual.decoder.thinking_switch import thinking_variables
from xlingual.errors import ModelError
from xlingual.plugin import LearntTurn
from xlingual.records import Failure, Form, Message, Request, Role
from xlingual.text import is_blank
from xlingual.thinking import ThinkingMode, answer_start, split_thinking

from .chat_template import PROBE, LeftOutError, Render, holds, render_messages, shows
from .rendering import Tokenizer, apply_template, render_text, tokenize, turn_end
from .turn_end import LAST_TURN, QUESTION

KIND = "chat template"
_BEGIN, _END = "\ue0f0", "\ue0f1"
"""Of private use: they stand in a rendered chat where a generation block begins and ends."""
_TAG = re.compile(r"\{%(?P<before>-?)\s*(?P<end>end)?generation\s*(?P<after>-?)%\}")
Spans: TypeAlias = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class TurnEndToken:
    """The token that ends an answer that is learnt."""

    token: int
    text: str | None
    """As the chat template writes it; None where the template ends a turn with text, and the token is put behind it."""


@dataclass(frozen=True, slots=True)
class _Answered:
    """A chat with its answer."""

    prompt: str
    text: str
    """Up to the end of the answer's turn; it begins with the prompt."""
    start: int
    """Where in it the learnt text begins, at the end of the prompt or behind it."""


def learnt_end(tokenizer: Tokenizer, vocabulary: int) -> TurnEndToken:
    """Return the token that ends an answer in a chat, else the tokenizer's end token; ModelError without either."""
    turn = turn_end(tokenizer)
    if turn is not None and not turn.opens_next and turn.token < vocabulary:
        return TurnEndToken(turn.token, str(tokenizer.added_tokens_decoder[turn.token]).strip())
    if tokenizer.eos_token_id is None:
        raise ModelError("the tokenizer has no end token", hint="answers that are to be learnt must end")
    return TurnEndToken(tokenizer.eos_token_id, None)


def encode_turns(
    tokenizer: Tokenizer, requests: Sequence[Request], answers: Sequence[str], vocabulary: int
) -> list[LearntTurn | Failure]:
    """Return the tokens of each answer behind the chat that it is given to, or why they cannot be told.

    Raises ModelError where there is no chat template, or its answers cannot be told in any chat.
    """
    end = learnt_end(tokenizer, vocabulary)
    found = [_find_answer(tokenizer, request, answer, end) for request, answer in zip(requests, answers, strict=True)]
    if any(isinstance(each, Failure) for each in found):
        for mode in dict.fromkeys(request.thinking for request in requests):
            _require_probe(tokenizer, mode, end)
    chats = [each for each in found if isinstance(each, _Answered)]
    prompts = iter(tokenize(tokenizer, [each.prompt for each in chats], special=False))
    texts = iter(tokenize(tokenizer, [each.text for each in chats], special=False))
    return [
        each if isinstance(each, Failure) else _encode(tokenizer, each, (next(prompts), next(texts)), end, vocabulary)
        for each in found
    ]


@lru_cache(maxsize=64)
def _require_probe(tokenizer: Tokenizer, mode: ThinkingMode | None, end: TurnEndToken) -> None:
    """Raise ModelError where not even the answer to a short question can be told in a chat."""
    reasons = []
    for chat in LAST_TURN:
        *before, reply = chat
        request = Request(key="", form=Form.CHAT, messages=tuple(before), stop=(), max_new_tokens=1, thinking=mode)
        found = _find_answer(tokenizer, request, reply.text, end)
        if isinstance(found, _Answered):
            return
        reasons.append(found.message)
    hint = "an answer is learnt where it follows the template's own prompt"
    if mode is None and "begin with its prompt" in reasons[0]:
        hint = 'a template that opens or closes the thinking in its prompt may have a switch: thinking = "off"'
    raise ModelError(f"conversations cannot be learnt with this chat template: {reasons[0]}", hint=hint)


def _find_answer(tokenizer: Tokenizer, request: Request, answer: str, end: TurnEndToken) -> _Answered | Failure:
    """Return the answer behind its prompt, or why it cannot be told."""
    try:
        prompt = render_text(tokenizer, request)
    except LeftOutError as error:  # it may be this conversation, with a system message in its middle
        return Failure(kind=KIND, message=error.what)
    if isinstance(prompt, Failure):
        return prompt
    if lost := next((each for each in request.messages if not shows(prompt, each)), None):
        return Failure(kind=KIND, message=f"the rendered chat lacks the message {lost.text[:60]!r}")
    found = _answer_behind(tokenizer, request, prompt, (answer, end))
    if isinstance(found, Failure) and len(request.messages) > 1:
        return _answer_alone(tokenizer, request, prompt, (answer, end)) or found
    return found


def _answer_behind(
    tokenizer: Tokenizer, request: Request, prompt: str, said: tuple[str, TurnEndToken]
) -> _Answered | Failure:
    """Return the answer as it stands behind its prompt in the chat that ends with it."""
    answer, end = said
    variables = thinking_variables(tokenizer.chat_template, request.thinking)
    try:
        chat = _render_answered(
            partial(apply_template, tokenizer, cue=False, variables=variables), request.messages, answer
        )
    except LeftOutError as error:
        return Failure(kind=KIND, message=error.what)
    if isinstance(chat, Failure):
        return chat
    if not chat.startswith(prompt):
        return Failure(kind=KIND, message=f"the chat with the answer {answer[:60]!r} does not begin with its prompt")
    place = _find_end(chat, len(prompt), answer, end.text)
    if isinstance(place, Failure):
        return place
    spans = _generation_spans(tokenizer, request, answer, chat)
    if isinstance(spans, Failure):
        return spans
    return _Answered(prompt, chat[:place], len(prompt)) if spans is None else _marked(prompt, chat, spans, place)


def _answer_alone(
    tokenizer: Tokenizer, request: Request, prompt: str, said: tuple[str, TurnEndToken]
) -> _Answered | None:
    """Return the answer behind its prompt, as it stands behind the last question alone; None where that has no use.

    Some templates put the system message before the last question: with the answer behind it, it stands nowhere.
    """
    question = request.messages[-1]
    asked = question.text.strip()
    if question.role is not Role.USER or not asked:
        return None
    alone = replace(request, messages=(question,))
    try:
        short = render_text(tokenizer, alone)
    except LeftOutError:
        return None
    if isinstance(short, Failure):
        return None
    found = _answer_behind(tokenizer, alone, short, said)
    _, text, cue = short.rpartition(asked)
    if isinstance(found, Failure) or not text or not prompt.endswith(text + cue):
        return None
    return _Answered(prompt, prompt + found.text[len(short) :], found.start - len(short) + len(prompt))


def _render_answered(render: Render, messages: Sequence[Message], answer: str) -> str | Failure:
    """Return the chat with the answer last; where the template refuses such a chat, with a question behind it."""
    reply = Message(role=Role.ASSISTANT, text=answer)
    chat = render_messages(render, (*messages, reply))
    if isinstance(chat, str):
        return chat
    longer = render_messages(render, (*messages, reply, QUESTION))
    return chat if isinstance(longer, Failure) else longer[: longer.rindex(PROBE)]


def _find_end(chat: str, start: int, answer: str, end: str | None) -> int | Failure:
    """Return where in a chat the turn of the answer ends, which is found from `start` on.

    The answer is there as it is, or its thinking is set anew by the template.
    """
    if end is not None and end in answer:
        return Failure(kind=KIND, message=f"the answer {answer[:60]!r} holds {end}, which ends a turn")
    if (place := _place_behind(chat, start, answer.strip(), end)) is not None:
        return place
    begin = answer_start(answer)
    said = answer[begin:].strip() if begin else ""
    if is_blank(said):
        what = "its end" if answer.strip() in chat[start:] else "it as it is"
        return Failure(kind=KIND, message=f"the rendered chat has the answer {answer[:60]!r} without {what}")
    place = _place_behind(chat, start, said, end)
    if place is None or not holds(chat[start:], split_thinking(answer).thinking or ""):
        return Failure(kind=KIND, message=f"the rendered chat lacks the answer, its thinking or end: {answer[:60]!r}")
    return place


def _place_behind(chat: str, start: int, said: str, end: str | None) -> int | None:
    """Return the place behind `said` and `end` in a chat, with white space between them; None where they are not there.

    Without an `end`, it is the first place behind `said`.
    """
    if end is None:
        place = chat.find(said, start)
        return None if place < 0 else place + len(said)
    place = len(chat)
    while (place := chat.rfind(said, start, place + len(said) - 1)) >= 0:
        tail = chat[place + len(said) :]
        if tail.lstrip().startswith(end):
            return place + len(said) + tail.index(end) + len(end)
    return None


def _generation_spans(tokenizer: Tokenizer, request: Request, answer: str, chat: str) -> Spans | Failure | None:
    """Return where the generation blocks of a chat template begin and end in the chat; None where it has none."""
    template = tokenizer.chat_template
    if not isinstance(template, str) or _TAG.search(template) is None:
        return None
    marked = _TAG.sub(_mark, template)
    variables = {**thinking_variables(template, request.thinking), "chat_template": marked}
    render = partial(apply_template, tokenizer, cue=False, variables=variables)
    found = _render_answered(render, request.messages, answer)
    if isinstance(found, Failure):
        return found
    spans: Spans = []
    plain = ""
    for piece in re.split(f"([{_BEGIN}{_END}])", found):
        if piece == _BEGIN:
            spans.append((len(plain), len(plain)))
        elif piece == _END and spans:
            spans[-1] = (spans[-1][0], len(plain))
        else:
            plain += piece
    if plain != chat or found.count(_BEGIN) != found.count(_END):
        return Failure(kind=KIND, message="its generation blocks cannot be told in the chat")
    return spans


def _mark(tag: "re.Match[str]") -> str:
    """Return Jinja that writes a mark in place of a tag, and treats the white space around it as the tag did."""
    mark = _END if tag["end"] else _BEGIN
    return f"{{%{tag['before']} for mark in ['{mark}'] %}}{{{{ mark }}}}{{% endfor {tag['after']}%}}"


def _marked(prompt: str, chat: str, spans: Spans, end: int) -> _Answered | Failure:
    """Return the answer as the generation blocks mark it; `end` is where its turn ends."""
    own = [(max(first, len(prompt)), last) for first, last in spans if last > len(prompt)]
    if not own or any(before[1] != after[0] for before, after in pairwise(own)):
        what = "mark more than one part of an answer" if own else "mark nothing of an answer"
        return Failure(kind=KIND, message=f"its generation blocks {what}")
    if own[-1][1] < end:
        return Failure(kind=KIND, message="its generation blocks leave out the end of an answer's turn")
    return _Answered(prompt, chat[: own[-1][1]], own[0][0])


def _encode(
    tokenizer: Tokenizer, chat: _Answered, ids: tuple[list[int], list[int]], end: TurnEndToken, vocabulary: int
) -> LearntTurn | Failure:
    """Return the tokens of a chat; `ids` are those of its prompt and of all of it.

    What a prompt is in tokens, it is in generation. So the answer is tokenized apart where its first characters would
    merge with the last of the prompt.
    """
    prompt, whole = ids
    if not prompt:
        return Failure(kind="empty prompt", message="the prompt has no token to continue from")
    if whole[: len(prompt)] != prompt:
        [answer] = tokenize(tokenizer, [chat.text[len(chat.prompt) :]], special=False)
        whole = [*prompt, *answer]
    if end.text is None:
        whole = [*whole, end.token]
    start = len(prompt)
    if chat.start > len(chat.prompt):
        [given] = tokenize(tokenizer, [chat.text[len(chat.prompt) : chat.start]], special=False)
        start += _common_prefix(given, whole[start:])
    if end.token not in whole[start:]:
        return Failure(kind=KIND, message=f"the tokenizer does not read {end.text} as a token of its own")
    if (largest := max(whole)) >= vocabulary:
        what = f"the tokenizer made token {largest}, the model has embeddings for {vocabulary}"
        return Failure(kind="token outside the vocabulary", message=what)
    return LearntTurn(ids=tuple(whole), start=start)


def _common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """Return how many tokens both begin with."""
    pairs: Iterator[bool] = (one == other for one, other in zip(first, second, strict=False))
    return next((index for index, same in enumerate(pairs) if not same), min(len(first), len(second)))
