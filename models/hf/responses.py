"""Generated tokens to responses, and prompts that leave no room for an answer."""

from dataclasses import dataclass

from xlingual.records import Failure, Finish, Response, failed_response

from .loaded_model import LoadedModel
from .tokens.rendering import Rendered
from .tokens.thoughts import count_thinking_tokens, read_answer


@dataclass(frozen=True, slots=True)
class Thought:
    """What a prompt that is asked for its thinking only has got; `thinking_budget` goes on with it."""

    prompt: Rendered
    ids: list[int]
    """As generated, up to the token that ends it, an end token included."""


def find_overflow(loaded: LoadedModel, prompt: Rendered) -> Response | None:
    """Return the failure of a prompt that leaves no room for an answer, or None."""
    if loaded.context_length is None or len(prompt.ids) < loaded.context_length:
        return None
    what = "the prompt and its thinking have" if prompt.answered else "the prompt has"
    message = f"{what} {len(prompt.ids)} tokens, the model reads {loaded.context_length}"
    return _fail(prompt, Failure(kind="context overflow", message=message))


def respond(
    loaded: LoadedModel, prompt: Rendered, new: list[int], stop_length: int | None, nonfinite_step: int | None
) -> Response | Thought:
    """Return the response that the `new` tokens of a row make, which may be padded after its end.

    `stop_length` is the number of tokens up to the one that completes a stop string, `nonfinite_step` the first step
    whose logits were not finite.
    """
    end = next((index for index, token in enumerate(new[:stop_length]) if token in loaded.end_ids), None)
    kept = new[:stop_length] if end is None else new[:end]
    if nonfinite_step is not None and nonfinite_step <= len(kept):
        message = f"the scores of token {prompt.answered + nonfinite_step + 1} of the answer hold NaN or infinity"
        return _fail(prompt, Failure(kind="non-finite logits", message=message))
    if prompt.is_thinking_only:
        return Thought(prompt, kept if end is None else new[: end + 1])
    return make_response(loaded, prompt, kept, is_ended=end is not None)


def make_response(loaded: LoadedModel, prompt: Rendered, kept: list[int], *, is_ended: bool) -> Response:
    """Return the response that the tokens of an answer make, the end token not among them."""
    answer = read_answer(loaded, prompt, kept)
    cut = answer.find_stop(prompt.request.stop)
    return Response(
        key=prompt.request.key,
        text=answer.opening + answer.text[:cut],
        failure=None,
        finish=Finish.STOP if cut is not None else Finish.EOS if is_ended else Finish.LENGTH,
        prompt_tokens=len(prompt.question_ids),
        tokens=len(answer.ids),
        thinking_tokens=count_thinking_tokens(loaded, answer),
    )


def _fail(prompt: Rendered, failure: Failure) -> Response:
    return failed_response(prompt.request, failure, prompt_tokens=len(prompt.question_ids))
