"""Placeholder until branch d-declared is merged."""


def extract_answer(word: str, language: str, text: str) -> str | None:
    """Return the text."""
    return text if word and language else None
