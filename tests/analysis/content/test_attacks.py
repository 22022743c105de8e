"""What looks like a fault of an answer and is none, and the other way round."""

import time
import tracemalloc

import pytest

from xlingual.analysis.content.answer_language import find_answer_language
from xlingual.analysis.content.copying import find_copying, longest_common_part
from xlingual.analysis.content.findings import find_all
from xlingual.analysis.content.loops import LoopKind, find_loop
from xlingual.analysis.content.passage_position import chance_of_thirds, find_position
from xlingual.analysis.content.phrases import find_phrases
from xlingual.analysis.content.scripts import find_scripts, script_of
from xlingual.analysis.content.spans import split_spans
from xlingual.wording import QUESTION_WORDS

from .labelled_table import LANGUAGES, given, make_sample, sentences


@pytest.mark.parametrize(
    "answer",
    [
        "3 million, 4 million, 5 million and 6 million people",
        "1 January, 2 January, 3 January, 4 January and 5 January",
        "1,000,000,000,000,000,000,000,000,000,000",
        "10 10 10 10 10 10 10 10 10 10 10 10",
        "| a | b |\n| --- | --- |\n| --- | --- |\n| --- | --- |\n| --- | --- |",
        "....................................",
        "ha ha ha ha",
        "Row, row, row your boat",
        "The king, the queen, the prince and the princess",
        "ＡＢＣ",
        "",
    ],
)
def test_no_loop(answer: str) -> None:
    assert find_loop(make_sample(answer)).kind is None


