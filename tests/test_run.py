"""Whole runs with the models for tests: resume, failures, sharing, records."""

import importlib.metadata
import itertools
import json
import platform
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from xlingual.board.collection import read_run
from xlingual.errors import AuthError, DataError
from xlingual.planning import Limit, RunSettings
from xlingual.plugin import DataSource, Model, ModelOptions
from xlingual.records import Example, ModelSpec, Request, Response, RunRecord
from xlingual.rescore import rescore_run
from xlingual.run import evaluate
from xlingual.selection import open_model, select_tasks
from xlingual.serial import from_json

SAMPLE = DataSource(folder=None, sample=True, offline=True)


@dataclass
class Recorder:
    """An observer that keeps what it is told, and a way to stop in the middle."""

    answers: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    finished: int = 0
    stop_after: int = 10**9

    def begin(self, totals: Mapping[str, int], finished: Mapping[str, int]) -> None:
        self.finished = sum(finished.values())

    def answered(self, task: str, response: Response) -> None:
        self.answers.append(response.key)
        if len(self.answers) >= self.stop_after:
            raise KeyboardInterrupt

    def note(self, message: str) -> None:
        self.notes.append(message)

    def end(self) -> None:
        """Nothing to take down."""


def _run(model: Model | str, tasks: str, settings: RunSettings, observer: Recorder | None = None) -> list[RunRecord]:
    opened = open_model(model, ModelOptions()) if isinstance(model, str) else model
    return evaluate(opened, select_tasks(tasks.split(","), []), settings, observer or Recorder())


def _values(record: RunRecord) -> dict[str, float | None]:
    return {each.metric: each.value for each in record.estimates}


@pytest.fixture
def settings(tmp_path: Path) -> RunSettings:
    return RunSettings(data_source=SAMPLE, out=tmp_path / "out")


def _scripted(folder: Path, lines: Sequence[Mapping[str, object]]) -> str:
    path = folder / "script.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return f"scripted:{path}"


def _ids(settings: RunSettings) -> list[str]:
    return [row.id for row in select_tasks(["xquad/en"], [])[0].examples("test", settings.data_source).rows]


