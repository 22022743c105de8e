"""Whether an answer has reached its end with its newest token, for which its last tokens are looked at."""

from collections.abc import Sequence

from ..loaded_model import LoadedModel
from .detokenization import decode
from .rendering import Rendered
from .thoughts import MARKER_TOKENS, is_surely_thinking, read_answer


def is_stopped(loaded: LoadedModel, prompt: Rendered, new: Sequence[int]) -> bool:
    """Return whether the newest of the `new` tokens completes a stop string after the thinking.

    Where the prompt is asked for its thinking only, the end of the thinking stops it, too, and a model that does not
    think has no more tokens than an answer without thinking.
    """
    stop = prompt.request.stop
    if not prompt.is_thinking_only:
        may_end = _may_end(loaded, new, stop) and not is_surely_thinking(loaded, prompt, new)
        return may_end and read_answer(loaded, prompt, new).find_stop(stop) is not None
    # Looked at twice, for the second time where the start of a thought may not have been complete.
    is_full = len(new) - prompt.request.max_new_tokens in (0, MARKER_TOKENS)
    if not is_full and not _may_end(loaded, new, [*stop, *(each.end for each in loaded.markers)]):
        return False
    answer = read_answer(loaded, prompt, new)
    if answer.thoughts.is_open or answer.thoughts.end:
        return not answer.thoughts.is_open
    return (is_full and not answer.thoughts.is_undecided) or answer.find_stop(stop) is not None


def _may_end(loaded: LoadedModel, new: Sequence[int], words: Sequence[str]) -> bool:
    """Return whether the last tokens hold one of the words; as a rule, only as many tokens as needed are decoded.

    As many as the longest word has bytes, for every token but a special one is at least a byte of text; more where
    their text is shorter than that.
    """
    if not any(words):
        return False
    tokenizer, markers = loaded.tokenizer, loaded.markers
    longest = max(len(each.encode()) for each in words)
    reach = longest + 2
    while reach < len(new):
        newest, text = decode(tokenizer, new[-1:], markers), decode(tokenizer, new[-reach:], markers)
        if any(each in text for each in words if each):
            return True
        if len(text) > longest + len(newest):
            return False
        reach *= 2
    return True
