"""How a model is asked and where its answers end, as its files and the user's options say: all but its weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from xlingual.identity import Json
from xlingual.plugin import ModelOptions
from xlingual.sampling import Sampling
from xlingual.thinking import ThinkingMarkers, find_markers, markers_ending

from ..encoder_decoder.description import EncoderDecoder, describe_encoder_decoder
from ..tokens.chat_template import ChosenTemplate, choose_template
from ..tokens.rendering import Tokenizer, answer_cue, turn_end
from .generation_config import constraints, dropped_fields, end_tokens, read_generation_config, recommended_sampling
from .window import ContextWindow, context_window


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How a model is asked."""

    chat: ChosenTemplate
    end_ids: tuple[int, ...]
    """Tokens that end an answer."""
    learnt_end: int | None
    """The token that ends a turn, for chats to learn; None: the tokenizer's end token."""
    window: ContextWindow
    thinking: ThinkingMarkers | None
    cue: str
    """What is put behind every chat, as the template has no generation prompt; mostly ""."""
    sampling: Sampling | None
    """What the model recommends."""
    constraints: Mapping[str, Json]
    """Tokens that its configuration bars, as `GenerationConfig` takes them."""
    encoder_decoder: EncoderDecoder | None
    """What an encoder-decoder says an answer after; None for a decoder."""
    dropped: str | None
    """Fields of its generation_config that are not followed."""

    @property
    def translates(self) -> bool:
        """Whether the model is a translator, which is asked with the bare sentence."""
        return self.encoder_decoder is not None and self.encoder_decoder.translator is not None

    @property
    def identity(self) -> dict[str, Json]:
        """What of it changes answers and is in no hash yet; empty for a model of which nothing of it is said."""
        asks_date = isinstance(self.chat.text, str) and "strftime_now" in self.chat.text
        found: dict[str, Json] = {
            "chat_template_name": self.chat.name,
            "date": self.chat.date if asks_date else None,
            "window": None if self.window.note is None else self.window.tokens,
            "thinking_end": None if self.thinking in (None, _markers_of(self.chat)) else self.thinking.end,
            "constraints": dict(self.constraints),
            "cue": self.cue,
        }
        return {name: value for name, value in found.items() if value}

    def details(self, tokenizer: Tokenizer) -> dict[str, str]:
        """Return what a reader should know of it."""
        names = tokenizer.convert_ids_to_tokens(list(self.end_ids))
        ends = [name or f"token {token}" for name, token in zip(names, self.end_ids, strict=True)]
        found = {
            "end tokens": ", ".join(ends),
            "chat template": self.chat.name,
            "date in the chat template": self.chat.date,
            "window": self.window.note,
            "put behind every chat": self.cue.strip() or None,
            "generation_config not followed": self.dropped,
        }
        return {name: value for name, value in found.items() if value}


def read_asking(folder: Path, config: object, tokenizer: Tokenizer, vocabulary: int, options: ModelOptions) -> Asking:
    """Return how the model of a folder is asked, and give the `tokenizer` the one chat template that is used.

    Raises UsageError for a template or a window that there is not. `vocabulary` is the number of embeddings.
    """
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    chat = choose_template(tokenizer.chat_template, options.chat_template)
    tokenizer.chat_template = chat.text
    generation = read_generation_config(folder)
    turn = turn_end(tokenizer)
    if turn is not None and turn.token >= vocabulary:
        turn = None
    ends = (tokenizer.eos_token_id, turn.token if turn else None)
    return Asking(
        chat=chat,
        end_ids=end_tokens(generation, getattr(config, "eos_token_id", None), ends),
        learnt_end=turn.token if turn and not turn.opens_next else None,
        window=context_window(text, tokenizer.model_max_length, options.max_model_len),
        thinking=_thinking(chat, options.thinking_end),
        cue=answer_cue(tokenizer),
        sampling=recommended_sampling(generation),
        constraints=constraints(generation, vocabulary),
        encoder_decoder=describe_encoder_decoder(config, generation, tokenizer),
        dropped=dropped_fields(generation),
    )


def _markers_of(chat: ChosenTemplate) -> ThinkingMarkers | None:
    return find_markers(chat.text) if isinstance(chat.text, str) else None


def _thinking(chat: ChosenTemplate, end: str | None) -> ThinkingMarkers | None:
    """Return what thinking begins and ends with: the text `end` where the user says so, else what the template has."""
    return _markers_of(chat) if end is None else markers_ending(end)
