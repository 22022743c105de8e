"""Generated tokens to responses, and the responses of prompts that have no answer."""

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


def respond(loaded: LoadedModel, prompt: Rendered, new: list[int], stopped: int | None, broken: int | None) -> Response:
    """Make a response of the `new` tokens of a row, which may be padded behind its end.

    `stopped` is the number of tokens up to the one that completed a stop string, `broken` the first step whose logits
    were not finite.
    """
    end = next((place for place, token in enumerate(new[:stopped]) if token in loaded.end_ids), None)
    kept = new[:stopped] if end is None else new[:end]
    if broken is not None and broken <= len(kept):
        message = f"the scores of token {broken + 1} of the answer hold NaN or infinity"
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
