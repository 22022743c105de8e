"""Sentences in seven languages, labelled by hand: what each detector must find in them, and what not.

The TOML files in `labelled/` hold, for a language: `plain` sentences, `near` ones that look like refusals and are none,
and ten answers of each kind. `held-out.toml` has refusals and abstentions that nobody made the table of phrases by.
"""

import tomllib
from functools import lru_cache
from pathlib import Path

from xlingual.analysis.content import AnsweredSample
from xlingual.analysis.content.prompts import GivenTexts

FOLDER = Path(__file__).with_name("labelled")
LANGUAGES = ("ar", "el", "en", "hi", "tr", "vi", "zh")
LEAST = 10


@lru_cache
def sentences(language: str, kind: str) -> tuple[str, ...]:
    """Return the sentences of a kind, at least ten."""
    found = tomllib.loads((FOLDER / f"{language}.toml").read_text(encoding="utf-8"))[kind]
    assert len(found) >= LEAST
    assert len(set(found)) == len(found)
    return tuple(found)


def held_out(language: str, kind: str) -> tuple[str, ...]:
    """Return refusals or abstentions that were written without the table of phrases."""
    found: dict[str, list[str]] = tomllib.loads((FOLDER / "held-out.toml").read_text(encoding="utf-8"))[kind]
    return tuple(found[language])


def make_sample(answer: str, language: str = "en", **more: object) -> AnsweredSample:
    return AnsweredSample(id="q1", cluster="c", group=None, language=language, answer=answer, **more)  # type: ignore[arg-type]  # the test's own words


def given(**texts: str) -> GivenTexts:
    return GivenTexts(**texts)
