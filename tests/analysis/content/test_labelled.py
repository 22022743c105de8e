"""Every detector against labelled sentences in seven languages: what it must find, and what it must not."""

from itertools import pairwise

import pytest

from xlingual.analysis.content.answer_language import find_answer_language
from xlingual.analysis.content.copying import find_copying
from xlingual.analysis.content.loops import find_loop
from xlingual.analysis.content.passage_position import Third, find_position
from xlingual.analysis.content.phrases import KEYS, PhraseKind, find_phrases, read_phrases
from xlingual.analysis.content.scripts import find_scripts
from xlingual.analysis.content.thinking_language import find_thinking_language

from .labelled_table import LANGUAGES, LEAST, given, held_out, make_sample, sentences

ANSWERS = [(code, kind) for code in LANGUAGES for kind in ("plain", "near")]


def others(code: str) -> list[str]:
    """Sentences of the six other languages."""
    return [text for other in LANGUAGES if other != code for text in sentences(other, "plain")[:2]]


@pytest.mark.parametrize("code", LANGUAGES)
def test_off_target(code: str) -> None:
    assert [find_answer_language(make_sample(each, code)).off_target for each in others(code)] == [True] * 12
    own = [find_answer_language(make_sample(each, code)).off_target for each in sentences(code, "plain")]
    assert own.count(False) >= LEAST
    assert True not in own


@pytest.mark.parametrize("code", [code for code in LANGUAGES if code != "en"])
def test_english_answers_to_what_asks_for_another_language(code: str) -> None:
    english = [find_answer_language(make_sample(each, code)).english for each in sentences("en", "plain")]
    assert english == [True] * len(english)
    own = [find_answer_language(make_sample(each, code)).english for each in sentences(code, "plain")]
    assert own == [False] * len(own)


@pytest.mark.parametrize("code", LANGUAGES)
def test_code_switching(code: str) -> None:
    found = {each: find_answer_language(make_sample(each, code)).switched for each in sentences(code, "switched")}
    assert {each for each, switched in found.items() if switched is not True} == set()
    plain = sentences(code, "plain")
    assert [find_answer_language(make_sample(each, code)).switched for each in plain] == [False] * len(plain)
    wholly_foreign = [find_answer_language(make_sample(each, code)).switched for each in others(code)]
    assert wholly_foreign == [False] * 12, "off target, but one language"
    pairs = [f"{first} {second}" for first, second in pairwise(plain)]
    assert [find_answer_language(make_sample(each, code)).switched for each in pairs] == [False] * len(pairs)


@pytest.mark.parametrize("kind", ["refusal", "abstention", "boilerplate"])
@pytest.mark.parametrize("code", LANGUAGES)
def test_phrases(code: str, kind: str) -> None:
    flag = {"refusal": "refuses", "abstention": "abstains", "boilerplate": "boilerplate"}[kind]
    missed = [each for each in sentences(code, kind) if not getattr(find_phrases(make_sample(each, code)), flag)]
    assert missed == []


@pytest.mark.parametrize(("code", "kind"), ANSWERS)
def test_plain_answers_and_near_misses_have_no_phrase(code: str, kind: str) -> None:
    found = {each: find_phrases(make_sample(each, code)).found for each in sentences(code, kind)}
    assert {each: phrases for each, phrases in found.items() if phrases} == {}


@pytest.mark.parametrize("code", LANGUAGES)
def test_refusals_and_abstentions_are_told_apart(code: str) -> None:
    assert not any(find_phrases(make_sample(each, code)).abstains for each in sentences(code, "refusal"))
    assert not any(find_phrases(make_sample(each, code)).refuses for each in sentences(code, "abstention"))


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_refusal_counts_in_whatever_language_it_is(code: str) -> None:
    """A model that refuses a Swahili question in Greek has refused it."""
    assert all(find_phrases(make_sample(each, "sw")).refuses for each in sentences(code, "refusal"))


def test_phrases_that_the_table_was_not_made_by() -> None:
    """What docs/content.md says of them: most are found, and not all."""
    found = {"refusal": 0, "abstention": 0}
    written = dict.fromkeys(found, 0)
    for kind in found:
        for code in LANGUAGES:
            samples = [make_sample(each, code) for each in held_out(code, kind)]
            phrases = [find_phrases(each) for each in samples]
            found[kind] += sum(each.refuses if kind == "refusal" else each.abstains for each in phrases)
            written[kind] += len(phrases)
    assert (found, written) == ({"refusal": 61, "abstention": 37}, {"refusal": 68, "abstention": 46})


