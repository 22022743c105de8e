"""Test data that somebody, or a program, has written with other spaces, other letters or escapes, or in several rows.

The passages and sentences are those of the packaged sample, as in `test_disguises`.
"""

import html
import json
import quopri
import random
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from xlingual.plugin import DataSource
from xlingual.records import Example, Role, Turn
from xlingual.tune.contamination import benchmarks
from xlingual.tune.contamination.benchmarks import HeldOut, gather_held_out
from xlingual.tune.contamination.han import SIMPLIFIED
from xlingual.tune.contamination.markup import plain_text
from xlingual.tune.contamination.words import weight_of, words_of
from xlingual.tune.records import Repetition

SAMPLE = Path(__file__).resolve().parents[2] / "tasks" / "sample"
FILES = {"ar": "ara", "el": "ell", "en": "eng", "hi": "hin", "tr": "tur", "vi": "vie", "zh": "zho_simpl"}


@pytest.fixture(scope="module")
def held_out() -> HeldOut:
    return gather_held_out(["vi"], DataSource(folder=None, sample=True, offline=True))


@cache
def passages(code: str) -> list[str]:
    document = json.loads((SAMPLE / "xquad" / f"xquad.{code}.json").read_text(encoding="utf-8"))
    return [paragraph["context"] for article in document["data"] for paragraph in article["paragraphs"]]


@cache
def sentences(code: str, least: int = 11) -> list[str]:
    """Return the sentences of `least` words or more."""
    lines = (SAMPLE / "flores101/devtest" / f"{FILES[code]}.devtest").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if sum(map(weight_of, words_of(line))) >= 4 * least]


def row_of(*texts: str) -> Example:
    fields = {str(place): text for place, text in enumerate(texts[:-1])}
    return Example(id="1", language="vi", group="1", cluster="1", fields=fields, targets=texts[-1:])


def missed(held_out: HeldOut, texts: list[str]) -> list[str]:
    """Return the texts whose rows are not left out; each stands between other words."""
    rows = [row_of("Tóm tắt:", f"Đây: {text} Hết.", "Được.") for text in texts]
    found = held_out.compare(rows)
    return [text for text, each in zip(texts, found, strict=True) if each is None or not each.is_left_out]


def others(text: str, change: Callable[[str], str]) -> str:
    return "".join(each if each.isascii() else change(each) for each in text)


def as_bytes(pattern: str) -> Callable[[str], str]:
    return lambda text: others(text, lambda each: "".join(pattern.format(byte) for byte in each.encode()))


def misread(text: str) -> str:
    """Return the bytes of UTF-8 as Windows-1252, those that it leaves free as Latin-1."""
    bytes_ = (bytes([each]) for each in text.encode())
    return "".join(each.decode("latin-1" if each[0] in b"\x81\x8d\x8f\x90\x9d" else "cp1252") for each in bytes_)


def every(number: int, text: str, change: Callable[[str], str]) -> str:
    space = " " if " " in text else ""
    parts = text.split() if space else [text[start : start + 2] for start in range(0, len(text), 2)]
    return space.join(change(part) if place % number == number - 1 else part for place, part in enumerate(parts))


LOOK_ALIKES = str.maketrans("aceiopsxyABEHIKMOPTX", "асеіорѕхуАВЕНІКМОРТХ")
GREEK_LOOK_ALIKES = str.maketrans("oviABEHIKMOPTXZ", "ονιΑΒΕΗΙΚΜΟΡΤΧΖ")
TRADITIONAL = {ord(simple): traditional for traditional, simple in reversed(SIMPLIFIED.items())}
ESCAPED: dict[str, Callable[[str], str]] = {
    "URL": quote,
    "form": lambda text: f"https://example.org/?text={quote_plus(text)}&lang=vi",
    "URL within a URL": lambda text: quote(quote(text)),
    "URL, letters of ASCII as they are": lambda text: others(text, quote),
    "JSON within a URL": lambda text: quote(json.dumps({"text": text})),
    "bytes of Python": lambda text: repr(text.encode()),
    "hexadecimal bytes": as_bytes("\\x{:02x}"),
    "octal bytes": as_bytes("\\{:03o}"),
    "code points of Python": lambda text: others(text, lambda each: f"\\U{ord(each):08x}"),
    "code points of JavaScript": lambda text: others(text, lambda each: f"\\u{{{ord(each):x}}}"),
    "code points of R": lambda text: others(text, lambda each: f"<U+{ord(each):04X}>"),
    "a mail": lambda text: quopri.encodestring(text.encode()).decode(),
    "UTF-8 read as another encoding": misread,
    "HTML escaped thrice": lambda text: html.escape(html.escape(html.escape(others(text, lambda c: f"&#{ord(c)};")))),
    "a forum": lambda text: every(3, text, lambda word: f"[b]{word}[/b]"),
    "links of a wiki": lambda text: every(3, text, lambda word: f"[[Page of {word} (other)|{word}]]"),
    "LaTeX": lambda text: every(3, text, lambda word: f"\\emph{{{word}}}"),
    "Cyrillic letters": lambda text: text.translate(LOOK_ALIKES),
    "Greek letters": lambda text: text.translate(GREEK_LOOK_ALIKES),
    "some Cyrillic letters": lambda text: every(4, text, lambda word: word.translate(LOOK_ALIKES)),
    "traditional characters": lambda text: text.translate(TRADITIONAL),
    "doubled and no-break spaces": lambda text: text.replace(" ", " \u00a0"),
    "no punctuation, other case": lambda text: (
        re.sub(r"[^\w\s]", "", text).swapcase() if text.isascii() else text.upper()
    ),
    "other digits": lambda text: re.sub(r"\d", lambda digit: chr(0x966 + int(digit[0])), text),
}
SPACED: dict[str, Callable[[str], str]] = {
    "none": lambda text: text.replace(" ", ""),
    "capitals for them": lambda text: "".join(word[:1].upper() + word[1:] for word in text.split()),
    "of no width": lambda text: text.replace(" ", "\u200b"),
    "letters apart": " ".join,
    "letters apart, words further": lambda text: "  ".join(" ".join(word) for word in text.split()),
    "a line a letter": "\n".join,
    "dashes between letters": lambda text: "-".join(text.replace(" ", "")),
    "every third letter": lambda text: re.sub(r"(\S\S\S)", r"\1 ", text.replace(" ", "")),
    "two words together": lambda text: re.sub(r" (\S+) ", r" \1", text),
}


