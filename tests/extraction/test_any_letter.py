"""Letters of choices in answers that nobody chose: every language, labels of seven alphabets, the forms of the page."""

import random
from collections.abc import Iterator

from xlingual.extraction.letters import ANSWER_WORDS, find_choice_letter
from xlingual.languages import LANGUAGES

LABELS = ("ABCD", "ABCDE", "1234", "甲乙丙丁", "abcd", "АБВГ", "กขคง")
SAID = ("Paris", "the Baltic Sea", "巴黎", "Москва", "पेरिस", "القاهرة", "42")
ONE = (
    "{a}", "({a})", "[{a}]", "{a}.", "{a})", "**{a}**", "\\boxed{{{a}}}", "({a}) {x}", "{a}. {x}", "{a}) {x}",
    "{a}: {x}", "{word}: {a}", "{word}：{a}", "{word}: ({a})", "{word}: **{a}**", "{word} ({a})", "{word}:\n{a}",
    "{word}: {a}.\n\n{x}", "{word}: {a}) {x}",
)  # fmt: skip
"""Answers that give the label `a`."""
SEVERAL = ("{a} {b}", "{a}/{b}", "{a}, {b}", "({a}) ({b})", "{a}\n{b}", "({a}) {x}\n({b}) {y}", "{a}. {x}\n{b}. {y}")
"""Answers that name two, and say of none that it is the answer."""


def drawn(forms: tuple[str, ...]) -> Iterator[tuple[str, str, str, str]]:
    """Yield languages, labels, answers in each form, and the first label that they name."""
    choose = random.Random(20261126)
    for language in LANGUAGES:
        labels = choose.choice(LABELS)
        for form in forms:
            a, b = choose.sample(labels, 2)
            x, y = choose.sample(SAID, 2)
            word = choose.choice([*ANSWER_WORDS.get(language, ()), *ANSWER_WORDS["en"]])
            text = form.format(a=a, b=b, x=x, y=y, word=choose.choice([word, word.capitalize()]))
            yield language, labels, text, a


def test_one_label_is_found_in_every_form_and_language() -> None:
    for language, labels, text, label in drawn(ONE):
        assert find_choice_letter(text, language, tuple(labels)) == label, (language, labels, text)


def test_of_several_labels_none_is_the_answer() -> None:
    for language, labels, text, _ in drawn(SEVERAL):
        assert find_choice_letter(text, language, tuple(labels)) is None, (language, labels, text)