@pytest.mark.parametrize("code", LANGUAGES)
def test_loops(code: str) -> None:
    missed = [each for each in sentences(code, "loop") if find_loop(make_sample(each, code)).kind is None]
    assert missed == []
    for kind in ("plain", "near", "switched", "refusal"):
        alarms = [each for each in sentences(code, kind) if find_loop(make_sample(each, code)).kind is not None]
        assert alarms == []


@pytest.mark.parametrize("code", LANGUAGES)
def test_copies_of_the_source(code: str) -> None:
    """A source that comes back whole, or with a word before it, is a copy; a translation of it is none."""
    for place, source in enumerate(sentences(code, "plain")):
        asked = given(source=source)
        other = sentences("en" if code != "en" else "tr", "plain")[place]
        assert find_copying(make_sample(source, given=asked)).copies_source is True
        assert find_copying(make_sample(f"OK: {source.upper()}", given=asked)).copies_source is True
        assert find_copying(make_sample(other, given=asked)).copies_source is False


@pytest.mark.parametrize("code", LANGUAGES)
def test_copies_of_question_and_passage(code: str) -> None:
    plain = sentences(code, "plain")
    passage = " ".join(plain[:6])
    for question in plain[6:]:
        asked = given(question=question, passage=passage)
        assert find_copying(make_sample(question, given=asked)).copies_question is True
        assert find_copying(make_sample(passage[: len(passage) * 2 // 3], given=asked)).whole_passage is True
    for sentence in plain[:6]:
        found = find_copying(make_sample(sentence, given=given(question=plain[7], passage=passage)))
        assert (found.copies_question, found.whole_passage, found.verbatim) == (False, False, True)
        assert found.passage is not None
        assert found.passage.share == 1.0
    for sentence in sentences(code, "near"):
        found = find_copying(make_sample(sentence, given=given(question=plain[7], passage=passage)))
        assert (found.copies_question, found.whole_passage, found.verbatim) == (False, False, False)
        assert found.passage is not None
        assert found.passage.share is not None
        assert found.passage.share < 0.5


@pytest.mark.parametrize("code", LANGUAGES)
def test_place_in_the_passage(code: str) -> None:
    plain = sentences(code, "plain")
    thirds = (Third.START, Third.MIDDLE, Third.END)
    for turn in range(4):
        three = plain[3 * turn : 3 * turn + 3]
        padded = [three[0] + "." * (400 - len(three[0])), three[1], "." * (400 - len(three[2])) + three[2]]
        passage = "".join(padded)
        for place, sentence in enumerate(three):
            part = sentence[2:-2]
            found = find_position(make_sample(part, given=given(passage=passage), targets=(three[0],)))
            assert (found.answer, found.gold) == (thirds[place], Third.START)
            said = find_position(make_sample(f"{part}!!?!!", given=given(passage=passage), targets=("none of it",)))
            assert (said.answer, said.gold) == (thirds[place], None)
    for sentence in sentences(code, "near"):
        assert find_position(make_sample(sentence, given=given(passage=" ".join(plain)))).answer is None


@pytest.mark.parametrize("code", LANGUAGES)
def test_share_of_other_scripts(code: str) -> None:
    own = [find_scripts(make_sample(each, code)).foreign for each in sentences(code, "plain")]
    assert own == [0.0] * len(own)
    wrong = "zh" if code != "zh" else "en"
    assert [find_scripts(make_sample(each, code)).foreign for each in sentences(wrong, "plain")] == [1.0] * 12


@pytest.mark.parametrize("code", LANGUAGES)
def test_language_of_the_thinking(code: str) -> None:
    english, own = sentences("en", "plain"), sentences(code, "plain")
    for thought, answer in zip(english, own, strict=True):
        found = find_thinking_language(make_sample(answer, code, thinking=thought))
        alike = code == "en"
        assert (found.language, found.off_target, found.unlike_answer) == ("en", not alike, not alike)
        assert found.english is (None if alike else True)
        same = find_thinking_language(make_sample(answer, code, thinking=own[0] + own[1]))
        assert (same.off_target, same.unlike_answer) == (False, False)


def test_the_table_of_phrases_has_every_kind_in_every_language() -> None:
    table = read_phrases()
    assert set(table) == set(LANGUAGES)
    for phrases in table.values():
        assert set(phrases) == set(KEYS)
        assert {KEYS[key][0] for key in phrases} == set(PhraseKind)
        for key, texts in phrases.items():
            assert len(texts) == len(set(texts)), f"twice in {key}"