@pytest.mark.parametrize("escaped", ESCAPED)
@pytest.mark.parametrize("code", FILES)
def test_escapes_and_letters_that_look_alike(held_out: HeldOut, code: str, escaped: str) -> None:
    texts = [ESCAPED[escaped](text) for text in (*passages(code), *sentences(code))]
    assert missed(held_out, texts) == []


@pytest.mark.parametrize("spaced", SPACED)
@pytest.mark.parametrize("code", FILES)
def test_spaces(held_out: HeldOut, code: str, spaced: str) -> None:
    assert missed(held_out, [SPACED[spaced](text) for text in (*passages(code), *sentences(code))]) == []


def with_typos(share: float) -> Callable[[str], str]:
    """Return a function that changes, drops or doubles this share of the letters of a text."""
    generator = random.Random(3)

    def typed(letter: str) -> str:
        if not letter.isalpha() or generator.random() >= share:
            return letter
        return generator.choice(["", letter * 2, "x"])

    return lambda text: "".join(map(typed, text))


CHANGED: dict[str, Callable[[str], str]] = {
    "every eighth word": lambda text: every(8, text, lambda _: "xyz"),
    "every sixth word": lambda text: every(6, text, lambda _: "xyz"),
    "3% of the letters": with_typos(0.03),
    "two words swapped in every ten": lambda text: re.sub(r"((?:\S+ ){8})(\S+) (\S+)", r"\1\3 \2", text),
    "a word more after every seventh": lambda text: every(7, text, lambda word: f"{word} xyz"),
}


@pytest.mark.parametrize("changed", CHANGED)
@pytest.mark.parametrize("code", FILES)
def test_words_that_are_changed_all_over_a_passage(held_out: HeldOut, code: str, changed: str) -> None:
    texts = [CHANGED[changed](text) for text in passages(code)]
    # Five words of Hindi without vowel signs tell too little, five of a short passage in another language may.
    allowed = {"hi": len(texts), "vi": 1, "zh": 1}.get(code, 0) if changed == "every sixth word" else 0
    assert len(missed(held_out, texts)) <= allowed


@pytest.mark.parametrize("code", FILES)
def test_a_text_that_is_cut_into_rows(held_out: HeldOut, code: str) -> None:
    """A run of six words or more in each of two rows is not enough by itself, and is together."""
    for text in sentences(code, 16):
        parts = text.split() if " " in text else list(text)
        middle, space = len(parts) // 2, " " if " " in text else ""
        halves = [row_of("", f"1. {space.join(part)}", "x") for part in (parts[:middle], parts[middle:])]
        found = held_out.compare([row_of("a", "b"), *halves, row_of("a", "b")])
        assert [each is not None and each.is_left_out for each in found] == [False, True, True, False], text
        apart = held_out.compare([halves[0], row_of("a", "b"), halves[1]])
        assert [each is not None and each.is_left_out for each in apart] == [
            each is not None and each.is_left_out for half in (halves[0], row_of("a", "b"), halves[1])
            for each in held_out.compare([half])
        ]  # fmt: skip


@pytest.mark.parametrize("role", [Role.USER, Role.ASSISTANT])
@pytest.mark.parametrize("code", FILES)
def test_a_text_in_pieces_over_the_turns_of_one_side(held_out: HeldOut, code: str, role: Role) -> None:
    """Three words a turn, and what the other side says between them."""
    other = Role.ASSISTANT if role is Role.USER else Role.USER
    rows = []
    for text in (*passages(code), *sentences(code)):
        space = " " if " " in text else ""
        parts = text.split() if space else list(text)
        said = [space.join(parts[start : start + 3]) for start in range(0, len(parts), 3)]
        turns = [
            Turn(role=each, text=text, is_learnt=each is Role.ASSISTANT)
            for piece in said
            for each, text in ((role, piece), (other, "Tiếp đi!"))
        ]
        row = row_of(*[turn.text for turn in turns])
        rows.append(replace(row, turns=tuple(turns), targets=tuple(turn.text for turn in turns if turn.is_learnt)))
    assert all(each is not None and each.is_left_out for each in held_out.compare(rows))