def test_the_record_is_what_the_file_holds(settings: RunSettings) -> None:
    record = _run("oracle", "xquad/en", settings)[0]
    paths = list(settings.out.rglob("results.json"))
    assert len(paths) == 1
    assert from_json(RunRecord, json.loads(paths[0].read_text(encoding="utf-8"))) == record
    assert record.complete
    assert record.counts.answered == 24
    lines = [json.loads(line) for line in (paths[0].parent / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["id"] for line in lines] == _ids(settings)
    assert lines[0]["statistics"]["squad_f1"] == [1.0, 1.0]
    assert lines[0]["messages"][0]["text"].startswith("Answer the final question with following context")
    assert not (paths[0].parent / "lock").exists()


def test_an_interrupted_run_goes_on_where_it_was(settings: RunSettings) -> None:
    first = Recorder(stop_after=10)
    with pytest.raises(KeyboardInterrupt):
        _run("oracle", "xquad/en,flores101/en-zh", settings, first)
    assert not list(settings.out.rglob("results.json"))
    second = Recorder()
    records = _run("oracle", "xquad/en,flores101/en-zh", settings, second)
    assert second.finished == 10
    assert len(first.answers + second.answers) == len(set(first.answers + second.answers)) == 48
    assert [record.counts.answered for record in records] == [24, 24]


def test_a_finished_run_asks_nothing(settings: RunSettings) -> None:
    first = _run("oracle", "xquad/en", settings)
    watch = Recorder()
    second = _run("oracle", "xquad/en", settings, watch)
    assert watch.answers == []
    assert replace(first[0], finished_at="", hashes=None) == replace(second[0], finished_at="", hashes=None)


def test_a_limited_run_feeds_the_whole_one_and_never_replaces_it(settings: RunSettings) -> None:
    limited = _run("oracle", "xquad/en", replace(settings, limit=Limit(1, 5)))[0]
    assert not limited.complete
    assert not list(settings.out.rglob("results.json"))
    watch = Recorder()
    _run("oracle", "xquad/en", settings, watch)
    assert len(watch.answers) == 19
    _run("oracle", "xquad/en", replace(settings, limit=Limit(1, 5)))
    whole = json.loads(next(settings.out.rglob("results.json")).read_text(encoding="utf-8"))
    assert whole["protocol"]["n"] == 24


def test_fresh_asks_again_and_keeps_the_old_answers(settings: RunSettings) -> None:
    _run("oracle", "xquad/en", settings)
    watch = Recorder()
    _run("oracle", "xquad/en", replace(settings, fresh=True), watch)
    assert len(watch.answers) == 24
    assert len(list(settings.out.rglob("before-*/journal.jsonl"))) == 1


def _pretend_an_older_sitting(folder: Path, *, told_apart: bool) -> None:
    """Make a run folder say that sacrebleu was 0.1 when it was written; before versions were told apart, or after."""
    for name in ("run.json", "results.json"):
        document = json.loads((folder / name).read_text(encoding="utf-8"))
        for key in ("versions", "scored_with"):
            if key in document:
                document[key]["sacrebleu"] = "0.1"
        if not told_apart:
            document.pop("versions" if name == "run.json" else "scored_with")
        (folder / name).write_text(json.dumps(document), encoding="utf-8")


@pytest.mark.parametrize("told_apart", [True, False])
def test_versions_of_answers_stay_and_those_of_scores_are_of_now(settings: RunSettings, told_apart: bool) -> None:
    now = importlib.metadata.version("sacrebleu")
    first = _run("oracle", "mlqa/en", settings)[0]
    assert first.scored_with == first.versions
    assert (first.versions["sacrebleu"], first.versions["python"]) == (now, platform.python_version())
    [folder] = (path.parent for path in settings.out.rglob("results.json"))
    _pretend_an_older_sitting(folder, told_apart=told_apart)
    old = read_run(folder / "results.json", "old").record
    assert (old.versions["sacrebleu"], old.scored_with is None) == ("0.1", not told_apart)
    for _ in range(2):
        again = rescore_run(folder, select_tasks(["mlqa/en"], [])[0], SAMPLE)
        assert again == read_run(folder / "results.json", "new").record
        assert again.versions == {**first.versions, "sacrebleu": "0.1"}
        assert again.scored_with == first.versions
    again = _run("oracle", "mlqa/en", settings)[0]  # nothing is asked
    assert (again.versions, again.scored_with) == (old.versions, first.versions)
    shared = _run("oracle", "mlqa/en,mlqa/en-en", settings)[1]  # the same questions
    assert (shared.versions, shared.scored_with) == (old.versions, first.versions)
    journal = folder / "journal.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:-1]))
    resumed = _run("oracle", "mlqa/en", settings)[0]
    assert resumed.versions == {**first.versions, "sacrebleu": f"0.1, {now}"}
    fresh = _run("oracle", "mlqa/en", replace(settings, fresh=True))[0]
    assert (fresh.versions, fresh.scored_with) == (first.versions, first.versions)


def test_failures_are_values_and_are_asked_again(settings: RunSettings, tmp_path: Path) -> None:
    ids = _ids(settings)
    script = [{"id": each, "prediction": "x"} for each in ids[:-2]] + [{"id": ids[-1], "error": "server says 500"}]
    record = _run(_scripted(tmp_path, script), "xquad/en", settings)[0]
    assert (record.counts.answered, record.counts.failed, record.complete) == (22, 2, False)
    by_metric = {each.metric: each for each in record.estimates}
    assert (by_metric["squad_em"].n, by_metric["squad_em"].unscored) == (22, 2)
    watch = Recorder()
    _run(f"scripted:{tmp_path / 'script.jsonl'}", "xquad/en", settings, watch)
    assert len(watch.answers) == 2


def test_too_many_failures_stop_the_run(settings: RunSettings, tmp_path: Path) -> None:
    watch = Recorder()
    name = _scripted(tmp_path, [{"id": each, "error": "down"} for each in _ids(settings)])
    record = _run(name, "xquad/en", replace(settings, max_errors=3), watch)[0]
    assert (record.counts.failed, record.counts.missing) == (4, 20)
    assert watch.notes[0].startswith("stopped after 4 failed samples")
    assert _values(record)["containment"] is None


def test_the_same_request_of_two_tasks_is_asked_once(settings: RunSettings) -> None:
    watch = Recorder()
    records = _run("oracle", "mlqa/en,mlqa/en-en", settings, watch)
    assert len(set(watch.answers)) == 24
    assert [record.counts.answered for record in records] == [24, 24]


@dataclass(frozen=True)
class Forgetful:
    """A model that answers only some requests, and in reverse."""

    spec: ModelSpec

    def count_tokens(self, requests: Sequence[Request]) -> list[int] | None:
        return [len(request.messages[0].text) for request in requests]

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        for request in reversed(requests[::2]):
            yield Response(key=request.key, text="x", failure=None, finish=None, prompt_tokens=None, tokens=None)

    def close(self) -> None:
        """Nothing is held."""


FORGETFUL = ModelSpec(
    word="f",
    backend="test",
    name="../f",
    revision=None,
    fingerprint="f" * 64,
    dtype=None,
    template="raw",
    context_length=10_000,
    parent=None,
)


def test_answers_that_never_came_are_missing_not_wrong(settings: RunSettings) -> None:
    record = _run(Forgetful(FORGETFUL), "xquad/en", settings)[0]
    assert (record.counts.answered, record.counts.missing) == (12, 12)
    assert _values(record)["truncated"] is None


def test_no_file_is_written_outside_the_output_folder(settings: RunSettings, tmp_path: Path) -> None:
    _run(Forgetful(FORGETFUL), "xquad/en", settings)
    assert [each.name for each in tmp_path.iterdir()] == ["out"]


def test_another_model_never_gets_stored_answers(settings: RunSettings) -> None:
    _run(Forgetful(FORGETFUL), "xquad/en", settings)
    watch = Recorder()
    _run(Forgetful(replace(FORGETFUL, fingerprint="e" * 64)), "xquad/en", settings, watch)
    assert watch.finished == 0
    assert len(watch.answers) == 12


def test_cut_passages_are_counted(settings: RunSettings) -> None:
    spec = replace(FORGETFUL, context_length=780)
    record = _run(Forgetful(spec), "xquad/en", settings)[0]
    assert 0 < record.counts.passages_cut <= 24
    with pytest.raises(DataError, match="a prompt is longer than"):
        _run(Forgetful(spec), "xquad/en", replace(settings, on_overflow="error"))


def test_samples_that_cannot_fit_are_recorded_failures(settings: RunSettings) -> None:
    spec = replace(FORGETFUL, context_length=600)
    record = _run(Forgetful(spec), "xquad/en", replace(settings, on_overflow="skip", max_new_tokens=512))[0]
    assert record.counts.failed == 24


def test_samples_that_cannot_fit_are_recorded_once_and_count_as_settled(settings: RunSettings) -> None:
    """In this window the questions of some samples fit, and those of others do not."""
    settings = replace(settings, on_overflow="skip", max_new_tokens=512)
    model = Forgetful(replace(FORGETFUL, context_length=648))
    tasks, journals, told = "xquad/en,mlqa/en", dict[str, bytes](), list[tuple[int, int, int]]()
    for _ in range(7):  # the model answers half of what it is asked, and all of it in the end
        watch = Recorder()
        records = _run(model, tasks, settings, watch)
        told.append((watch.finished, len(watch.answers), sum(record.counts.failed for record in records)))
    skipped = told[0][0]
    assert 0 < skipped < 48
    assert {failed for *_, failed in told} == {skipped}
    assert told[-1][:2] == (48, 0)
    assert all(after[0] == before[0] + before[1] for before, after in itertools.pairwise(told))
    for path in settings.out.rglob("journal.jsonl"):
        journals[str(path)] = path.read_bytes()
    _run(model, tasks, settings)
    lines = 0
    for name, content in journals.items():
        assert Path(name).read_bytes() == content
        lines += content.count(b"\n")
    assert lines == 48


def test_echo_scores_what_a_hand_count_says(settings: RunSettings) -> None:
    """Echo answers a question with itself and a sentence with its source: everything is a copy, nothing a hit."""
    question, translation = _run("echo", "xquad/en,flores101/en-zh", settings)
    expected = {"squad_em": 0.0, "mlqa_em": 0.0, "source_copy": 100.0, "empty": 0.0}
    assert expected.items() <= _values(question).items()
    rows = select_tasks(["xquad/en"], [])[0].examples("test", SAMPLE).rows
    inside = sum(row.targets[0].lower() in row.fields["question"].lower() for row in rows)
    assert _values(question)["containment"] == pytest.approx(100 * inside / 24)
    assert _values(translation)["source_copy"] == 100.0
    assert _values(translation)["off_target"] == 100.0


def _all_sample_tasks() -> list[str]:
    codes = ("ar", "el", "en", "hi", "tr", "vi", "zh")
    mlqa = [code for code in codes if code not in ("el", "tr")]
    pairs = [f"mlqa/{context}-{question}" for context in mlqa for question in mlqa]
    directions = [f"flores101/{source}-{target}" for source in codes for target in codes if source != target]
    return [*(f"xquad/{code}" for code in codes), *pairs, *directions]


@pytest.mark.slow
def test_the_oracle_scores_100_in_every_task_of_the_sample(settings: RunSettings) -> None:
    records = _run("oracle", ",".join(_all_sample_tasks()), settings)
    assert len(records) == 7 + 25 + 42
    for record in records:
        values = _values(record)
        questions = ("containment", "mlqa_em", "mlqa_f1", "squad_em", "squad_f1")
        hits = ("chrf++", "bleu") if "flores" in record.protocol.task else questions
        assert [values[name] for name in hits] == pytest.approx([100.0] * len(hits)), record.protocol.task


def test_examples_of_the_oracle_are_those_of_the_plan(settings: RunSettings) -> None:
    shown: dict[str, Example] = {}

    class Watcher(Forgetful):
        def see(self, examples: Mapping[str, Example]) -> None:
            shown.update(examples)

    _run(Watcher(FORGETFUL), "xquad/en", settings)
    assert sorted(example.id for example in shown.values()) == sorted(_ids(settings))


def test_what_a_model_tells_is_shown_and_kept_in_every_run(settings: RunSettings) -> None:
    class Teller(Forgetful):
        def on_note(self, note: Callable[[str], None]) -> None:
            note("out of memory")

    recorder = Recorder()
    _run(Teller(FORGETFUL), "xquad/en,xquad/zh", settings, recorder)
    assert recorder.notes == ["out of memory"]
    kept = [path.read_text(encoding="utf-8") for path in settings.out.rglob("notes.log")]
    assert len(kept) == 2
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}Z out of memory\n", text) for text in kept)


