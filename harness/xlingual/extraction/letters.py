"""The letter of a choice in an answer: "B", "(b)", "Answer: B", "The answer is **B**.", "الجواب: ب", "选乙".

The first of these that finds anything decides:

1. The whole answer is a label, in brackets or with a full stop or not; several labels and nothing else are none.
2. The last answer word ("answer", "Cevap", "答案", ...) with a label behind it on the same line. Where an answer begins
   with a line as in 3, words that any choice is called by ("option", "Seçenek", "选项", ...) are none.
3. Lines that are a label, or begin with one and a mark, "(B)", "B.", "B)" or "B:", if all of them have the same label.
4. Labels in brackets anywhere, if all are the same.
5. A label as the first or the last word of the answer, if the answer names no other.

A label counts only where it is no part of a word, and a single letter that is a word of its own in many languages
("A", "a", "E", "I", "O", "А", "В", "С", ...) not where more words follow: "A dog." and "The answer is a dog." have no
label; "A because it barks." and "The answer is A." have.
"""

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ..languages import LANGUAGES
from ..text import for_scoring

DEFAULT_LABELS = ("A", "B", "C", "D")
ANSWER_WORDS: Mapping[str, tuple[str, ...]] = {
    "ar": ("الإجابة", "الاجابة", "إجابة", "الجواب", "جواب", "الخيار", "الاختيار"),
    "bn": ("উত্তর", "বিকল্প"),
    "cs": ("odpověď", "možnost"),
    "de": ("antwort", "lösung", "option", "auswahl"),
    "el": ("απάντηση", "επιλογή"),
    "en": ("answer", "answers", "option", "choice"),
    "es": ("respuesta", "opción", "solución"),
    "et": ("vastus", "valik"),
    "fa": ("پاسخ", "جواب", "گزینه"),
    "fi": ("vastaus", "vaihtoehto"),
    "fr": ("réponse", "option", "choix"),
    "he": ("תשובה", "התשובה"),
    "hi": ("उत्तर", "जवाब", "विकल्प"),
    "hu": ("válasz",),
    "id": ("jawaban", "jawabannya", "pilihan"),
    "it": ("risposta", "opzione"),
    "ja": ("答え", "回答", "解答", "正解", "選択肢"),
    "ko": ("정답", "답", "답변", "선택지"),
    "nl": ("antwoord", "optie"),
    "pl": ("odpowiedź", "odpowiedzią", "opcja"),
    "pt": ("resposta", "opção", "alternativa"),
    "ro": ("răspuns", "răspunsul", "varianta"),
    "ru": ("ответ", "ответом", "вариант"),
    "sv": ("svar", "svaret", "alternativ"),
    "sw": ("jibu", "jawabu"),
    "ta": ("விடை", "பதில்"),
    "te": ("సమాధానం", "జవాబు"),
    "th": ("คำตอบ", "ตอบ", "ข้อ"),
    "tr": ("cevap", "cevabı", "yanıt", "yanıtı", "seçenek"),
    "uk": ("відповідь", "варіант"),
    "ur": ("جواب",),
    "vi": ("đáp án", "câu trả lời", "trả lời"),
    "zh": ("答案", "回答", "选项", "選項", "选", "選"),
}
"""What stands before the label in an answer; English words count in every language."""
_MENTIONS = frozenset(
    word
    for words in (
        "answers option choice الخيار الاختيار বিকল্প možnost auswahl επιλογή opción valik گزینه vaihtoehto choix विकल्प",
        "pilihan opzione 選択肢 선택지 optie opcja opção alternativa varianta вариант alternativ ข้อ seçenek варіант",
        "选项 選項",
    )
    for word in words.split()
)
"""Those of the answer words that stand before wrong choices as well: "B. Paris. Option A is a village."""

OWN_LETTERS: Mapping[str, str] = {
    "Arab": "أبجده", "Beng": "কখগঘঙ", "Cyrl": "АБ Г", "Deva": "कखगघङ", "Grek": "ΑΒΓΔΕ", "Hebr": "אבגדה",
    "Hans": "甲乙丙丁戊", "Hant": "甲乙丙丁戊", "Jpan": "アイウエオ", "Kore": "가나다라마", "Thai": "กขคงจ",
}  # fmt: skip
"""By script, what a model may answer for A, B, C, D, E. Cyrillic В and С are not among it: they look like B and C."""

