"""`--max-thinking-tokens`: the thinking of an answer is generated first, and ended where its budget is used up.

    budget 4    <think> The Vistula runs through          first, by any engine
                \\n</think>\\n\\n                            not said in time, so it is put there
                Warszawa.                                 second: prompt and thinking are continued with the answer

The second step has the tokens of the request for the text alone. A thought that ends in time is continued by the tokens
that would have followed it anyway, so the budget changes no answer that keeps to it.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TypeAlias

from xlingual.records import Finish, Response
from xlingual.thinking import ThinkingMarkers

from .loaded_model import LoadedModel
from .responses import Thought, find_overflow, make_response
from .tokens.rendering import Rendered, Tokenizer, tokenize
from .tokens.thoughts import Answer, count_thinking_tokens, count_tokens_to, opening_of, read_answer, used_markers

TURN_ENDS = {"<|channel|>final<|message|>": "<|end|><|start|>assistant"}
"""What comes between the thinking and its end marker, where both are messages of their own: gpt-oss."""


MAX_THOUGHTS = 512
"""Prompts whose thinking is generated before the first of them is answered: so much is lost with an interrupted run."""
Run: TypeAlias = Callable[[Sequence[Rendered]], Iterator[Response | Thought]]
"""Answers prompts by whichever engine."""


def answer_in_steps(loaded: LoadedModel, prompts: Sequence[Rendered], run: Run) -> Iterator[Response]:
    """Answer every prompt, those with a budget in two steps; both steps of some before the first of others."""
    plain = [each for each in prompts if each.request.max_thinking_tokens is None]
    # In the order of their tokens, so that those that share a prefix stay together.
    limited = sorted(
        (each for each in prompts if each.request.max_thinking_tokens is not None), key=lambda each: each.ids
    )
    yield from _answer_some([*plain, *limited[:MAX_THOUGHTS]], loaded, run)
    for first in range(MAX_THOUGHTS, len(limited), MAX_THOUGHTS):
        yield from _answer_some(limited[first : first + MAX_THOUGHTS], loaded, run)


def _answer_some(prompts: Sequence[Rendered], loaded: LoadedModel, run: Run) -> Iterator[Response]:
    asked: list[Rendered] = []
    thoughts: list[Thought] = []
    for prompt in prompts:
        first = prompt if prompt.request.max_thinking_tokens is None else _ask_for_thinking(loaded, prompt)
        if isinstance(first, Thought):
            thoughts.append(first)
        else:
            asked.append(first)
    again: list[Rendered] = []
    for found in chain(thoughts, run(asked) if asked else ()):
        following = _continue_thought(loaded, found) if isinstance(found, Thought) else found
        if isinstance(following, Rendered):
            overflow = find_overflow(loaded, following)
            if overflow is None:
                again.append(following)
                continue
            following = overflow
        yield following
    if again:
        yield from (each for each in run(again) if isinstance(each, Response))


def _ask_for_thinking(loaded: LoadedModel, prompt: Rendered) -> Rendered | Thought:
    """Return the prompt that is asked for its thinking only, or at once an empty thought where it may not think."""
    limit = prompt.request.max_thinking_tokens or 0
    if not opening_of(loaded, prompt):
        # The model says itself that it thinks, for which it needs some tokens.
        starts = tokenize(loaded.tokenizer, [f"\n{each.start}" for each in loaded.markers], special=False)
        limit = max(limit, *map(len, starts))
    asked = replace(prompt, limit=limit, is_thinking_only=True)
    return asked if limit else Thought(asked, [])


def _continue_thought(loaded: LoadedModel, thought: Thought) -> Rendered | Response:
    """Return the prompt and its thinking as a prompt for the answer, or the response where there is no more to ask."""
    prompt = replace(thought.prompt, limit=None, is_thinking_only=False)
    is_ended = bool(thought.ids) and thought.ids[-1] in loaded.end_ids
    kept = thought.ids[: len(thought.ids) - is_ended]
    answer = read_answer(loaded, prompt, kept)
    thinking = count_thinking_tokens(loaded, answer)
    if thinking is None:
        return _continue_plain(loaded, prompt, thought.ids, is_ended=is_ended)
    budget = max(prompt.request.max_thinking_tokens or 0, _tokens_of_start(loaded, answer))
    if thinking > budget or (answer.thoughts.is_open and not is_ended):
        kept = kept[:budget]
        kept += _end_of_thinking(loaded, read_answer(loaded, prompt, kept))
    elif is_ended:
        return make_response(loaded, prompt, kept, is_ended=True)
    return _continued(prompt, kept, prompt.request.max_new_tokens)


def _continue_plain(loaded: LoadedModel, prompt: Rendered, ids: list[int], *, is_ended: bool) -> Rendered | Response:
    """Return what becomes of an answer without thinking, which has the tokens of the request and no more."""
    left = prompt.request.max_new_tokens - len(ids)
    is_ended = is_ended and left >= 0
    kept = ids[: prompt.request.max_new_tokens]
    response = make_response(loaded, prompt, kept[: len(kept) - is_ended], is_ended=is_ended)
    if response.finish is Finish.LENGTH and left > 0:
        return _continued(prompt, ids, left)
    return response


def _continued(prompt: Rendered, ids: list[int], limit: int) -> Rendered:
    return replace(prompt, ids=(*prompt.ids, *ids), answered=len(ids), limit=limit)


def _tokens_of_start(loaded: LoadedModel, answer: Answer) -> int:
    """Return how many tokens of an answer the start of its thinking takes; 0 where the prompt has it."""
    if answer.opening:
        return 0
    body = answer.text.lstrip()
    start = next((each.start for each in loaded.markers if each.start and body.startswith(each.start)), "")
    return count_tokens_to(loaded, answer, len(answer.text) - len(body) + len(start))


def _end_of_thinking(loaded: LoadedModel, answer: Answer) -> list[int]:
    """Return the tokens that end an open thought."""
    end = end_text(loaded.tokenizer, used_markers(loaded, answer))
    is_new_line = (answer.opening + answer.text).endswith("\n")
    [ids] = tokenize(loaded.tokenizer, [end.lstrip("\n") if is_new_line else end], special=False)
    return ids


def end_text(tokenizer: Tokenizer, markers: ThinkingMarkers) -> str:
    """Return the end marker with the line breaks around it that the chat template writes.

    A template that writes none leaves a special token as it is; a tag, `</think>`, has those that models are trained
    with.
    """
    if (before := TURN_ENDS.get(markers.end)) is not None:
        return before + markers.end
    template = tokenizer.chat_template
    source = template.get("default", "") if isinstance(template, Mapping) else template or ""
    # As a rule inside quotes, where a line break is written as \n.
    breaks = rf"({re.escape(markers.start)})?((?:\\n|\n)*){re.escape(markers.end)}((?:\\n|\n)*)"
    found = []
    for match in re.finditer(breaks, source):
        before, after = (match[group].replace("\\n", "\n") for group in (2, 3))
        # In an empty thought the first half of the line breaks belongs to its start.
        found.append((before[(len(before) + 1) // 2 :] if match[1] else before, after))
    before, after = max(found, key=lambda each: len(each[0]) + len(each[1]), default=("", ""))
    if not before and not after and markers.end.startswith("</"):
        before, after = "\n", "\n\n"
    return f"{before}{markers.end}{after}"
