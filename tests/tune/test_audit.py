"""The audit: labelled rows in seven languages, kinds of bad rows, and what clean text does not raise."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from xlingual.plugin import DataSource
from xlingual.records import Corpus, Example
from xlingual.registry import SOURCES
from xlingual.tune.audit.alignment import check_alignment
from xlingual.tune.audit.language import SAMPLE, is_other_language, sample_step
from xlingual.tune.audit.lengths import log_ratio
from xlingual.tune.audit.raised import raised_findings
from xlingual.tune.audit.records import AuditFinding, SourceAudit
from xlingual.tune.audit.source import Auditor
from xlingual.tune.audit.texts import count_letters, is_url

from ..real_data import REAL

PARALLEL = REAL / "parallel"
CODES = {
    "eng": "en", "hin": "hi", "zho": "zh", "cmn_Hans": "zh", "tur": "tr", "spa": "es", "ara": "ar",
    "deu": "de", "vie": "vi", "ell": "el",
}  # fmt: skip
SENTENCES = {
    "ar": "ذهب الأطفال إلى المدرسة في الصباح الباكر وعادوا عند الظهر",
    "el": "Τα παιδιά πήγαν στο σχολείο νωρίς το πρωί και γύρισαν το μεσημέρι",
    "en": "The children went to school early in the morning and came home at noon",
    "hi": "बच्चे सुबह जल्दी स्कूल गए और दोपहर को घर लौट आए",
    "tr": "Çocuklar sabah erkenden okula gittiler ve öğlen eve döndüler",
    "vi": "Các em nhỏ đến trường từ sáng sớm và trở về nhà vào buổi trưa",
    "zh": "孩子们一大早就去上学了，中午才回到自己的家里吃午饭",
}
NEUTRAL = ("42", "3.14 + 2 = 5.14", "***", "12:30")
"""In no language."""


def _pair(number: int, source: str, target: str) -> Example:
    key = f"mine-{number}"
    return Example(id=key, language="zh", group=key, cluster=key, fields={"source": source}, targets=(target,))


def _audit(rows: Sequence[tuple[str, str]], direction: tuple[str, str]) -> SourceAudit:
    auditor = Auditor(corpus=Corpus(name="mine", path="", language=direction[1], direction=direction, columns=()))
    pairs = [_pair(number, *row) for number, row in enumerate(rows, start=1)]
    auditor.compare_order(pairs)
    auditor.look_at(pairs, None)
    return auditor.report(skipped=0, unanswered=0, filtered={})


@pytest.mark.parametrize("language", SENTENCES)
@pytest.mark.parametrize("labelled", SENTENCES)
def test_sentences_of_seven_languages(language: str, labelled: str) -> None:
    assert is_other_language(SENTENCES[language], labelled) == (language != labelled)


@pytest.mark.parametrize("labelled", SENTENCES)
@pytest.mark.parametrize("text", NEUTRAL)
def test_a_text_without_a_letter_is_in_no_other_language(text: str, labelled: str) -> None:
    assert not is_other_language(text, labelled)


@pytest.mark.parametrize(("text", "labelled", "other"), [("Hi", "zh", True), ("好", "en", True), ("Hi", "de", False)])
def test_short_texts_are_judged_by_script(text: str, labelled: str, other: bool) -> None:
    assert is_other_language(text, labelled) == other


GOOD = [(f"This is sentence number {number} of the file.", f"这是文件的第{number}个句子。") for number in range(20)]


@pytest.mark.parametrize(
    ("row", "kinds"),
    [
        (("Same same", "Same same"), {AuditFinding.COPY, AuditFinding.NO_SCRIPT, AuditFinding.LANGUAGE}),
        (("same  SAME", "Same same"), {AuditFinding.COPY, AuditFinding.NO_SCRIPT, AuditFinding.LANGUAGE}),
        ((SENTENCES["en"], "Die Kinder gehen früh in die Schule."), {AuditFinding.NO_SCRIPT, AuditFinding.LANGUAGE}),
        ((SENTENCES["tr"], SENTENCES["zh"]), {AuditFinding.SOURCE_LANGUAGE}),
        (("Hi", "你好" * 20), {AuditFinding.RATIO}),
        (("https://example.org/a", "https://example.org/a"), {AuditFinding.URL, AuditFinding.NO_SCRIPT}),
        (("You can read more about this here.", "www.example.org"), {AuditFinding.URL, AuditFinding.NO_SCRIPT}),
        (("1914", "1918"), {AuditFinding.NO_LETTER, AuditFinding.NO_SCRIPT}),
        (("See https://example.org for more.", "更多信息见 https://example.org 网页。"), set()),
    ],
)
def test_kinds_of_bad_pairs(row: tuple[str, str], kinds: set[AuditFinding]) -> None:
    audit = _audit([*GOOD, row], ("en", "zh"))
    assert {each.kind for each in audit.counts} == kinds
    for each in audit.counts:
        assert (each.rows, each.of) == (1, 21)
        assert each.examples[0].row == "mine-21"


def test_examples_are_three_and_short() -> None:
    [count] = [
        each
        for each in _audit([*GOOD, *[("x" * 900, "y" * 900)] * 9], ("en", "zh")).counts
        if each.kind is AuditFinding.NO_SCRIPT
    ]
    assert count.rows == 9
    assert [each.row for each in count.examples] == ["mine-21", "mine-22", "mine-23"]
    assert all(len(each.excerpt) <= 104 for each in count.examples)


def test_letters_and_urls() -> None:
    assert count_letters("ab1 https://example.org é") == 3
    assert count_letters("abcdef", 2) == 2
    assert is_url("(https://example.org/x) www.example.org")
    assert not is_url("see https://example.org")
    assert not is_url("12")
    assert log_ratio("ab", "abcd") == pytest.approx(0.6931, abs=1e-4)


@pytest.mark.parametrize(("rows", "step"), [(1, 1), (SAMPLE, 1), (SAMPLE + 1, 2), (10 * SAMPLE, 10)])
def test_languages_are_told_in_a_sample_of_a_large_source(rows: int, step: int) -> None:
    assert sample_step(rows) == step


def _lines(seed: int, rows: int) -> list[tuple[str, str]]:
    drawn = random.Random(seed)
    words = [drawn.randint(3, 40) for _ in range(rows)]
    numbers = [str(drawn.randint(1, 9999)) if drawn.random() < 0.2 else "" for _ in range(rows)]
    return [(f"{'word ' * count}{each}", f"{'词语' * (count + drawn.randint(0, 4))}{each}")
            for count, each in zip(words, numbers, strict=True)]  # fmt: skip


def _check(sources: Sequence[str], targets: Sequence[str]) -> tuple[float, int | None]:
    found = check_alignment([f"m-{number}" for number in range(1, len(sources) + 1)], sources, targets)
    assert found is not None
    return found.wrong / found.rows, found.shift


@pytest.mark.parametrize("rows", [60, 200, 1000])
def test_orders_of_made_pairs(rows: int) -> None:
    sources, targets = map(list, zip(*_lines(rows, rows), strict=True))
    assert _check(sources, targets) == (0.0, None)
    assert _check(sources, sorted(targets)) == (1.0, None)
    assert _check(sources[:-1], targets[1:]) == (1.0, -1)
    assert _check(sources[3:], targets[:-3]) == (1.0, 3)


def test_a_line_lost_halfway_spoils_the_blocks_behind_it() -> None:
    sources, targets = map(list, zip(*_lines(1, 2000), strict=True))
    found = check_alignment([str(each) for each in range(1999)], sources[:-1], targets[:1000] + targets[1001:])
    assert found is not None
    assert found.rows == 1999
    assert found.shift == -1
    assert 1000 - 286 <= found.wrong <= 1000 + 286  # the block with the lost line is half right
    assert abs(int(found.first or 0) - 999) <= 286


@pytest.mark.parametrize("key", [len, str])
def test_pairs_sorted_together_are_in_order(key: object) -> None:
    """As files from which duplicates were removed by sort(1) are."""
    pairs = sorted(_lines(5, 1000), key=(lambda pair: len(pair[0])) if key is len else (lambda pair: pair[0]))
    assert _check([pair[0] for pair in pairs], [pair[1] for pair in pairs])[0] == 0.0


def test_what_tells_nothing_is_not_judged() -> None:
    assert check_alignment(["a"] * 49, ["x"] * 49, ["y"] * 49) is None
    assert check_alignment(["a"] * 300, ["same length"] * 300, ["gleich lang"] * 300) is None


def _real_sets() -> list[tuple[str, str, Path, Path]]:
    sets = []
    for folder in sorted(PARALLEL.glob("*/*-*")):
        first, second = folder.name.split("-")
        sets += [
            (CODES[first], CODES[second], path, path.with_suffix(f".{second}"))
            for path in sorted(folder.glob(f"*.{first}"))
        ]
    flores = PARALLEL / "flores-dev-510"
    names = {"ara": "ar", "vie": "vi", "hin": "hi", "tha": "th", "ell": "el", "deu": "de", "tur": "tr"}
    return sets + [("en", code, flores / "eng.txt", flores / f"{name}.txt") for name, code in names.items() if sets]


@pytest.mark.parametrize("case", _real_sets() or [None], ids=lambda case: case and "/".join(case[3].parts[-2:]))
def test_clean_bitext_raises_nothing_and_wrong_order_is_found(case: tuple[str, str, Path, Path] | None) -> None:
    if case is None:
        pytest.skip("needs ../shared/data/parallel")
    source, target, first, second = case
    lines = zip(first.read_text("utf-8").splitlines(), second.read_text("utf-8").splitlines(), strict=False)
    pairs = [(one, other) for one, other in lines if one.strip() and other.strip()][:2000]
    audit = _audit(pairs, (source, target))
    assert audit.alignment is not None
    assert audit.alignment.wrong == 0
    assert raised_findings(audit, target) == []
    sources, targets = map(list, zip(*pairs, strict=True))
    shuffled = random.Random(7).sample(targets, len(targets))
    assert _check(sources, shuffled)[0] > 0.9
    assert _check(sources[:-1], targets[1:]) == (1.0, -1)
    assert _check(sources, sorted(targets))[0] > 0.8


@pytest.mark.slow
@pytest.mark.skipif(not (REAL / "alpaca").is_dir(), reason="needs ../shared/data/alpaca")
def test_answers_of_chinese_alpaca_without_a_chinese_character() -> None:
    corpus = Corpus(name="a", path="alpaca/alpaca_data.zh.json", language="zh", direction=None, columns=())
    found = SOURCES.get("alpaca").examples(corpus, DataSource(folder=REAL, sample=False, offline=True))
    auditor = Auditor(corpus=corpus)
    auditor.look_at(found.rows, None)
    audit = auditor.report(skipped=found.skipped, unanswered=found.unanswered, filtered={})
    counts = {each.kind: (each.rows, each.of) for each in audit.counts}
    assert counts[AuditFinding.NO_SCRIPT] == (4214, 17476)
    raised = {each.kind for each in raised_findings(audit, "zh")}
    assert {AuditFinding.NO_SCRIPT, AuditFinding.LANGUAGE} <= raised