_SAME = {"ا": "أ", "إ": "أ", "آ": "أ", "ھ": "ه", "هـ": "ه"}
_ONE_LETTER_WORDS = frozenset("aeiouy" + "авикосуя" + "αηοω" + "و")
_NO_WORDS = {**dict.fromkeys(("de", "et", "fi", "id", "nl", "sv", "tr", "vi"), "ae"), "el": "α", "ru": "а", "uk": "а"}
"""By language, letters that are no word of it behind an answer word: "Cevap: A şıkkı" has a label."""
_FOLLOWERS = frozenset(
    word
    for words in (
        "because since as is was are seems would due based follows according although but which not from given so if",
        "when with by on for per it this that the therefore hence only and or",
        "porque pues weil da denn car parce que çünkü vì karena perché потому так поскольку",
        "ist est es è é jest är er este là doğru doğrudur верно верный είναι adalah",
    )
    for word in words.split()
)
"""Words that go on after a label, where "A" might be a word: the others make it an article or a preposition."""
_CUE_REACH = 40
"""Characters between an answer word and its label, on one line: "The correct answer to the question is (B)"."""
_DECORATION = re.compile(r"\\(?:boxed|text|textbf|mathrm|mathbf)\s*(?=\{)|[*_`$\\{}]")
_NOT = r"not neither nor nicht weder keine? pas non não nem не δεν ούτε không\sphải niet inte ikke bukan"
_OWN_NOT = {
    "ca": "no ni", "cs": "ne ani", "de": "noch", "el": "ούτε", "es": "no ni", "fr": "ni", "it": "né", "nl": "noch",
    "pl": "nie ani", "ro": "nu nici", "ru": "ни", "tr": "ne", "uk": "ні", "vi": "không",
}  # fmt: skip
"""By language, what means other things elsewhere: "ni" is "is" in Swahili."""
_BETWEEN = (
    r"(?:(?:be|is|the|option|choice|answer|letter|es|la|el|die|antwort|opción|respuesta|è|é|réponse|είναι|το|η|là"
    r"|đáp án|это|вариант|ответ)\s+)*"
)
"""What may stand between a "not" and a label: "is not option A", "no es la A"."""
_IS_NOT = re.compile(r"\s*(?:değil|नहीं|번?[이가]?\s?아니|(?:で|じゃ)は?(?:な|ありません)|نیست|نہیں)", re.IGNORECASE)
"""A label before this is what the answer is not."""
_GLUED_BEFORE = re.compile(r"(?:คือ|ตอบ|ข้อ|เลือก)$")
_GLUED_BEHIND = re.compile("입니다|이다|이에요|예요|번|です|である")
"""Words that are written without a space before a label, and behind one."""
_JOINED = re.compile(
    r"\s*(?:[,/&+、，]|and|or|und|oder|y|o|u|e|et|ou|ve|veya|и|или|và|hoặc|و|أو|और|या|和|或|及)\s*", re.IGNORECASE
)
"""Between two labels that are both given."""
_OPEN, _CLOSE = r"[(\[（【「]", r"[)\]）】」]"
_IN_CIRCLES = "Ⓐⓐ⒜🄐🄰🅐🅰"
"""The A of each alphabet in circles, brackets or squares."""
_LINE_MARKS = " \t-•>#"
"""Before a label that begins a line."""
_LINE_LABEL = re.compile(r"\s?[.):、。]|[ \t]*(?:\n|$)")
"""Behind it: a mark, or the end of the line."""
_TATWEEL = {0x640: None}


@dataclass(frozen=True, slots=True)
class _Found:
    """A label at one place of an answer, its brackets included."""

    label: str
    start: int
    end: int
    bracketed: bool


