"""How alike two languages are by their typology: distances of URIEL's features, from the package urielplus.

    similarity = 1 - angle between the two vectors of features / 90 degrees

Only features that are known of both languages count; a feature is there where any of URIEL's sources says so. This is
`URIELPlus().new_distance` of the package (Khan et al. 2025) with its own settings, to its four digits
(tests/scaling/test_typology.py). The package is not imported: that would set up the log of the whole process and copy
files into its own folder. What it ships is read, URIEL as of Littell et al. 2017; nothing comes from a network.
"""

import importlib.metadata
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from math import acos, pi, sqrt
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DataError, EnvironmentFault
from ..languages import find_language

if TYPE_CHECKING:
    from numpy.typing import NDArray

PACKAGE = "urielplus"
FEATURES = Path("database", "original_uriel", "features.npz")
KINDS = {"featural": "", "syntactic": "S_", "phonological": "P_", "inventory": "INV_"}
"""Words of `--features`, and what the names of such features begin with."""
FEW = 50
"""Shared features; a distance over fewer says little."""
_LEAST = 0.001
"""Similarity of languages that share no feature at all: gamma is above 0."""
_DIGITS = 4
_CODES = {"zho": "cmn"}
"""ISO 639-3 of a macrolanguage to that of the language that its text is in, beside those of FLORES-200."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Typology:
    """How alike a language and English are, by the features that URIEL knows of both."""

    language: str
    similarity: float
    distance: float
    """0: no feature differs, 1: none is shared."""
    features: int
    """Known of both languages."""
    code: str
    """URIEL's: of a macrolanguage and the language that its text is in, the one that most is known of."""
    source: str
    """Package, version and kind of features."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Features:
    codes: dict[str, int]
    names: "NDArray[np.str_]"
    values: "NDArray[np.float32]"
    """(languages, features, sources): 0, 1, or -1 where a source does not know."""


def typological_similarity(languages: Sequence[str], kind: str = "featural", pivot: str = "en") -> tuple[Typology, ...]:
    """Return the similarity of each language to `pivot`, both by our codes.

    Raises EnvironmentFault without the package, DataError for a language of which it knows no feature of the kind.
    """
    read = _read_features()
    source = f"{PACKAGE} {importlib.metadata.version(PACKAGE)}, {kind}"
    of_kind = np.char.startswith(read.names, KINDS[kind])
    center = next(iter(_known(read, pivot, of_kind).values()))
    found = []
    for code in languages:
        vectors = _known(read, code, of_kind)
        other = max(vectors, key=lambda each: int(np.sum((vectors[each] >= 0) & (center >= 0))))
        vector = vectors[other]
        shared = (vector >= 0) & (center >= 0)
        if not shared.any():
            hint = "leave the language out, or take another kind with --features"
            raise DataError(f"{PACKAGE} knows no {kind} feature of it that it knows of {pivot}", where=code, hint=hint)
        distance = _angle(vector[shared], center[shared])
        found.append(
            Typology(
                language=code,
                similarity=max(round(1.0 - distance, _DIGITS), _LEAST),
                distance=distance,
                features=int(shared.sum()),
                code=other,
                source=source,
            )
        )
    return tuple(found)


def _read_features() -> _Features:
    spec = importlib.util.find_spec(PACKAGE)
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    if not folders:
        hint = "pip install 'xlingual[typology]'"
        raise EnvironmentFault(f"the package {PACKAGE} is not installed", where="--by typology", hint=hint)
    path = Path(folders[0]) / FEATURES
    try:
        with np.load(path, allow_pickle=False) as loaded:
            return _Features(
                codes={str(code): place for place, code in enumerate(loaded["langs"])},
                names=loaded["feats"],
                values=loaded["data"],
            )
    except (OSError, ValueError, KeyError) as error:
        hint = "this version of the package keeps its features elsewhere: pip install 'urielplus>=1.3,<2'"
        raise EnvironmentFault(f"its features cannot be read: {error}", where=PACKAGE, hint=hint) from error


def _codes_of(code: str) -> list[str]:
    """Return the codes that URIEL may have a language under."""
    language = find_language(code)
    own, single = (word.partition("_")[0] for word in (language.flores, language.flores200))
    return list(dict.fromkeys([_CODES.get(single, single), own]))


def _known(read: _Features, language: str, of_kind: "NDArray[np.bool_]") -> "dict[str, NDArray[np.float32]]":
    """Return the features of a language by URIEL's codes for it: 0, 1, or -1 where no source knows."""
    codes = _codes_of(language)
    vectors = {code: read.values[read.codes[code]].max(axis=1) for code in codes if code in read.codes}
    if not vectors:
        raise DataError(f"{PACKAGE} does not know the language ({', '.join(codes)})", where=language)
    return {code: np.where(of_kind, vector, np.float32(-1.0)) for code, vector in vectors.items()}


def _angle(first: "NDArray[np.float32]", second: "NDArray[np.float32]") -> float:
    """Return the angle between two vectors that are not negative, as a share of 90 degrees."""
    norms = sqrt(float(first @ first) * float(second @ second))
    if norms == 0.0:
        # A language without any of the features points nowhere: nearest to another such one, and to no other.
        return 0.0 if not first.any() and not second.any() else 1.0
    return round(2.0 * acos(min(1.0, float(first @ second) / norms)) / pi, _DIGITS)
