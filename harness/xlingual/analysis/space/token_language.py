"""The language of a single token: by its script, then by who uses it, then by the identifier; or undecided.

" das" is German beside English and Greek, and undecided beside Dutch, which has it too. Punctuation, digits and parts
of characters have no language. Whether that is right is tried on sentences held out, and said beside every share.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import regex

from ...languages import LANGUAGES
from ...metrics.off_target import identify_language
from .records import TokenIdentification

OTHER = "other"
UNDECIDED = "undecided"
CLEAR_SHARE = 0.75
"""Of the uses of a token, each language weighed alike, that one language needs to have it."""
FEWEST_USES = 2
FEWEST_LETTERS = 4
"""Of a whole word, for the identifier; it is not to be trusted with less."""
_SCRIPTS: Mapping[str, tuple[str, ...]] = {
    "Hans": ("Hani",),
    "Hant": ("Hani",),
    "Jpan": ("Hani", "Hira", "Kana"),
    "Kore": ("Hang", "Hani"),
}
"""What Unicode calls the scripts of a language, where it is not what ISO 15924 calls its writing."""
_LETTER = regex.compile(r"[\p{L}\p{M}]")


@dataclass(frozen=True, slots=True)
class TokenLanguages:
    """Tells the language of tokens among the analysed ones."""

    codes: tuple[str, ...]
    uses: Mapping[int, Mapping[str, float]]
    """Token -> language -> uses in a million tokens, of tokens used often enough."""
    text_of: Callable[[Sequence[int]], str]
    known: dict[int, str]
    """What was told before."""

    def of(self, token: int) -> str:
        """Return the code of the language of a token, "other" or "undecided"."""
        if token not in self.known:
            self.known[token] = self._tell(token)
        return self.known[token]

    def _tell(self, token: int) -> str:
        text = self.text_of([token])
        letters = "".join(_LETTER.findall(text))
        if not letters:
            return UNDECIDED
        candidates = [code for code in self.codes if _is_written_in(letters, code)]
        if len(candidates) < 2:
            return candidates[0] if candidates else OTHER
        uses = {code: share for code, share in self.uses.get(token, {}).items() if code in candidates}
        if uses and max(uses.values()) >= CLEAR_SHARE * sum(uses.values()):
            return max(uses, key=lambda code: uses[code])
        if uses or not text[0].isspace() or len(letters) < FEWEST_LETTERS:
            return UNDECIDED
        label = identify_language(text)
        named = [code for code in candidates if LANGUAGES[code].lid == label]
        return UNDECIDED if label is None else named[0] if len(named) == 1 else OTHER


def _is_written_in(letters: str, code: str) -> bool:
    """Return whether most of the letters are of the script of a language."""
    script = LANGUAGES[code].script
    names = "".join(f"\\p{{Script={each}}}" for each in _SCRIPTS.get(script, (script,)))
    return 2 * len(regex.findall(f"[{names}]", letters)) > len(letters)


def learn_languages(
    codes: Sequence[str], ids: Sequence[Sequence[Sequence[int]]], text_of: Callable[[Sequence[int]], str]
) -> TokenLanguages:
    """Return what tells the language of tokens, from the tokens of sentences in each language."""
    counts = [Counter(token for line in lines for token in line) for lines in ids]
    totals = [max(1, each.total()) for each in counts]
    often = [token for token, uses in sum(counts, Counter()).items() if uses >= FEWEST_USES]
    uses = {
        token: {
            code: 1e6 * each[token] / total
            for code, each, total in zip(codes, counts, totals, strict=True)
            if each[token]
        }
        for token in often
    }
    return TokenLanguages(codes=tuple(codes), uses=uses, text_of=text_of, known={})


def try_identification(
    codes: Sequence[str], ids: Sequence[Sequence[Sequence[int]]], text_of: Callable[[Sequence[int]], str]
) -> tuple[TokenIdentification, ...]:
    """Return how the tokens of every second sentence are told by what the others teach."""
    learnt = learn_languages(codes, [lines[::2] for lines in ids], text_of)
    found = []
    for code, lines in zip(codes, ids, strict=True):
        tokens = [token for line in lines[1::2] for token in line]
        told = Counter(learnt.of(token) for token in tokens)
        whole = max(1, len(tokens))
        right, undecided = told[code] / whole, told[UNDECIDED] / whole
        wrong = (len(tokens) - told[code] - told[UNDECIDED]) / whole
        found.append(
            TokenIdentification(language=code, tokens=len(tokens), right=right, wrong=wrong, undecided=undecided)
        )
    return tuple(found)
