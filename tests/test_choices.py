"""Tasks of choices from plan to record: keys, hashes, failures, resume, scores again, predictions."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from xlingual.cli.progress import SilentRunObserver
from xlingual.errors import DataError
from xlingual.example_hash import hash_examples
from xlingual.planning import RunSettings, plan_task
from xlingual.plugin import ChoiceTask, DataSource, Model, ModelOptions
from xlingual.records import (
    Example,
    Examples,
    Form,
    Likelihood,
    ModelSpec,
    Prompt,
    Request,
    Response,
    RunRecord,
    TaskSpec,
)
from xlingual.rescore import rescore_run, score_predictions
from xlingual.run import evaluate
from xlingual.selection import open_model, select_tasks
from xlingual.serial import from_json

KEY = "dc130f5e9c8ec395726107930ee755017096ff7a57f834a7a7cd0e80108a0787"
DATA = "70dc8938ca9b21072f70de4e289ff00a14fce0bdffdb387cdd673a08370ef108"
PROMPTS = "5af7e8b391ebf9d3a0b32e179cc766c7e04bf03a870fda18bb7ed58cecf5e882"
"""Of xquad/en on the sample, as they were before there were choices."""
PLACE = DataSource(folder=None, sample=True, offline=True)
CITIES = {"France": "Paris", "Peru": "Lima", "Kenya": "Nairobi", "Nepal": "Kathmandu"}


def read(_split: str, _data_source: DataSource) -> Examples:
    rows = [
        Example(
            id=land, language="en", group=land, cluster=land, fields={"land": land}, targets=(city,),
            choices=tuple(CITIES.values()),
        )
        for land, city in CITIES.items()
    ]  # fmt: skip
    return Examples(rows=tuple(rows), files=())


def ask(example: Example) -> Prompt:
    return Prompt(instruction="Name the capital.", before="", passage="", after=f"Land: {example.id}\nCapital: ")


SPEC = TaskSpec(
    name="capitals/en", language="en", prompt_language="en", metrics=("accuracy", "accuracy_norm"), version="1",
    split="test", shot_split="test", max_new_tokens=0, licence="CC0", citation="none",
)  # fmt: skip
TASK = ChoiceTask(spec=SPEC, read=read, ask=ask)


@dataclass
class Weighing:
    """A model that finds short choices likely; it fails where it is told to."""

    spec: ModelSpec
    failing: frozenset[str] = frozenset()
    asked: list[Request] = field(default_factory=list)

    def count_tokens(self, requests: Sequence[Request]) -> list[int] | None:
        return [
            len(each.messages[-1].text) + max(len(choice.text) for choice in each.choices or ()) for each in requests
        ]

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        for request in requests:
            self.asked.append(request)
            likelihoods = [
                Likelihood(logarithm=-0.1 * len(choice.text) ** 2, is_greedy=False, tokens=len(choice.text))
                for choice in request.choices or ()
            ]
            yield Response(
                key=request.key, text=None, failure=None, finish=None, prompt_tokens=9, tokens=0,
                likelihoods=tuple(likelihoods),
            )  # fmt: skip

    def close(self) -> None:
        """Nothing is held."""


MODEL = ModelSpec(
    word="w", backend="test", name="w", revision=None, fingerprint="f" * 64, dtype=None, template="raw",
    context_length=None, parent=None,
)  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path) -> RunSettings:
    return RunSettings(data_source=PLACE, out=tmp_path / "out", max_new_tokens=32, stop=("\n",))


def run(model: Model, settings: RunSettings) -> RunRecord:
    [record] = evaluate(model, [TASK], settings, SilentRunObserver())
    return record


def values(record: RunRecord) -> dict[str, float | None]:
    return {each.metric: each.value for each in record.estimates}


def test_a_plan_asks_for_the_choices_and_generates_nothing(settings: RunSettings) -> None:
    plan = plan_task(TASK, Weighing(MODEL), settings)
    request = plan.fitted[0].request
    assert (request.max_new_tokens, request.stop, plan.protocol.max_new_tokens, plan.protocol.stop) == (0, (), 0, None)
    assert [choice.text for choice in request.choices or ()] == list(CITIES.values())
    # The space of the cue stays: it is the beginning of each choice's first token.
    assert request.messages[0].text == "Name the capital.\n\nLand: France\nCapital: "
    assert request.form is Form.TEXT


def test_the_choices_are_part_of_the_key_and_of_the_data(settings: RunSettings) -> None:
    rows = read("test", PLACE).rows
    other = [replace(row, choices=(*(row.choices or ())[:3], "Pokhara")) for row in rows]
    assert hash_examples(rows) != hash_examples(other)
    assert hash_examples(rows) != hash_examples([replace(row, choices=None) for row in rows])
    plans = [
        plan_task(ChoiceTask(spec=SPEC, read=lambda *_, rows=found: Examples(rows=tuple(rows), files=()), ask=ask),
                  Weighing(MODEL), settings)
        for found in (rows, [replace(row, choices=(row.targets[0], "Pokhara")) for row in rows])
    ]  # fmt: skip
    keys = [{fitted.request.key for fitted in plan.fitted} for plan in plans]
    assert not keys[0] & keys[1]
    assert plans[0].folder != plans[1].folder


def test_hashes_of_generation_are_what_they_were(settings: RunSettings) -> None:
    """Keys, data hashes and prompt hashes from before there were choices: stored answers are not asked again."""
    [task] = select_tasks(["xquad/en"], [])
    plan = plan_task(
        task, Weighing(replace(MODEL, context_length=None)), RunSettings(data_source=PLACE, out=settings.out)
    )
    assert plan.fitted[0].request.key == KEY
    assert (plan.protocol.data, plan.protocol.prompts) == (DATA, PROMPTS)


def test_scores_resume_and_scores_again(settings: RunSettings) -> None:
    model = Weighing(MODEL)
    record = run(model, settings)
    # Lima is the shortest and so the likeliest, of all and for its length.
    assert values(record) == {"accuracy": 25.0, "accuracy_norm": 25.0}
    assert record.complete
    again = Weighing(MODEL)
    assert values(run(again, settings)) == values(record)
    assert (len(model.asked), len(again.asked)) == (4, 0)
    [path] = settings.out.rglob("results.json")
    assert from_json(RunRecord, json.loads(path.read_text(encoding="utf-8"))).estimates == record.estimates
    lines = [json.loads(line) for line in (path.parent / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    assert lines[0]["answer"] is None
    assert [each["logarithm"] for each in lines[0]["likelihoods"]] == pytest.approx([-2.5, -1.6, -4.9, -8.1])
    assert [each["text"] for each in lines[0]["choices"]] == list(CITIES.values())
    assert rescore_run(path.parent, TASK, PLACE).estimates == record.estimates


def test_the_oracle_chooses_right_and_echo_makes_no_choice(settings: RunSettings) -> None:
    assert values(run(open_model("oracle", ModelOptions()), settings)) == {"accuracy": 100.0, "accuracy_norm": 100.0}
    record = run(open_model("echo", ModelOptions()), settings)
    assert (record.counts.failed, values(record)["accuracy"]) == (4, None)


def test_predictions_name_their_choice(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    said = {"France": "Paris", "Peru": "Paris", "Kenya": "I do not know"}
    path.write_text("".join(json.dumps({"id": key, "prediction": text}) + "\n" for key, text in said.items()))
    scores, _ = score_predictions(TASK, PLACE, path, split=None, missing="skip")
    assert scores.scores[0].value == pytest.approx(100 / 3)


def test_demonstrations_show_the_right_choice(settings: RunSettings) -> None:
    plan = plan_task(TASK, Weighing(MODEL), replace(settings, shots=1))
    [shot] = plan.demonstrations
    assert f"Land: {shot.id}\nCapital: {CITIES[shot.id]}\n\nLand: " in plan.fitted[0].request.messages[0].text


def test_a_window_makes_room_for_the_longest_choice(settings: RunSettings) -> None:
    model = Weighing(replace(MODEL, context_length=54))
    fitted = plan_task(TASK, model, replace(settings, on_overflow="skip")).fitted
    prompt = "Name the capital.\n\nLand: {}\nCapital: Kathmandu"
    assert [each.overflow for each in fitted] == [len(prompt.format(land)) > 54 for land in CITIES]


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        (None, "two choices"),
        (("Paris",), "two choices"),
        (("Paris", ""), "two choices"),
        (("Rome", "Lima"), "no target"),
    ],
)
def test_wrong_choices_are_named(choices: tuple[str, ...] | None, message: str, settings: RunSettings) -> None:
    row = replace(read("test", PLACE).rows[0], choices=choices)
    task = ChoiceTask(spec=SPEC, read=lambda *_: Examples(rows=(row,), files=()), ask=ask)
    with pytest.raises(DataError, match=message) as caught:
        plan_task(task, Weighing(MODEL), settings)
    assert caught.value.where == "capitals/en France"