def test_loops_of_other_shapes() -> None:
    sure = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    assert find_loop(make_sample(sure)).kind is LoopKind.UNIT
    frame = " ".join(f"The number {word} is larger than the number before it." for word in
                     ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"))  # fmt: skip
    assert find_loop(make_sample(frame)).kind is LoopKind.PIECES
    late = " ".join(sentences("en", "plain")) + " and then" + " it goes on" * 12
    assert find_loop(make_sample(late)).kind is LoopKind.UNIT, "after a good beginning"
    assert find_loop(make_sample("油烧！" + "！" * 30)).unit == "！"
    going_on = "Then the old bakery sells bread, the old bakery sells bread, the old bakery sells bread, the ol"
    assert find_loop(make_sample(going_on)).kind is None
    assert find_loop(make_sample(going_on, cut=True)).kind is LoopKind.UNIT, "the limit of tokens has ended it"
    assert find_loop(make_sample(f"{going_on} What then?", cut=True)).kind is None
    long = "word " * 100_000
    assert find_loop(make_sample(long)).kind is LoopKind.UNIT


@pytest.mark.parametrize(
    "answer",
    [
        "I don't know if you have noticed, but the door is open.",
        "我不知道你有没有意识到，门是开着的。",
        "Δεν ξέρω αν το προσέξατε, αλλά η πόρτα είναι ανοιχτή.",
        "لا أعلم إن كنت لاحظت، لكن الباب مفتوح.",
        "Feel free to use a pencil, but remember the marks.",
        "未知数是方程里的字母。",
        'She said: "I\'m sorry, but I cannot answer that, your honour" was his whole speech.' + " More." * 3,
        "The unable and the able",
        "Sure enough, the river rose.",
    ],
)
def test_no_phrase(answer: str) -> None:
    found = find_phrases(make_sample(answer))
    assert found.abstains is False
    assert found.boilerplate is False


@pytest.mark.parametrize("mark", ["\u200b", "\u200f", "**", "> ", "\n\n", "\u202a"])
@pytest.mark.parametrize("code", LANGUAGES)
def test_marks_around_a_refusal_hide_nothing(code: str, mark: str) -> None:
    assert all(find_phrases(make_sample(f"{mark}{each}{mark}")).refuses for each in sentences(code, "refusal"))


def test_addresses_tags_and_code_are_in_no_language() -> None:
    text = (
        "他说完就走了，大家都不知道他要去哪里。 https://example.org/the-old-bakery-on-the-corner/sells-bread/every-day "
        "<p class='the old bakery sells warm bread every morning'>然后他又回来了，一句话也没有说。</p>"
    )
    assert find_answer_language(make_sample(text, "zh")).switched is False


@pytest.mark.parametrize("name", ["Massachusetts Institute of Technology", "Wolfgang Amadeus Mozart und Joseph Haydn",
                                  "The Lord of the Rings: The Return of the King"])  # fmt: skip
@pytest.mark.parametrize("code", ["ar", "el", "hi", "zh"])
def test_a_latin_name_is_no_switch(code: str, name: str) -> None:
    first, second, *_ = sentences(code, "plain")
    answer = f"{first} {second[:-1]} ({name}) {second}"
    assert find_answer_language(make_sample(answer, code)).switched is False


@pytest.mark.parametrize("name", ["Tesla Electric Light & Manufacturing", "Alpha Repertory Television Service (ARTS)"])
def test_a_name_is_no_english_answer(name: str) -> None:
    assert find_answer_language(make_sample(name, "tr")).english is None


def test_languages_without_a_row_are_not_judged() -> None:
    found = find_answer_language(make_sample(sentences("en", "plain")[0], "tlh"))
    assert (found.off_target, found.english, found.switched) == (None, True, None)
    assert find_scripts(make_sample("abc", "tlh")).foreign is None
    spans = split_spans("One sentence that is long enough. And one more of that kind.", "tlh")
    assert [span.foreign for span in spans] == [None, None]


@pytest.mark.parametrize(
    ("letter", "script"),
    [("a", "Latn"), ("Ａ", "Latn"), ("é", "Latn"), ("ψ", "Grek"), ("ж", "Cyrl"), ("ا", "Arab"), ("क", "Deva"),
     ("ा", "Deva"), ("漢", "Hani"), ("カ", "Kana"), ("ｶ", "Kana"), ("한", "Hang"), ("ก", "Thai"), ("ᚠ", "other"),
     ("1", None), (" ", None), ("\u0301", None), ("µ", None), ("ª", None)],
)  # fmt: skip
def test_scripts_of_letters(letter: str, script: str | None) -> None:
    assert script_of(letter) == script


@pytest.mark.parametrize(
    ("first", "second", "part"),
    [("", "", ""), ("a", "", ""), ("abc", "xbcy", "bc"), ("abcab", "ab", "ab"), ("同じ文", "違う文", "文"),
     ("x" * 3000, "x" * 2000, "x" * 2000), ("\U0001f600ab", "b\U0001f600a", "\U0001f600a"), ("aab", "b", "b")],
)  # fmt: skip
def test_longest_common_part(first: str, second: str, part: str) -> None:
    assert longest_common_part(first, second) == part


@pytest.mark.parametrize("answer", [".", "---", "", " \u200b ", "?!"])
def test_an_answer_of_signs_copies_nothing(answer: str) -> None:
    asked = given(passage="One. Two --- three?! ", question="What comes after one and two, please?")
    found = find_copying(make_sample(answer, given=asked))
    assert (found.verbatim, found.whole_passage, found.copies_question) == (None, None, None)


@pytest.mark.parametrize(
    ("size", "whole", "chances"),
    [(0, 90, (1 / 3, 1 / 3, 1 / 3)), (30, 90, (0.25, 0.5, 0.25)), (60, 90, (0.0, 1.0, 0.0)), (90, 90, (0.0, 1.0, 0.0)),
     (100, 90, (0.0, 1.0, 0.0))],
)  # fmt: skip
def test_chance_of_a_third(size: int, whole: int, chances: tuple[float, float, float]) -> None:
    """By counting: a text of 30 of 90 characters has its middle between 15 and 75, of which 15 to 30 is the start."""
    assert chance_of_thirds(size, whole) == pytest.approx(chances)


def test_a_place_in_two_thirds_is_no_place() -> None:
    passage = "Warsaw is old. " + "x " * 100 + "Nobody left Warsaw."
    assert find_position(make_sample("Warsaw", given=given(passage=passage), targets=("Nobody",))).answer is None
    assert find_position(make_sample("Nobody", given=given(passage=passage))).answer is not None
    assert find_position(make_sample("Nobody")).answer is None


@pytest.mark.parametrize("code", LANGUAGES)
def test_the_instruction_instead_of_an_answer(code: str) -> None:
    instruction = QUESTION_WORDS[code].instruction
    asked = given(instruction=instruction)
    assert find_copying(make_sample(f"{instruction}: 1894", given=asked)).copies_instruction is True
    assert [find_copying(make_sample(each, given=asked)).copies_instruction for each in sentences(code, "plain")] == [
        False
    ] * 12


@pytest.mark.parametrize("unit", ["@", "a@", "a@b", "w://", "<a", "`a", '."', "的一是不", "\u0301a", "www."])
def test_the_time_of_an_answer_grows_with_its_length(unit: str) -> None:
    """With the square of it, let alone the cube, these would take minutes."""
    find_all(make_sample("warm", "zh"))
    began = time.process_time()
    find_all(make_sample(unit * (20_000 // len(unit)), "zh"))
    assert time.process_time() - began < 10


def test_a_long_passage_takes_memory_by_its_length() -> None:
    text = "".join(f"{number * number} lamps were lit in {number}. " for number in range(1500))
    tracemalloc.start()
    found = find_copying(make_sample(text, given=given(passage=text)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.verbatim
    assert peak < 400 * len(text)


def test_half_surrogates_are_letters_of_no_language() -> None:
    sentence = sentences("el", "plain")[0]
    found = find_all(make_sample(f"{sentence} \ud800 {sentence}", "el", thinking="\udfff " * 40))
    assert (found.language.off_target, found.thinking.language) == (False, None)