def find_choice_letter(text: str, language: str, labels: Sequence[str]) -> str | None:
    """Return the label among `labels` that an answer in `language` gives, None where it gives none or several."""
    text = _DECORATION.sub("", _half_width(for_scoring(text).translate(_TATWEEL))).strip()
    found = _find_labels(text, language, tuple(labels))
    words = re.search(r"\w(?:.*\w)?", text, re.DOTALL)
    spelled = _spellings(tuple(labels), language).get(_fold(words[0])) if words else None
    if spelled is not None:
        return spelled
    if _is_list(text, language, tuple(labels)):
        return None
    lines = [each for each in found if _begins_line(text, each)]
    bracketed = [each for each in found if each.bracketed]
    edges = [each for each in found if words and _is_edge(text, each, words.span())]
    label = _only(lines)
    begins = label is not None and not text[: lines[0].start].strip(_LINE_MARKS)
    if (cued := _after_cue(text, found, language, mentions=not begins)) is not None:
        return None if _is_one_of_several(text, cued, found) else cued.label
    if label is not None:
        return label
    if bracketed:
        return _only(bracketed)
    return _only(found) if edges else None


def _half_width(text: str) -> str:
    """Return `text` with full-width and mathematical letters and digits as ASCII, "Ⓑ" and "②" as "(B)" and "(2)"."""
    plain = []
    for each in text:
        first = next((begin for begin in _IN_CIRCLES if begin <= each < chr(ord(begin) + 26)), None)
        if "！" <= each <= "～":
            plain.append(chr(ord(each) - 0xFEE0))
        elif first is not None:
            plain.append(f"({chr(ord(each) - ord(first) + ord('A'))})")
        elif "①" <= each <= "⑨":
            plain.append(f"({ord(each) - ord('①') + 1})")
        else:
            plain.append(unicodedata.normalize("NFKC", each) if "𝐀" <= each <= "𝟿" else each)
    return "".join(plain)


def _fold(label: str) -> str:
    return _SAME.get(label, label).casefold()


@lru_cache(maxsize=256)
def _spellings(labels: tuple[str, ...], language: str) -> dict[str, str]:
    """Return how labels may be written, case folded, each with its label: as itself, and as a letter of the script."""
    known = {_fold(_half_width(label)): label for label in labels}
    row = LANGUAGES.get(language)
    if labels[: len(DEFAULT_LABELS)] == DEFAULT_LABELS[: len(labels)]:
        for label, own in zip(labels, OWN_LETTERS.get(row.script, "") if row else "", strict=False):
            if own.strip():
                known.setdefault(_fold(own), label)
    return known


@lru_cache(maxsize=256)
def _pattern(labels: tuple[str, ...], language: str) -> re.Pattern[str]:
    known = _spellings(labels, language)
    ways = {*known, *(variant for variant, kept in _SAME.items() if kept in known)}
    words = "|".join(re.escape(each) for each in sorted(ways, key=len, reverse=True))
    return re.compile(rf"({_OPEN}\s?)?({words})(\s?{_CLOSE})?", re.IGNORECASE)


def _is_list(text: str, language: str, labels: tuple[str, ...]) -> bool:
    """Whether a text is several labels and no other word, "A D" or "(A) (D)": no "A" of it is an article."""
    known = _spellings(labels, language)
    named = {known.get(_fold(word)) for word in re.findall(r"\w+", text)}
    return len(named) > 1 and None not in named


def _find_labels(text: str, language: str, labels: tuple[str, ...]) -> list[_Found]:
    known = _spellings(labels, language)
    found = []
    for match in _pattern(labels, language).finditer(text):
        label = known.get(_fold(match[2]))
        bracketed = bool(match[1] and match[3])
        if label is None or not (bracketed or _stands_alone(text, *match.span(2))):
            continue
        lower = match[2] != match[2].upper()
        if not match[3] and lower and not _is_marked_off(text, match.end()):
            continue
        before = text[max(0, match.start() - _CUE_REACH) : match.start()]
        if not match[3] and _is_word(text, match, before, language):
            continue
        if _not(language).search(before) or _IS_NOT.match(text, match.end()):
            continue
        found.append(_Found(label, match.start(), match.end(), bracketed))
    return found


