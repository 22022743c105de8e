"""Generated tokens to responses, and prompts that leave no room for an answer."""

from xlingual.records import Failure, Finish, Response, failed_response
from xlingual.text import find_stop

from .loaded_model import LoadedModel
from .tokens.rendering import Rendered, Tokenizer


def find_overflow(loaded: LoadedModel, prompt: Rendered) -> Response | None:
    """Return the failure of a prompt that leaves no room for an answer, or None."""
    if loaded.context_length is None or len(prompt.ids) < loaded.context_length:
        return None
    what = f"the prompt has {len(prompt.ids)} tokens, the model reads {loaded.context_length}"
    return failed_response(
        prompt.request, Failure(kind="context overflow", message=what), prompt_tokens=len(prompt.ids)
    )


def decode(tokenizer: Tokenizer, ids: list[int]) -> str:
    """Return the text of generated tokens as it is, special tokens left out."""
    return tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


def respond(
    loaded: LoadedModel, prompt: Rendered, new: list[int], stop_length: int | None, nonfinite_step: int | None
) -> Response:
    """Return the response that the `new` tokens of a row make, which may be padded after its end.

    `stop_length` is the number of tokens up to the one that completes a stop string, `nonfinite_step` the first step
    whose logits were not finite.
    """
    end = next((index for index, token in enumerate(new[:stop_length]) if token in loaded.end_ids), None)
    kept = new[:stop_length] if end is None else new[:end]
    if nonfinite_step is not None and nonfinite_step <= len(kept):
        message = f"the scores of token {nonfinite_step + 1} of the answer hold NaN or infinity"
        return failed_response(
            prompt.request, Failure(kind="non-finite logits", message=message), prompt_tokens=len(prompt.ids)
        )
    text = decode(loaded.tokenizer, kept)
    cut = find_stop(text, prompt.request.stop)
    finish = Finish.STOP if cut is not None else Finish.LENGTH if end is None else Finish.EOS
    return Response(
        key=prompt.request.key,
        text=text if cut is None else text[:cut],
        failure=None,
        finish=finish,
        prompt_tokens=len(prompt.ids),
        tokens=len(kept),
    )
