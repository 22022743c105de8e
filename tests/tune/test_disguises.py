"""Disguises of test data are found in rows of a mixture; what only speaks of the same subjects is not.

The passages and sentences are those of the packaged sample, in its seven languages, for a mixture in Vietnamese.
"""

import html
import json
import random
import re
import time
import unicodedata
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from xlingual.plugin import DataSource
from xlingual.records import Example
from xlingual.tune.contamination.benchmarks import HeldOut, gather_held_out
from xlingual.tune.contamination.index import ShingleIndex
from xlingual.tune.contamination.words import weight_of, words_of
from xlingual.tune.records import Repetition

SAMPLE = Path(__file__).resolve().parents[2] / "tasks" / "sample"
FILES = {"ar": "ara", "el": "ell", "en": "eng", "hi": "hin", "tr": "tur", "vi": "vie", "zh": "zho_simpl"}
XQUAD = tuple(FILES)


@pytest.fixture(scope="module")
def held_out() -> HeldOut:
    return gather_held_out(["vi"], DataSource(folder=None, sample=True, offline=True))


@cache
def passages(code: str) -> list[tuple[str, str]]:
    """Return passages of the sample's XQuAD with a question of each."""
    document = json.loads((SAMPLE / "xquad" / f"xquad.{code}.json").read_text(encoding="utf-8"))
    paragraphs = [paragraph for article in document["data"] for paragraph in article["paragraphs"]]
    return [(each["context"], each["qas"][0]["question"]) for each in paragraphs]


@cache
def sentences(code: str) -> list[str]:
    return (SAMPLE / "flores101/devtest" / f"{FILES[code]}.devtest").read_text(encoding="utf-8").splitlines()


def row_of(*texts: str) -> Example:
    fields = {str(place): text for place, text in enumerate(texts[:-1])}
    return Example(id="1", language="vi", group="1", cluster="1", fields=fields, targets=texts[-1:])


def parts_of(text: str) -> list[str]:
    """Return words, or characters where there are no spaces."""
    return text.split() if " " in text else list(text)


def joined(parts: list[str], text: str) -> str:
    return (" " if " " in text else "").join(parts)


def with_one_changed(text: str) -> str:
    parts = parts_of(text)
    middle = len(parts) // 2
    return joined([*parts[:middle], "xyz", *parts[middle + 1 :]], text)


def without_marks(text: str) -> str:
    kept = (each for each in unicodedata.normalize("NFD", text) if not unicodedata.combining(each))
    return "".join(kept).replace("đ", "d").replace("Đ", "D").replace("ı", "i")


def shuffled(text: str) -> str:
    return " ".join(reversed(re.split(r"(?<=[.!?。।؟])\s*", text)))


def every_third(text: str, change: Callable[[str], str]) -> str:
    return joined([part if place % 3 else change(part) for place, part in enumerate(parts_of(text))], text)


def cut_at_line_ends(text: str) -> str:
    return joined([f"{part[:3]}-\n{part[3:]}" if len(part) > 6 else part for part in parts_of(text)], text)


