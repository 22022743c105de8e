"""From raw answers to what is scored: thinking, budgets that it ate, extraction; and repeats."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from xlingual.answers import AnswerReading, read_answers
from xlingual.board import collect_runs
from xlingual.board.integrity import IntegrityFinding, check_run
from xlingual.board.samples import ScoreReader
from xlingual.cli.progress import SilentRunObserver
from xlingual.comparison import compare_runs
from xlingual.errors import DataError, UsageError
from xlingual.metrics.repeats import majority, pass_at
from xlingual.planning import RunSettings
from xlingual.plugin import DataSource, GenerationTask, ModelOptions, Task
from xlingual.plugin_checks.tasks import CheckedTask
from xlingual.question_settings import QuestionSettings, SamplingChoice
from xlingual.records import Example, Examples, Finish, ModelSpec, Request, Response, RunRecord
from xlingual.rescore import rescore_run, score_predictions
from xlingual.run import evaluate
from xlingual.selection import open_model, select_tasks

SAMPLE = DataSource(folder=None, sample=True, offline=True)
TASK = select_tasks(["xquad/en"], [])[0]
EXAMPLE = TASK.examples("test", SAMPLE).rows[0]


def _response(text: str, finish: Finish = Finish.EOS, thinking: str | None = None) -> Response:
    return Response(key="k", text=text, failure=None, finish=finish, prompt_tokens=5, tokens=9, thinking=thinking)


def _read(*responses: Response, extract: str | None = None) -> list[tuple[str | None, str | None, bool]]:
    found = read_answers(TASK, [EXAMPLE] * len(responses), responses, AnswerReading(extract=extract))
    return [(each.response.text, each.response.thinking, each.finished) for each in found if each is not None]


@pytest.mark.parametrize(
    ("response", "text", "thinking", "finished"),
    [
        (_response("<think>THE PASSAGE</think>\nI do not know."), "I do not know.", "THE PASSAGE", True),
        (_response("<think>THE PASSAGE", Finish.LENGTH), "", "THE PASSAGE", False),
        (_response("<think>THE PASSAGE"), "", "THE PASSAGE", False),
        (_response("a</think>Paris"), "Paris", "a", True),
        (_response("<think>a</think>", Finish.LENGTH), "", "a", False),
        (_response("<think>a</think>"), "", "a", True),
        (_response("Paris", thinking="a"), "Paris", "a", True),
        (_response("", Finish.LENGTH, "a"), "", "a", False),
        (_response("", Finish.EOS, "a"), "", "a", False),
        (replace(_response("", Finish.LENGTH), thinking_tokens=9), "", None, False),
        (replace(_response(""), thinking_tokens=9), "", None, True),
        (_response("<think>b</think>Paris", thinking="a"), "Paris", "a\nb", True),
        (_response(" Paris "), " Paris ", None, True),
        (_response(""), "", None, True),
    ],
)
def test_an_answer_is_read(response: Response, text: str, thinking: str | None, finished: bool) -> None:
    assert _read(response) == [(text, thinking, finished)]


def test_where_one_answer_shows_that_the_prompt_opens_the_thinking_what_was_cut_off_is_thinking() -> None:
    closed, cut, whole = _response("a</think>Paris"), _response("THE PASSAGE", Finish.LENGTH), _response("Rome")
    assert _read(closed, cut, whole) == [("Paris", "a", True), ("", "THE PASSAGE", False), ("Rome", None, True)]
    assert _read(cut, whole)[0] == ("THE PASSAGE", None, True)


@pytest.mark.parametrize(
    ("gold", "said", "text"),
    [
        ("</think>", "</think>", "</think>"),
        ("the tag <think>", "It is the tag <think>", "It is the tag <think>"),
        ("</think>", "<think>Which tag?</think>It is </think>.", "It is </think>."),
        ("Paris", "The tag </think> closes it.", "closes it."),
    ],
)
def test_a_marker_that_the_gold_answer_holds_is_part_of_the_answer(gold: str, said: str, text: str) -> None:
    example = replace(EXAMPLE, targets=(gold,))
    [found] = read_answers(TASK, [example], [_response(said)], AnswerReading())
    assert found is not None
    assert (found.response.text, found.finished) == (text, True)


@dataclass
class Thinker:
    """A model that answers each question by a function of its example, its number and its repeat."""

    spec: ModelSpec
    say: Callable[[Example, Request], Response]

    def __post_init__(self) -> None:
        self.examples: dict[str, Example] = {}

    def see(self, examples: Mapping[str, Example]) -> None:
        self.examples.update(examples)

    def count_tokens(self, requests: Sequence[Request]) -> list[int] | None:
        return None

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        for request in requests:
            yield replace(self.say(self.examples[request.key], request), key=request.key)

    def close(self) -> None:
        """Nothing is held."""


def _model(say: Callable[[Example, Request], Response], name: str = "thinker") -> Thinker:
    return Thinker(replace(open_model("echo", ModelOptions()).spec, name=name, fingerprint=name), say)


def _evaluate(
    model: Thinker, out: Path, question: QuestionSettings | None = None, task: Task = TASK
) -> tuple[RunRecord, list[dict[str, object]]]:
    settings = RunSettings(data_source=SAMPLE, out=out, question=question or QuestionSettings())
    [record] = evaluate(model, [task], settings, SilentRunObserver())
    [path] = out.rglob(f"{model.spec.name}*/**/samples.jsonl")
    return record, [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _value(record: RunRecord, metric: str) -> float | None:
    return next(each.value for each in record.estimates if each.metric == metric)


def test_thinking_never_scores(tmp_path: Path) -> None:
    """A model that says the whole passage in its thinking and nothing in its answer has answered nothing."""

    def say(example: Example, _request: Request) -> Response:
        return _response(f"<think>{example.fields['context']}</think>\nI do not know.")

    record, samples = _evaluate(_model(say), tmp_path)
    assert _value(record, "containment") == 0.0
    assert _value(record, "thinking_off_target") == 0.0
    assert (record.counts.unfinished_thinking, record.counts.answered) == (0, 24)
    assert str(samples[0]["answer"]).startswith("<think>")
    assert samples[0]["scored"] == "I do not know."
    assert samples[0]["thinking"] == EXAMPLE.fields["context"].strip()


def test_unfinished_thinking_is_counted_and_unscored_not_wrong(tmp_path: Path) -> None:
    first = EXAMPLE.id

    def say(example: Example, _request: Request) -> Response:
        if example.id == first:
            return replace(_response(f"<think>{example.fields['context']}", Finish.LENGTH), thinking_tokens=9)
        return replace(_response(f"<think>so</think>{example.targets[0]}"), thinking_tokens=3)

    record, samples = _evaluate(_model(say), tmp_path)
    [containment] = [each for each in record.estimates if each.metric == "containment"]
    assert (containment.value, containment.n, containment.unscored) == (100.0, 23, 1)
    assert (record.counts.unfinished_thinking, record.counts.thinking_tokens) == (1, 9 + 23 * 3)
    assert (samples[0]["unfinished_thinking"], "scored" in samples[0]) == (True, False)


def test_a_stored_answer_is_read_the_same_when_it_is_scored_again(tmp_path: Path) -> None:
    def say(example: Example, _request: Request) -> Response:
        return _response(example.targets[0], thinking=example.fields["context"])

    record, samples = _evaluate(_model(say), tmp_path)
    [path] = tmp_path.rglob("results.json")
    again = rescore_run(path.parent, TASK, SAMPLE)
    assert (again.estimates, again.counts) == (record.estimates, record.counts)
    lines = (path.parent / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == samples


def test_a_file_of_predictions_is_read_in_the_same_way(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    said = [f"<think>{EXAMPLE.targets[0]}</think>no", f"<think>no</think>{EXAMPLE.targets[0]}"]
    for answer, score in zip(said, (0.0, 100.0), strict=True):
        path.write_text(json.dumps({"id": EXAMPLE.id, "prediction": answer}) + "\n", encoding="utf-8")
        report, _ = score_predictions(TASK, SAMPLE, path, split=None, missing="skip")
        assert next(each.value for each in report.scores if each.metric == "containment") == score


def test_a_file_of_predictions_may_hold_several_languages(tmp_path: Path) -> None:
    """Examples of parallel languages share their ids."""
    path = tmp_path / "predictions.jsonl"
    gold, language = EXAMPLE.targets[0], TASK.spec.language
    own = {"id": EXAMPLE.id, "language": language, "prediction": gold}
    other = {"id": EXAMPLE.id, "language": "zu", "prediction": "no"}
    common = {"id": EXAMPLE.id, "prediction": "no"}
    for lines, score in (([other, own], 100.0), ([own, common, other], 100.0), ([other, common], 0.0)):
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        report, _ = score_predictions(TASK, SAMPLE, path, split=None, missing="skip")
        assert (report.n, report.unknown) == (1, ())
        assert next(each.value for each in report.scores if each.metric == "containment") == score
    for lines, why in (([other], f"no line is of '{language}'"), ([own, own], "on lines 1 and 2")):
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        with pytest.raises(DataError, match=why):
            score_predictions(TASK, SAMPLE, path, split=None, missing="skip")


WARM = SamplingChoice(temperature=1.0)


def test_an_absent_prediction_is_wrong_though_the_rules_leave_nothing_of_the_gold_answer(tmp_path: Path) -> None:
    """S20: the English article "A" is nothing to the rules of SQuAD, and so is an empty answer."""
    assert isinstance(TASK, CheckedTask)
    assert isinstance(TASK.task, GenerationTask)

    def read(split: str, data_source: DataSource) -> Examples:
        found = TASK.examples(split, data_source)
        return replace(found, rows=(replace(found.rows[0], targets=("A",)), found.rows[1]))

    task = replace(TASK.task, read=read)
    path = tmp_path / "predictions.jsonl"
    other = read("test", SAMPLE).rows[1]
    path.write_text(json.dumps({"id": other.id, "prediction": other.targets[0]}) + "\n", encoding="utf-8")
    for missing, score in (("zero", 50.0), ("skip", 100.0)):
        report, _ = score_predictions(task, SAMPLE, path, split=None, missing=missing)
        scores = {each.metric: each.value for each in report.scores}
        assert {scores[name] for name in ("squad_em", "mlqa_em", "squad_f1", "containment")} == {score}


def _seldom(example: Example, request: Request) -> Response:
    """Right where the seed of the sample says so: for one answer in three, about."""
    assert request.sampling is not None
    return _response(example.targets[0] if request.sampling.seed % 3 == 0 else f"no {request.sampling.seed % 2}")


def test_repeats_give_the_mean_pass_at_k_and_the_majority(tmp_path: Path) -> None:
    record, samples = _evaluate(_model(_seldom), tmp_path, QuestionSettings(sampling=WARM, repeats=4))
    assert len(samples) == 96
    assert [sample["repeat"] for sample in samples[:5]] == [0, 1, 2, 3, 0]
    right: dict[str, list[bool]] = {}
    for sample in samples:
        right.setdefault(str(sample["id"]), []).append(sample["answer"] in sample["targets"])  # type: ignore[operator]
    mean = 100 * sum(sum(each) / 4 for each in right.values()) / 24
    assert _value(record, "squad_em") == pytest.approx(mean)
    at_least_one = 100 * sum(any(each) for each in right.values()) / 24
    assert _value(record, "pass@4") == pytest.approx(at_least_one)
    pairs = [1 - math.comb(4 - sum(each), 2) / math.comb(4, 2) for each in right.values()]
    assert _value(record, "pass@2") == pytest.approx(100 * sum(pairs) / 24)
    assert _value(record, "maj@4") is not None
    [estimate] = [each for each in record.estimates if each.metric == "squad_em"]
    assert (estimate.n, estimate.unscored) == (24, 0)
    assert record.protocol.repeats == 4
    assert (record.counts.answered, record.complete) == (96, True)
    [run] = collect_runs([tmp_path]).runs
    for each in record.estimates:
        assert check_run(run, each.metric, ScoreReader()) == IntegrityFinding(), "the samples give every score"
    changed = tuple(
        replace(each, value=99.0) if "@" in each.metric else each for each in record.estimates if each.value is not None
    )
    edited = replace(run, record=replace(record, estimates=changed))
    for name in ("pass@2", "pass@4", "maj@4"):
        assert check_run(edited, name, ScoreReader()).fault == f"edited: its samples do not give its {name}"


def test_two_runs_with_repeats_are_compared_by_the_means_of_examples(tmp_path: Path) -> None:
    question = QuestionSettings(sampling=WARM, repeats=2)
    for name, say in (("seldom", _seldom), ("always", lambda example, _request: _response(example.targets[0]))):
        _evaluate(_model(say, name), tmp_path / name, question)
    [found] = compare_runs(tmp_path / "always", tmp_path / "seldom", ["squad_em"])
    assert found.first == 100.0
    assert found.n == 24
    assert found.difference == pytest.approx(found.first - found.second)
    with pytest.raises(UsageError, match="pass@2 is of whole runs"):
        compare_runs(tmp_path / "always", tmp_path / "seldom", ["pass@2"])


def test_scored_again_repeats_stay_what_they_are(tmp_path: Path) -> None:
    record, _ = _evaluate(_model(_seldom), tmp_path, QuestionSettings(sampling=WARM, repeats=4))
    [path] = tmp_path.rglob("results.json")
    again = rescore_run(path.parent, TASK, SAMPLE)
    assert (again.estimates, again.counts) == (record.estimates, record.counts)


@pytest.mark.parametrize(
    ("scores", "k", "expected"),
    [
        ((1.0, 0.0, 0.0, 0.0), 1, 0.25),
        ((1.0, 0.0, 0.0, 0.0), 2, 0.5),
        ((1.0, 1.0, 0.0, 0.0, 0.0), 3, 1 - 1 / 10),
        ((0.0, 0.0), 2, 0.0),
        ((1.0, 1.0), 1, 1.0),
        ((1.0,), 2, None),
    ],
)
def test_pass_at_k_by_hand(scores: tuple[float, ...], k: int, expected: float | None) -> None:
    assert pass_at(scores, k) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("answers", "scores", "expected"),
    [
        (("a", "b", "a"), (1.0, 0.0, 1.0), 1.0),
        (("a", "b", "b"), (1.0, 0.0, 0.0), 0.0),
        (("a", "b"), (1.0, 0.0), 0.5),
        (("a ", " a", "b"), (1.0, 1.0, 0.0), 1.0),
        (("", "", "a"), (0.0, 0.0, 1.0), 1.0),
        (("", " "), (0.0, 0.0), 0.0),
        ((), (), None),
    ],
)
def test_the_majority_by_hand(answers: tuple[str, ...], scores: tuple[float, ...], expected: float | None) -> None:
    assert majority(answers, scores) == expected


def test_a_demonstration_may_show_more_than_the_gold_answer(tmp_path: Path) -> None:
    assert isinstance(TASK, CheckedTask)
    assert isinstance(TASK.task, GenerationTask)

    def read(split: str, data_source: DataSource) -> Examples:
        found = TASK.examples(split, data_source)
        return replace(
            found, rows=tuple(replace(row, demonstration=f"Because: {row.targets[0]}") for row in found.rows)
        )

    task = replace(TASK.task, read=read)
    settings = RunSettings(data_source=SAMPLE, out=tmp_path, shots=2)
    model = _model(lambda example, _request: _response(example.targets[0]))
    [record] = evaluate(model, [task], settings, SilentRunObserver())
    [path] = tmp_path.rglob("samples.jsonl")
    text = json.loads(path.read_text(encoding="utf-8").splitlines()[0])["messages"][0]["text"]
    assert text.count("Because: ") == 2
    assert _value(record, "squad_em") == 100.0


def test_what_is_extracted_is_scored_kept_and_named(tmp_path: Path) -> None:
    """P22: the last number of a chain of thought against a gold number."""
    assert isinstance(TASK, CheckedTask)
    assert isinstance(TASK.task, GenerationTask)

    def read(split: str, data_source: DataSource) -> Examples:
        found = TASK.examples(split, data_source)
        return replace(found, rows=tuple(replace(row, targets=("1234",)) for row in found.rows))

    spec = replace(TASK.spec, extract="last_number", metrics=("exact_match",))
    said = {0: "<think>5</think>First 12, then 1,200, so it is 1,234.", 1: "It is 1,234 or 7.", 2: "I do not know."}
    places = {row.id: place for place, row in enumerate(TASK.examples("test", SAMPLE).rows)}

    def say(example: Example, _request: Request) -> Response:
        return _response(said[min(places[example.id], 2)])

    record, samples = _evaluate(_model(say), tmp_path, task=replace(TASK.task, spec=spec, read=read))
    assert [sample["scored"] for sample in samples[:3]] == ["1234", "7", None]
    assert _value(record, "exact_match") == pytest.approx(100 / 24)
    assert record.counts.unextracted == 22
    [estimate] = [each for each in record.estimates if each.metric == "exact_match"]
    assert "|extract:last_number|" in estimate.signature
