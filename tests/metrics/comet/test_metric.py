"""comet22 and cometkiwi22 as metrics: what is scored, intervals, signatures, and what is said without weights."""

import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xlingual.errors import EnvironmentFault, UsageError
from xlingual.estimate import estimate
from xlingual.metrics import GOLD_FREE_METRICS, find_metric
from xlingual.metrics.comet import metric as metric_module
from xlingual.metrics.comet.metric import CometMetric, watch_scoring
from xlingual.metrics.comet.model_record import RECORD, WEIGHTS
from xlingual.metrics.comet.published import NOT_COVERED, PUBLISHED
from xlingual.metrics.comet.scorer import CometScorer
from xlingual.metrics.extra import choose_extra
from xlingual.plugin import BatchMetric
from xlingual.records import Example, Response, TaskSpec
from xlingual.statistics.paired import paired_difference

from .test_scorer import GOLDENS
from .tiny_checkpoint import SEGMENTS

ExampleMaker = Callable[..., Example]
ResponseMaker = Callable[..., Response]


@pytest.fixture
def comet22(models: Path) -> CometMetric:
    found = find_metric("comet22")
    assert isinstance(found, CometMetric)
    assert isinstance(found, BatchMetric)
    return found


def ask(make_example: ExampleMaker, make_response: ResponseMaker) -> tuple[list[Example], list[Response]]:
    examples = [make_example("zh", row[2], fields={"source": row[0]}) for row in SEGMENTS]
    return examples, [make_response(row[1]) for row in SEGMENTS]