MARKED: dict[str, Callable[[str], str]] = {
    "bold words": lambda text: every_third(text, lambda word: f"<b>{word}</b>"),
    "spans": lambda text: every_third(text, lambda word: f'<span class="x y" id=k>{word}</span>'),
    "tags within words": lambda text: every_third(text, lambda word: f"{word[:1]}<i>{word[1:]}</i>"),
    "blocks": lambda text: "<div>" + "</p><p class=a>".join(re.split(r"(?<=[.!?。।؟])\s*", text)) + "</div>",
    "links": lambda text: every_third(text, lambda word: f"[{word}](https://en.example.org/wiki/{word}_page)"),
    "cut at line ends": cut_at_line_ends,
    "escaped twice": lambda text: html.escape(html.escape(text)),
    "JSON within JSON": lambda text: json.dumps(json.dumps({"text": text})),
    "bold in Markdown": lambda text: every_third(text, lambda word: f"**{word}**"),
    "a column a word": lambda text: "| " + " | ".join(parts_of(text)) + " |",
    "a line a word": lambda text: "\n".join(parts_of(text)),
    "smileys": lambda text: every_third(text, lambda word: f"{word} 😀"),
    "other digits": lambda text: re.sub(r"\d", lambda digit: str((int(digit[0]) + 1) % 10), text),
    "code points": lambda text: "".join(f"&#{ord(each)};" for each in text),
}
PASSAGES: dict[str, Callable[[str, str], Example]] = {
    "labels": lambda passage, question: row_of("Trả lời:", f"Context: {passage}\nQuestion: {question}", "Có."),
    "a sentence more": lambda passage, _: row_of("Tóm tắt:", f"{passage} Đây là một câu thêm vào.", "Được."),
    "a word changed": lambda passage, _: row_of("Tóm tắt:", with_one_changed(passage), "Được."),
    "no diacritics": lambda passage, _: row_of("Tóm tắt:", without_marks(passage), "Được."),
    "as the answer": lambda passage, _: row_of("Viết một đoạn văn.", "", f"Đây: {passage}"),
    "the first half": lambda passage, _: row_of("", passage[: len(passage) // 2], "Được."),
    "over two fields": lambda passage, _: row_of(passage[: len(passage) // 2], passage[len(passage) // 2 :], "x"),
    "sentences in another order": lambda passage, _: row_of("", shuffled(passage), "Được."),
    "HTML": lambda passage, _: row_of("", f"<p>{html.escape(passage)}</p>", "Được."),
    "JSON": lambda passage, _: row_of("", json.dumps({"text": passage}, ensure_ascii=False), "Được."),
    "JSON, escaped": lambda passage, _: row_of("", json.dumps({"text": passage}), "Được."),
    "footnotes": lambda passage, _: row_of("", re.sub(r"([.。।])", r"\1[1] ", passage), "Được."),
    "full-width": lambda passage, _: row_of("", passage.translate({c: c + 0xFEE0 for c in range(33, 127)}), "x"),
    "soft hyphens": lambda passage, _: row_of("", "\u00ad".join(passage), "x"),
}
SENTENCES: dict[str, Callable[[str], Example]] = {
    "a label": lambda sentence: row_of("Translate.", f"English: {sentence}", "x"),
    "quoted in the instruction": lambda sentence: row_of(f"Dịch câu “{sentence}” sang tiếng Việt.", "", "x"),
    "a word changed": lambda sentence: row_of("", with_one_changed(sentence), "x"),
    "upper case": lambda sentence: row_of("", f"* {sentence.upper()}!!", "x"),
    "no diacritics": lambda sentence: row_of("", f"- {without_marks(sentence)}", "x"),
    "as part of the answer": lambda sentence: row_of("Dịch.", "x", f"Bản dịch: {sentence}"),
}


@pytest.mark.parametrize("disguise", PASSAGES)
@pytest.mark.parametrize("code", XQUAD)
def test_passages_in_any_language(held_out: HeldOut, code: str, disguise: str) -> None:
    rows = [PASSAGES[disguise](passage, question) for passage, question in passages(code)]
    for row, found in zip(rows, held_out.compare(rows), strict=True):
        assert found is not None, row
        assert found.is_left_out, row
        assert held_out.checks[found.check].family == "xquad"


@pytest.mark.parametrize("disguise", SENTENCES)
@pytest.mark.parametrize("code", FILES)
def test_sentences_in_any_language(held_out: HeldOut, code: str, disguise: str) -> None:
    rows = [SENTENCES[disguise](sentence) for sentence in sentences(code)]
    missed = [row for row, found in zip(rows, held_out.compare(rows), strict=True) if not (found and found.is_left_out)]
    # A sentence of ten words or fewer with another word in its middle leaves no run of words to tell it by.
    least = 11 if disguise == "a word changed" else 6
    assert [row for row in missed if sum(map(weight_of, words_of(row.fields["1"]))) >= 4 * least] == []
    assert len(missed) <= (5 if disguise == "a word changed" else 0)


@pytest.mark.parametrize("marks", MARKED)
@pytest.mark.parametrize("code", FILES)
def test_marks_between_and_within_words(held_out: HeldOut, code: str, marks: str) -> None:
    texts = [passage for passage, _ in passages(code)]
    texts += [each for each in sentences(code) if sum(map(weight_of, words_of(each))) >= 4 * 11]
    rows = [row_of("Tóm tắt:", f"Đây: {MARKED[marks](text)}", "Được.") for text in texts]
    missed = [row for row, found in zip(rows, held_out.compare(rows), strict=True) if not (found and found.is_left_out)]
    # A short sentence with numbers all through it has no run of words without one.
    assert len(missed) <= (2 if marks == "other digits" else 0), missed


HARD: dict[str, str] = {
    "a word, often": "la " * 300_000,
    "a megabyte without a space": "x" * 1_000_000,
    "a megabyte of Han": "北京" * 170_000,
    "one text, often": "one two three four five six seven eight nine ten eleven twelve thirteen " * 10_000,
    "tags that do not end": "<b " * 300_000,
    "links that do not end": "](" * 400_000,
    "hyphens": "a- " * 300_000,
    "backslashes": "\\" * 1_000_000,
    "escapes": "\\u00" * 200_000,
    "ampersands": "&" * 1_000_000,
    "bytes of URLs": "%C3%A9%" * 150_000,
    "bytes of programs": "\\xc3\\xa9\\303" * 40_000,
    "bytes of mails": "=C3=A9=\n" * 120_000,
    "misread letters": "á»‡ÃÃá»" * 150_000,
    "links of a wiki that do not end": "[[a" * 300_000,
    "tags of a forum": "[b]a[/b][/url=" * 70_000,
    "commands of LaTeX": "\\emph{" * 150_000,
    "letters apart": "o n e t w o " * 80_000,
    "one text, often, without spaces": "onetwothreefourfivesixseveneightnineteneleventwelvethirteen" * 15_000,
    "a word of one text, often, without spaces": "la" * 500_000,
    "punctuation": ".,;!" * 250_000,
    "accents": "a" + "\u0301" * 500_000,
    "spaces": " " * 1_000_000,
    "nothing": "",
}


@pytest.mark.parametrize("row", HARD)
def test_no_row_takes_long(row: str) -> None:
    """Time is linear in the words of a row, also where it repeats one text, or a thousand of them, all the time."""
    index = ShingleIndex(by_letters=True)
    index.add("la " * 200)
    index.add("北京" * 100)
    index.add("one two three four five six seven eight nine ten eleven twelve thirteen")
    for number in range(1000):
        index.add(f"one two three four five six seven eight nine ten eleven twelve thirteen number{number}")
    begun = time.process_time()
    found = list(index.match([HARD[row], "", "one two three four five six seven eight nine ten eleven"]))
    assert time.process_time() - begun < 4
    assert any(match.longest >= 24 for number, match in found if number == 2)


def test_two_sentences_in_one_row(held_out: HeldOut) -> None:
    rows = [row_of("", f"{one} {other}", "x") for one, other in zip(sentences("hi"), sentences("hi")[1:], strict=False)]
    assert all(found and found.kind is Repetition.EXACT for found in held_out.compare(rows))


CLEAN = [
    "The lighthouse was built in 1822 by a French engineer who wanted ships to see the coast at night.",
    "Augustin-Jean Fresnel",
    "On Monday, scientists announced that a new species of frog lives in the hills behind the town.",
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.",
    "Translate the following sentences from English to Vietnamese.",
    "Năm 1822, tại Pháp, nhiều nhà khoa học đã bắt đầu nghiên cứu về ánh sáng.",
    "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20",
    "据新华社报道，这座灯塔建于十九世纪，现在是一家博物馆。",
    "What time is it? I do not know. Let us go home now, it is late.",
    "",
    "\u200b",
]


@pytest.mark.parametrize("text", CLEAN)
def test_what_only_speaks_of_the_same_is_kept(held_out: HeldOut, text: str) -> None:
    assert held_out.compare([row_of("Tóm tắt:", text, "Được."), row_of(text, "", "x"), row_of("", "", text)]) == [
        None,
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Việt–Nam, １９９０", ["viet", "nam", "1990"]),
        ("&quot;İstanbul&quot; ISTANBUL ıstanbul", ["istanbul", "istanbul", "istanbul"]),
        ("ΟΔΟΣ οδός", ["oδoσ", "oδoσ"]),  # with the Latin letters that they look like
        ("сat cаt ΜΑT", ["cat", "cat", "mat"]),
        ("漢語 汉语", ["汉", "语", "汉", "语"]),
        ("١٩٩٠ مُحَمَّد مـحـمـد", ["1990", "محمد", "محمد"]),
        ("北京2008年", ["北", "京", "2008", "年"]),
        ("so\u00adft jo\u200din", ["soft", "join"]),
        ("Łódź straße", ["lodz", "strasse"]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_matches_against_a_search_by_hand() -> None:
    """Every shared run of words is found, by a comparison of all runs with all."""
    generator = random.Random(7)
    vocabulary = [f"w{letter}{number:02}" for letter in "ab" for number in range(30)]
    texts = [[generator.choice(vocabulary) for _ in range(generator.randint(6, 40))] for _ in range(60)]
    rows = []
    for _ in range(80):
        text = generator.choice(texts)
        first = generator.randrange(len(text))
        noise = [generator.choice([*vocabulary, "other"]) for _ in range(generator.randint(0, 10))]
        rows.append(noise + text[first : first + generator.randint(1, 20)] + noise[::-1])
    index = ShingleIndex()
    assert [index.add(" ".join(words)) for words in texts] == list(range(len(texts)))
    matches = index.match([" ".join(words) for words in rows])
    found = {(row, match.text): match.longest for row, match in matches}
    expected: dict[tuple[int, int], int] = {}
    for number, row in enumerate(rows):
        for place, text in enumerate(texts):
            run = longest_run(row, text)
            if run >= 6:
                expected[number, place] = 4 * run
    assert {key: value for key, value in found.items() if value >= 24} == expected
    assert len(expected) > 20


def longest_run(row: list[str], text: list[str]) -> int:
    best = 0
    for first in range(len(row)):
        for start in range(len(text)):
            length = 0
            while (
                first + length < len(row) and start + length < len(text) and row[first + length] == text[start + length]
            ):
                length += 1
            best = max(best, length)
    return best