@lru_cache(maxsize=64)
def _not(language: str) -> re.Pattern[str]:
    """Return what stands before a label that the answer is not."""
    words = "|".join([*_NOT.split(" "), *_OWN_NOT.get(language, "").split()])
    others = r"(?:不是|不选|不選|并非|並非|而非)\s*|ليست?\s+|ไม่ใช่\s*(?:ข้อ)?\s*"
    return re.compile(rf"(?:(?:\b(?:{words})|n['’]t)\s+{_BETWEEN}|{others})$", re.IGNORECASE)


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Whether no letter of the same script and no digit touches the text; Han characters are words by themselves."""
    script = _script(text[start])
    if script == "CJK":
        return True
    before = "" if _GLUED_BEFORE.search(text[max(0, start - _CUE_REACH) : start]) else text[max(start - 1, 0) : start]
    after = "" if _GLUED_BEHIND.match(text, end) else text[end : end + 1]
    if any(each.isdigit() or (script is not None and _script(each) == script) for each in (before, after) if each):
        return False
    in_initials = before == "." and text[max(start - 2, 0) : start - 1].isalpha()  # "U.S.A."
    in_compound = before in ("'", "’", "-") or (after == "-" and text[end + 1 : end + 2].isalpha())
    return not in_initials and not in_compound


def _script(character: str) -> str | None:
    if not (character.isalpha() or unicodedata.category(character).startswith("M")):
        return None
    return unicodedata.name(character, "").partition(" ")[0]


def _is_marked_off(text: str, end: int) -> bool:
    """Whether the answer, the line or a clause ends here: what a label in lower case must be followed by."""
    return re.match(r"\s*(?:$|\n|[.,:;)\]!?。，：；、！？」）।،؛؟])", text[end:]) is not None


def _is_word(text: str, found: re.Match[str], before: str, language: str) -> bool:
    """Whether a letter is a word of a sentence: another word of its script follows that does not go on from a label."""
    letter = _fold(found[2])
    follows = re.match(r"[ \t]+([^\W\d_]+)", text[found.end() : found.end() + _CUE_REACH])
    if letter not in _ONE_LETTER_WORDS or follows is None or follows[1].casefold() in _FOLLOWERS:
        return False
    if _script(follows[1][0]) != _script(found[2][0]):
        return False  # "答案：A 巴黎": no article of any language
    own = "|".join(map(re.escape, ANSWER_WORDS.get(language, ())))
    cued = letter in _NO_WORDS.get(language, "") and re.search(rf"(?:{own})[\s:]*$", before, re.IGNORECASE) is not None
    return not cued


def _begins_line(text: str, found: _Found) -> bool:
    line = text.rfind("\n", 0, found.start) + 1
    if text[line : found.start].strip(_LINE_MARKS):
        return False
    return found.bracketed or _LINE_LABEL.match(text, found.end) is not None or text[found.end - 1] in ")]"


def _is_edge(text: str, found: _Found, words: tuple[int, int]) -> bool:
    """Whether a label stands first or last of all words, which begin and end at `words`."""
    glued = _GLUED_BEHIND.match(text, found.end)
    return found.start <= words[0] or words[1] <= (glued.end() if glued else found.end)


def _is_one_of_several(text: str, cued: _Found, found: Sequence[_Found]) -> bool:
    """Whether another label is given in the same breath: "A and B"."""
    others = [each for each in found if each.start >= cued.end and each.label != cued.label]
    return bool(others) and _JOINED.fullmatch(text[cued.end : others[0].start]) is not None


def _after_cue(text: str, found: Sequence[_Found], language: str, *, mentions: bool) -> _Found | None:
    """Return the label behind the last answer word; `mentions`: words that any choice is called by count, too."""
    known = sorted({*ANSWER_WORDS.get(language, ()), *ANSWER_WORDS["en"]}, key=len, reverse=True)
    words = "|".join(map(re.escape, known))
    starts = [each.start for each in found]
    for cue in reversed(list(re.finditer(rf"(?:{words})", text, re.IGNORECASE))):
        if not mentions and cue[0].casefold() in _MENTIONS:
            continue
        for each in found[bisect_left(starts, cue.end()) : bisect_right(starts, cue.end() + _CUE_REACH)]:
            between = text[cue.end() : each.start]
            if "\n" not in between.strip(" \t:\n"):
                if re.search(r"[.。!?！？]\s", between):
                    break
                return each
    return None


def _only(found: Sequence[_Found]) -> str | None:
    labels = {each.label for each in found}
    return labels.pop() if len(labels) == 1 else None