def test_statistics_and_estimate(
    comet22: CometMetric, make_example: ExampleMaker, make_response: ResponseMaker
) -> None:
    examples, responses = ask(make_example, make_response)
    found = comet22.measure_all(examples, responses)
    assert [row[0] for row in found if row] == pytest.approx(GOLDENS["comet22"], abs=1e-6)
    assert comet22.measure(examples[0], responses[0]) == pytest.approx((GOLDENS["comet22"][0], 1.0), abs=1e-6)
    result = estimate(comet22, "zh", found, [str(place // 2) for place in range(len(found))])
    assert result.value == pytest.approx(100 * np.mean(GOLDENS["comet22"]), abs=1e-4)
    assert (result.n, result.unscored, result.bounds) == (20, 0, (None, None))
    assert result.interval is not None
    assert result.interval.startswith("bootstrap")
    assert result.low is not None
    assert result.high is not None
    assert result.low < 100 * np.mean(GOLDENS["comet22"]) < result.high


def test_segment_scores_feed_paired_tests(
    comet22: CometMetric, make_example: ExampleMaker, make_response: ResponseMaker
) -> None:
    examples, responses = ask(make_example, make_response)
    better = [make_response(example.targets[0]) for example in examples]
    ours, theirs = (comet22.measure_all(examples, each) for each in (responses, better))
    clusters = [str(place) for place in range(len(examples))]
    found = paired_difference(comet22, theirs, ours, clusters)
    expected = 100 * np.mean([b[0] - a[0] for a, b in zip(ours, theirs, strict=True) if a and b])
    assert found is not None
    assert found.difference == pytest.approx(expected, abs=1e-6)
    assert (found.n, found.low is not None) == (20, True)


def test_what_cannot_be_scored_is_not(
    comet22: CometMetric, make_example: ExampleMaker, make_response: ResponseMaker
) -> None:
    source = {"source": "a source"}
    rows = [
        (make_example("zh", "ref", fields=source), None),
        (make_example("zh", "ref", fields=source), make_response(None)),
        (make_example("zh", "ref", fields={"question": "?"}), make_response("answer")),
        (make_example("zh", "ref", fields=source), make_response("")),
    ]
    found = comet22.measure_all([row[0] for row in rows], [row[1] for row in rows])
    assert found[:3] == [None, None, None]
    assert found[3] is not None
    assert comet22.measure_all([], []) == []


def test_of_several_references_the_best_counts(
    comet22: CometMetric, make_example: ExampleMaker, make_response: ResponseMaker
) -> None:
    references = [row[2] for row in SEGMENTS[:5]]
    source = {"source": SEGMENTS[0][0]}
    answer = make_response(SEGMENTS[0][1])
    alone = [comet22.measure(make_example("zh", each, fields=source), answer) for each in references]
    together = comet22.measure(make_example("zh", *references, fields=source), answer)
    assert together == pytest.approx((max(row[0] for row in alone if row), 1.0), abs=1e-6)


def test_without_a_reference_only_kiwi_judges(
    models: Path, make_example: ExampleMaker, make_response: ResponseMaker
) -> None:
    example = replace(make_example("zh", "r", fields={"source": SEGMENTS[0][0]}), targets=())
    kiwi, comet = find_metric("cometkiwi22"), find_metric("comet22")
    found = kiwi.measure(example, make_response(SEGMENTS[0][1]))
    assert found == pytest.approx((GOLDENS["cometkiwi22"][0], 1.0), abs=1e-6)
    assert comet.measure(example, make_response(SEGMENTS[0][1])) is None
    assert {"cometkiwi22"} == GOLD_FREE_METRICS & {"comet22", "cometkiwi22"}


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("comet22", ("comet22", "model:unpublished", "refs:best", "scorer:1", "dtype:float32", "scale:100")),
        ("cometkiwi22", ("cometkiwi22", "model:unpublished", "scorer:1", "dtype:float32", "scale:100")),
    ],
)
def test_the_signature_names_what_changes_the_number(models: Path, name: str, parts: tuple[str, ...]) -> None:
    record = json.loads((models / name / RECORD).read_text(encoding="utf-8"))
    found = find_metric(name).signature("zh").split("|")
    fields = {"sha256": "checkpoint_sha256", "weights": "weights_sha256", "tok": "tokenizer_sha256"}
    hashes = [f"{word}:{record[field][:8]}" for word, field in fields.items()]
    hashes += [each for each in found if each.startswith("rules:")]
    assert len(hashes) == 4
    assert sorted(found) == sorted([*parts, *hashes])


def test_the_signature_of_published_weights_names_their_revision(models: Path, tmp_path: Path) -> None:
    record = json.loads((models / "comet22" / RECORD).read_text(encoding="utf-8"))
    folder = tmp_path / "comet22"
    folder.mkdir()
    for path in (models / "comet22").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    model = PUBLISHED["comet22"]
    record |= {"repository": model.repository, "revision": model.revision, "licence": model.licence}
    (folder / RECORD).write_text(json.dumps(record), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XLINGUAL_COMET_DIR", str(tmp_path))
        signature = find_metric("comet22").signature("zh")
    assert "|model:Unbabel/wmt22-comet-da|revision:2760a22|" in signature


def test_dtype_is_part_of_the_signature(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLINGUAL_COMET_DTYPE", "bfloat16")
    assert "|dtype:bfloat16|" in find_metric("comet22").signature("zh")
    monkeypatch.setenv("XLINGUAL_COMET_DTYPE", "float31")
    with pytest.raises(UsageError, match="no such number format"):
        find_metric("comet22").signature("zh")


@pytest.mark.parametrize("word", ["gpu", "cuda:x", "tpu", "cuda:-1"])
def test_a_word_that_is_no_device_is_refused_before_anything_is_asked(
    models: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    monkeypatch.setenv("XLINGUAL_COMET_DEVICE", word)
    with pytest.raises(UsageError, match="no such device"):
        choose_extra(make_spec("en", "chrf++"), ["comet22"])


@pytest.mark.parametrize("fault", ["no device", "no memory"])
def test_what_the_machine_lacks_is_the_reason_of_no_score(
    comet22: CometMetric,
    make_example: ExampleMaker,
    make_response: ResponseMaker,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    """The run's other metrics are computed all the same."""
    monkeypatch.setattr(metric_module, "_FAULTS", {})
    if fault == "no device":
        monkeypatch.setenv("XLINGUAL_COMET_DEVICE", "cuda:99")
    else:
        lack = EnvironmentFault("the memory of cpu does not hold one text of 9 tokens", where="comet22")
        monkeypatch.setattr(CometScorer, "score", lambda *_, **__: raise_fault(lack))
    examples, responses = ask(make_example, make_response)
    assert comet22.measure_all(examples, responses) == [None] * len(examples)
    reason = {"no device": "this machine has no cuda:99", "no memory": "does not hold one text"}[fault]
    assert reason in (comet22.missing("zh") or "")


def raise_fault(fault: Exception) -> None:
    raise fault


def test_a_long_scoring_says_how_far_it_is(
    comet22: CometMetric, make_example: ExampleMaker, make_response: ResponseMaker
) -> None:
    seen: list[tuple[str, int, int]] = []
    watch_scoring(lambda *facts: seen.append(facts))
    try:
        comet22.measure_all(*ask(make_example, make_response))
    finally:
        watch_scoring(None)
    texts = len({text for row in SEGMENTS for text in row})
    assert seen[-1] == ("comet22", texts, texts)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def _damage_weights(folder: Path) -> None:
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS).write_bytes(content)


def _write_tokenizer(folder: Path, content: bytes) -> None:
    (folder / "tokenizer.json").write_bytes(content)
    _change_record(folder, tokenizer_sha256=hashlib.sha256(content).hexdigest())


def _change_record(folder: Path, **values: object) -> None:
    content = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    for name, value in values.items():
        (content["encoder"] if name in content["encoder"] else content)[name] = value
    (folder / RECORD).write_text(json.dumps(content), encoding="utf-8")


def _with_rule(name: str, value: object) -> Callable[[Path], object]:
    return lambda folder: _change_record(folder, **{name: value})


_RULES: Sequence[tuple[str, object, str]] = (
    ("layers", 0, "sizes"), ("layers", -1, "sizes"), ("layers", 1, "has shape"), ("layers", 10**9, "sizes"),
    ("heads", 0, "sizes"), ("heads", 5, "sizes"), ("heads", 10**6, "sizes"), ("width", 1, "sizes"),
    ("width", 64, "has shape"), ("inner", 1, "has shape"), ("vocabulary", 10**6, "has shape"),
    ("positions", 0, "positions"), ("positions", 10**6, "has shape"), ("padding", -1, "positions"),
    ("norm_epsilon", -1.0, "positions"), ("transformation", "junk", "transformation"), ("activation", "", "activation"),
    ("final_activation", "junk", "activation"), ("hidden_sizes", [], "has shape"), ("hidden_sizes", [0, 0], "sizes"),
    ("hidden_sizes", [1], "has shape"), ("unified", True, "has shape"),
)  # fmt: skip
DAMAGES: Mapping[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (_empty, "is not on this machine"),
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), "lacks model.safetensors"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "lacks tokenizer.json"),
    "cut": (lambda folder: (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-8]), "bytes, not"),
    "a bit": (_damage_weights, "has changed: its SHA-256 is"),
    "record": (lambda folder: (folder / RECORD).write_text("{}", encoding="utf-8"), "schema None"),
    "no record": (lambda folder: (folder / RECORD).write_text("{", encoding="utf-8"), "comet.json"),
    "list": (lambda folder: (folder / RECORD).write_text("[]", encoding="utf-8"), "comet.json"),
    "empty tokenizer": (lambda folder: _write_tokenizer(folder, b"{}"), "is no tokenizer"),
    "bytes for a tokenizer": (lambda folder: _write_tokenizer(folder, b"\xff\xfe"), "is no tokenizer"),
    **{f"{name} {value}": (_with_rule(name, value), reason) for name, value, reason in _RULES},
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_without_sound_weights_nothing_is_computed(
    converted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_example: ExampleMaker,
    make_response: ResponseMaker, damage: str,
) -> None:  # fmt: skip
    """Never 0, never an error: the estimate says why."""
    (tmp_path / "comet22").mkdir()
    for path in (converted / "comet22").iterdir():
        (tmp_path / "comet22" / path.name).write_bytes(path.read_bytes())
    break_it, reason = DAMAGES[damage]
    break_it(tmp_path / "comet22")
    monkeypatch.setenv("XLINGUAL_COMET_DIR", str(tmp_path))
    metric = find_metric("comet22")
    assert isinstance(metric, CometMetric)
    examples, responses = ask(make_example, make_response)
    rows = metric.measure_all(examples, responses)
    assert rows == [None] * len(examples)
    found = estimate(metric, "zh", rows, ["c"] * len(rows))
    assert found.value is None
    assert found.reason is not None
    assert found.reason.startswith("not computed: ")
    assert reason in found.reason
    assert "xlingual metrics comet22 --fetch" in found.reason


def test_languages_that_the_encoder_never_saw_are_not_judged(models: Path) -> None:
    metric = find_metric("comet22")
    assert metric.missing("zh") is None
    assert len(NOT_COVERED) == 22
    for code in NOT_COVERED:
        assert "never saw" in (metric.missing(code) or "")


def make_spec(source: str | None, *metrics: str) -> TaskSpec:
    return TaskSpec(
        name="t/zh", language="zh", prompt_language="en", metrics=metrics, version="1", split="test",
        max_new_tokens=8, licence="CC0", citation="none", source_language=source,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("source", "own", "asked", "chosen"),
    [
        ("en", ("chrf++", "off_target", "source_copy"), ["comet22"], ("comet22",)),
        ("en", ("chrf++",), ["comet22", "cometkiwi22"], ("comet22", "source_copy", "off_target", "cometkiwi22")),
        ("en", ("chrf++",), ["bleu", "chrf++"], ("bleu",)),
        (None, ("squad_f1",), ["comet22", "empty"], ("empty",)),
        (None, ("squad_f1",), [], ()),
    ],
)
def test_copies_and_off_target_stand_beside_it(
    source: str | None, own: tuple[str, ...], asked: list[str], chosen: tuple[str, ...]
) -> None:
    assert choose_extra(make_spec(source, *own), asked) == chosen


@pytest.mark.parametrize("rule", [{"heads": 1}, {"layer_norm": True}, {"final_activation": "sigmoid"}])
def test_rules_that_change_the_number_change_the_signature(
    converted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: dict[str, object]
) -> None:
    """Weights and tokenizer are the same bytes: without the rules nothing would tell the two numbers apart."""
    (tmp_path / "comet22").mkdir()
    for path in (converted / "comet22").iterdir():
        (tmp_path / "comet22" / path.name).write_bytes(path.read_bytes())
    monkeypatch.setenv("XLINGUAL_COMET_DIR", str(tmp_path))
    before = find_metric("comet22").signature("zh")
    _change_record(tmp_path / "comet22", **rule)
    after = find_metric("comet22").signature("zh")
    assert before != after
    assert before.partition("|rules:")[0] == after.partition("|rules:")[0]


@pytest.mark.parametrize("module", ["torch", "xlingual.metrics.comet.scorer"])
def test_without_torch_there_is_a_reason_and_no_error(
    models: Path, monkeypatch: pytest.MonkeyPatch, make_example: ExampleMaker, make_response: ResponseMaker, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr("xlingual.metrics.comet.metric._FAULTS", {})
    monkeypatch.setattr("xlingual.metrics.comet.metric._OPEN", {})
    metric = find_metric("comet22")
    assert isinstance(metric, CometMetric)
    examples, responses = ask(make_example, make_response)
    assert metric.measure_all(examples, responses) == [None] * len(examples)
    assert module in str(metric.missing("zh"))
