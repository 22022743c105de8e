"""Generated tokens to text: special tokens are left out, but for the markers of thinking.

    [THINK] Vistula [/THINK] Kraków </s>      ->  "[THINK] Vistula [/THINK] Kraków", with special tokens as markers

Without them nobody could tell the thinking from the answer.
"""

from collections.abc import Sequence
from functools import lru_cache

from xlingual.thinking import KNOWN_MARKERS, ThinkingMarkers

from .rendering import Tokenizer


def decode(tokenizer: Tokenizer, ids: Sequence[int], markers: tuple[ThinkingMarkers, ...] = KNOWN_MARKERS) -> str:
    """Return the text of generated tokens as it is, special tokens left out but for those of the markers."""
    dropped, kept = _special_ids(tokenizer, markers)
    if kept.isdisjoint(ids):
        return tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    shown = [each for each in ids if each not in dropped]
    return tokenizer.decode(shown, skip_special_tokens=False, clean_up_tokenization_spaces=False)


@lru_cache(maxsize=8)
def _special_ids(tokenizer: Tokenizer, markers: tuple[ThinkingMarkers, ...]) -> tuple[frozenset[int], frozenset[int]]:
    """Return the special tokens that are left out of texts, and those that are parts of markers."""
    parts = [part for each in markers for part in (each.start, each.end)]
    special = {
        token: str(text).strip()
        for token, text in tokenizer.added_tokens_decoder.items()
        if getattr(text, "special", False)
    }
    kept = frozenset(token for token, text in special.items() if text and any(text in part for part in parts))
    return frozenset(special) - kept, kept
