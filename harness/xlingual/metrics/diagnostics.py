"""How answers fail: shares of answers that are empty, copy their source, or were cut off. See also `off_target`."""

from ..records import Example, Finish, Response
from ..text import for_scoring
from .mean import MeanMetric, in_every_language


def is_empty(_example: Example, text: str, _response: Response) -> float:
    """Return 1.0 for an answer without any visible character, else 0.0."""
    return float(for_scoring(text).strip() == "")


def copies_source(example: Example, text: str, _response: Response) -> float:
    """Return 1.0 for an answer that repeats a whole field: the sentence to translate, the question or the context."""
    answer = _fold(text)
    return float(answer != "" and any(answer == _fold(field) for field in example.fields.values()))


def is_truncated(_example: Example, _text: str, response: Response) -> float | None:
    """Return 1.0 for an answer that the token limit cut off, None where the backend does not say."""
    return None if response.finish is None else float(response.finish is Finish.LENGTH)


def _fold(text: str) -> str:
    return " ".join(for_scoring(text).casefold().split())


METRICS = tuple(
    MeanMetric(name=name, higher_is_better=False, judge=judge, describe=in_every_language(signature))
    for name, judge, signature in (
        ("empty", is_empty, "rate:empty|text:nfc-visible"),
        ("source_copy", copies_source, "rate:source-copy|case:fold|space:collapsed|text:nfc-visible"),
        ("truncated", is_truncated, "rate:truncated"),
    )
)
