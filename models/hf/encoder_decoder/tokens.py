"""Requests to encoder-decoders: what the encoder reads and what the decoder is given.

The encoder's text has the special tokens of a whole text, an end token as a rule: it is read, not continued.
"""

from collections.abc import Sequence

from xlingual.errors import ModelError
from xlingual.records import Choice, Failure, Request

from ..tokens.choices import ScoringWindow, TokenizedChoices, TokenizerContext
from ..tokens.rendering import Rendered, render_text, tokenize
from .description import EncoderDecoder, TargetToken


def tokenize_each(
    context: TokenizerContext, model: EncoderDecoder, requests: Sequence[Request]
) -> list[Rendered | TokenizedChoices | Failure]:
    """Return each request as the model sees it, in order, or why it cannot.

    Raises ModelError where a chat is asked of a model without a template, and where a translator lacks a language or is
    asked for something else.
    """
    found: list[Rendered | TokenizedChoices | Failure] = []
    for target in {each.translation.target for each in requests if each.translation is not None}:
        model.decoder_prompt(target)  # a language that it lacks shows before anything is asked
    for request in requests:
        if model.translator is not None and request.translation is None:
            hint = "ask it for tasks of translation, without --template"
            raise ModelError("the model only translates, and is asked for something else", hint=hint)
        text = render_text(context.tokenizer, request)
        if isinstance(text, Failure):
            found.append(text)
        elif request.choices is None:
            found.append(_check(context, Rendered(request=request, ids=_encode(context, model, request, text))))
        else:
            found.append(_tokenize_choices(context, model, request, text))
    return found


def _encode(context: TokenizerContext, model: EncoderDecoder, request: Request, text: str) -> tuple[int, ...]:
    """Return the tokens that the encoder reads; a translator's name the language of the sentence, or the target's."""
    tokenizer, translator, languages = context.tokenizer, model.translator, request.translation
    if translator is not None and languages is not None:
        if translator.target is TargetToken.PREFIX:
            text = f"<2{translator.code(languages.target)}> {text}"
        elif (code := translator.source_code(languages.source)) is not None and hasattr(tokenizer, "src_lang"):
            tokenizer.src_lang = code
    [ids] = tokenize(tokenizer, [text], special=True)
    return tuple(ids)


def _check(context: TokenizerContext, rendered: Rendered) -> Rendered | Failure:
    problem = _outside(context, rendered.ids) if rendered.ids else Failure(kind="empty prompt", message="no tokens")
    return rendered if problem is None else problem


def _outside(context: TokenizerContext, ids: Sequence[int]) -> Failure | None:
    if (largest := max(ids)) < context.vocabulary:
        return None
    message = f"the tokenizer made token {largest}, the model has embeddings for {context.vocabulary}"
    return Failure(kind="token outside the vocabulary", message=message)


def _tokenize_choices(
    context: TokenizerContext, model: EncoderDecoder, request: Request, text: str
) -> TokenizedChoices | Failure:
    target = request.translation.target if request.translation is not None else None
    # As lm-eval scores them: after the decoder's start alone, unless a language must come first.
    given = model.decoder_prompt(target) if model.translator is not None else (model.start,)
    windows: list[tuple[ScoringWindow, ...]] = []
    for number, choice in enumerate(request.choices or (), start=1):
        before, continuation = _split(text, choice)
        source = _encode(context, model, request, before)
        [ids] = tokenize(context.tokenizer, [continuation], special=False)
        if not ids:
            return Failure(kind="empty choice", message=f"choice {number} has no token")
        if (problem := _outside(context, [*source, *ids, 0])) is not None:
            return problem
        if context.window is not None and len(given) + len(ids) > context.window:
            message = f"the choice has {len(ids)} tokens, the model reads {context.window}"
            return Failure(kind="context overflow", message=message)
        source = source if context.window is None else source[-context.window :]
        whole = (*source, *given, *ids)
        windows.append((ScoringWindow(whole, len(source) + len(given), len(source)),))
    longest = max(len(window.ids) for [window] in windows)
    return TokenizedChoices(request=request, windows=tuple(windows), tokens=longest)


def _split(text: str, choice: Choice) -> tuple[str, str]:
    """Return what the encoder reads and what is scored; spaces between them go to the latter, as in lm-eval."""
    whole = text + choice.before
    kept = whole.rstrip()
    return kept, whole[len(kept) :] + choice.text