@dataclass
class Refusing:
    """A model that answers some questions and is refused then; it learns of itself while it answers."""

    spec: ModelSpec
    answers: int

    def count_tokens(self, requests: Sequence[Request]) -> list[int] | None:
        return None

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        for request in requests[: self.answers]:
            self.spec = replace(self.spec, details={"served as": "another"})
            yield Response(key=request.key, text="x", failure=None, finish=None, prompt_tokens=3, tokens=1)
        if len(requests) > self.answers:
            raise AuthError("the quota is used up", where="server")

    def close(self) -> None:
        """Nothing is held."""


def test_what_was_answered_is_recorded_when_the_server_refuses_the_rest(settings: RunSettings) -> None:
    model = Refusing(replace(FORGETFUL, name="refusing"), 5)
    with pytest.raises(AuthError, match="quota"):
        _run(model, "xquad/en,flores101/en-zh", settings)
    [path] = settings.out.rglob("results.json")
    record = from_json(RunRecord, json.loads(path.read_text(encoding="utf-8")))
    assert (record.protocol.task, record.counts.answered, record.counts.missing) == ("xquad/en", 5, 19)
    assert record.model.details == {"served as": "another"}
    model.answers = 100
    records = _run(model, "xquad/en,flores101/en-zh", settings)
    assert [each.counts.answered for each in records] == [24, 24]


def test_what_a_model_told_of_itself_stays_when_nothing_is_asked(settings: RunSettings) -> None:
    _run(Refusing(replace(FORGETFUL, name="refusing"), 100), "xquad/en", settings)
    [again] = _run(Refusing(replace(FORGETFUL, name="refusing"), 100), "xquad/en", settings)
    assert again.model.details == {"served as": "another"}


def test_the_failures_of_a_run_are_counted_by_kind(settings: RunSettings, tmp_path: Path) -> None:
    ids = _ids(settings)
    lines = [{"id": name, "error": "busy"} if place < 3 else {"id": name, "prediction": "x"}
             for place, name in enumerate(ids[:-1])]  # fmt: skip
    [record] = _run(_scripted(tmp_path, lines), "xquad/en", settings)
    assert record.counts.failures is not None
    assert [(each.kind, each.count, each.example) for each in record.counts.failures] == [
        ("scripted", 3, "busy"),
        ("unscripted", 1, f"the script has no answer for {ids[-1]!r}"),
    ]
