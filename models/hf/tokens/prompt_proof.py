"""Proof of what a model reads: a hash of the token ids of all prompts, and that they hold what is asked.

    question       Which river runs through Warszawa?
    token ids      1, 523, 87, ...                         hashed, prompt after prompt, in order
    read again     <s>[INST] Which river runs through Warszawa? [/INST]

A chat template that drops the question is refused where it is rendered (see `chat_template`). Here the tokens are read
again: a tokenizer with the wrong files gives the same few tokens for every text.
"""

import hashlib
import unicodedata
from array import array
from collections.abc import Iterator, Sequence

from xlingual.errors import ModelError
from xlingual.records import Failure, Form, Request, Role

from .choices import TokenizedChoices
from .rendering import Rendered, Tokenizer

LEAST_SHARE = 0.1
"""Of the letters of a question, in runs of three, that its tokens must give back. Tokenizers that fold case or strip
accents give back nearly all; one without the letters of a script gives back its digits and Latin words."""
RUN = 3
"""Letters that are compared together, so that two texts with the same letters are two texts."""


def prove_prompts(tokenizer: Tokenizer, found: Sequence[Rendered | TokenizedChoices | Failure]) -> str:
    """Return the hash of the token ids of all prompts, 64 hex digits; one without tokens counts as an empty prompt.

    Raises ModelError where no prompt at all holds its question: then it is the tokenizer that is wrong.
    """
    prompts = [each for each in found if isinstance(each, Rendered)]
    if prompts and not any(holds_question(tokenizer, each) for each in prompts):
        what = f"the prompt's tokens do not hold its question: they are {show_prompt(tokenizer, prompts[0])[:80]!r}"
        raise ModelError(what, where="tokenizer", hint="are the tokenizer's files those of this model?")
    digest = hashlib.sha256()
    for each in found:
        for ids in _token_ids(each):
            digest.update(len(ids).to_bytes(8, "little") + array("i", ids).tobytes())
    return digest.hexdigest()


def holds_question(tokenizer: Tokenizer, prompt: Rendered) -> bool:
    """Return whether the tokens of a prompt, as a text again, hold what is asked."""
    asked = _runs(_question(prompt.request))
    if not asked:
        return True
    return len(asked & _runs(show_prompt(tokenizer, prompt))) >= LEAST_SHARE * len(asked)


def show_prompt(tokenizer: Tokenizer, found: Rendered | TokenizedChoices) -> str:
    """Return what the model reads as a text, special tokens shown; of choices the first one with its context."""
    ids = next(_token_ids(found))
    return tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)


def _token_ids(found: Rendered | TokenizedChoices | Failure) -> Iterator[tuple[int, ...]]:
    """Yield the ids of a prompt, or of each window of its choices; nothing for a failure but an empty prompt."""
    if isinstance(found, Failure):
        yield ()
    elif isinstance(found, Rendered):
        yield found.ids
    else:
        yield from (window.ids for choice in found.windows for window in choice)


def _question(request: Request) -> str:
    """Return the last message of the user, which holds passage and question; of a text all of it."""
    if request.form is Form.TEXT:
        return "".join(message.text for message in request.messages)
    return next((each.text for each in reversed(request.messages) if each.role is Role.USER), "")


def _runs(text: str) -> frozenset[str]:
    """Return the runs of letters and digits in `text`, without case, accents and spaces."""
    letters = "".join(each for each in unicodedata.normalize("NFKD", text.casefold()) if each.isalnum())
    return frozenset(letters[start : start + RUN] for start in range(len(letters) - RUN + 1))