WORDS = [f"{letter * 3}{number:02}" for number in range(2) for letter in "abcdefghij"]
"""A text of twenty words that count four each."""


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ([(0, 5)], None),
        ([(0, 6)], (Repetition.PARTIAL, False)),
        ([(3, 10)], (Repetition.PARTIAL, False)),
        ([(3, 11)], (Repetition.PARTIAL, True)),
        ([(12, 20)], (Repetition.PARTIAL, True)),
        ([(0, 7), (13, 20)], (Repetition.NEAR, True)),  # 14 of 20 are 70%
        ([(0, 7), (14, 20)], (Repetition.PARTIAL, False)),
        ([(0, 4), (5, 9), (10, 14), (15, 19)], (Repetition.NEAR, True)),  # 16 of 20 in the order of the text
        ([(0, 3), (4, 7), (8, 11), (12, 15), (16, 20)], None),  # no four words together but once
        ([(0, 6), (7, 10), (11, 14), (15, 17)], (Repetition.NEAR, True)),  # 15 of 20, words changed between
        ([(0, 6), (7, 10), (11, 14)], (Repetition.PARTIAL, False)),  # 12 of 20
        ([(0, 20)], (Repetition.EXACT, True)),
    ],
)
def test_the_edges_of_what_is_left_out(held: list[tuple[int, int]], expected: tuple[Repetition, bool] | None) -> None:
    data = HeldOut(names=[benchmarks.TestText(0, "text")])
    data.index.add(" ".join(WORDS))
    parts = [" ".join(WORDS[begin:end]) for begin, end in held]
    for other, prefix in ((" zzzzz ", ""), (" zzzzz ", "yyyyy "), ("\n- zzzzz ", "<p>")):
        (found,) = data.compare([row_of(f"{prefix}{other.join(parts)}", "x")])
        assert (None if found is None else (found.kind, found.is_left_out)) == expected


CLEAN = {
    "a hash": "d41d8cd98f00b204e9800998ecf8427e" * 4,
    "base64": "TG9yZW0gaXBzdW0gZG9sb3Igc2l0IGFtZXQsIGNvbnNlY3RldHVy" * 5,
    "an alphabet": " ".join("abcdefghijklmnopqrstuvwxyz" * 3),
    "letters apart": " ".join("The lighthouse stands on a hill behind the harbour of the town".replace(" ", "")),
    "no spaces": "thelighthousestandsonahillbehindtheharbourofthetownandisamuseumtoday",
    "a name in code": "getNumberOfPeopleWhoLiveInTheCityAndOfThoseWhoWorkThere",
    "a path": "https://example.org/wiki/Super_Bowl_50_and_what_came_after_it?page=100%25&text=a%20few%20words",
    "formulas": "n=20, m=C3, x=A9 and a=50; 100% of \\alpha, \\textbf{bold} \\times 3",
    "digits": "3.14159265358979323846264338327950288419716939937510",
    "months": "January February March April May June July August September October November December",
    "words that nobody knows": "qwxz vbnrt plokm zzyzx grumbf " * 12,
    "traditional characters": "據新華社報導，這座燈塔建於十九世紀，現在是一家博物館。",
}


@pytest.mark.parametrize("text", CLEAN)
def test_what_only_looks_like_it_is_kept(held_out: HeldOut, text: str) -> None:
    rows = [row_of("Tóm tắt:", CLEAN[text], "Được."), row_of("x", CLEAN[text])]
    assert held_out.compare(rows) == [None, None]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("The%20Vi%E1%BB%87t", "The Việt"),
        ("50%25 and 100% de", "50% and 100% de"),
        (r"caf\xe9 caf\xc3\xa9 caf\u00e9 caf\u{e9} caf\303\251", "café café café café café"),
        ("n=2 =C3=A9t=\nudes=20x", "n=2 études x"),
        ("if n=20 and x=\ny", "if n=20 and x=\ny"),
        ("Viá»‡t Nam, há»‡ má»‡t", "Việt Nam, hệ mệt"),
        ("CAFÉ… naïve TÊ” ÃÃ", "CAFÉ… naïve TÊ” ÃÃ"),
        ("&amp;amp;lt;b&amp;amp;gt;é &#7879;", "é ệ"),
        (r"\textbf{Hi} 100\%", " Hi} 100\\%"),
        ("[[Other page|word]] [b]x[/b] [1/2]", " word]] x [1/2]"),
        (r"%C3 %zz \xzz \u12 \u{110000} \UFFFFFFFF", r"%C3 %zz \xzz \u12 \u{110000} \UFFFFFFFF"),
    ],
)
def test_plain_text(text: str, plain: str) -> None:
    assert plain_text(text) == plain
