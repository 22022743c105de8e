"""Records to JSON and back."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest

from xlingual.errors import DataError
from xlingual.identity import Json
from xlingual.records import Failure, Finish, Likelihood, Response
from xlingual.serial import from_json, to_json


@dataclass(frozen=True)
class Inner:
    name: str
    score: float | None


@dataclass(frozen=True)
class Outer:
    items: tuple[Inner, ...]
    pair: tuple[int, str]
    versions: Mapping[str, str]


OUTER = Outer(items=(Inner("a", 1.5), Inner("b", None)), pair=(1, "x"), versions={"k": "v"})


def test_records_come_back_as_they_were() -> None:
    assert from_json(Outer, to_json(OUTER)) == OUTER


def test_enumerations_and_nested_records_come_back() -> None:
    failure = Failure(kind="k", message="m")
    response = Response(key="1", text=None, failure=failure, finish=Finish.STOP, prompt_tokens=3, tokens=None)
    data = to_json(response)
    assert isinstance(data, Mapping)
    assert data["finish"] == "stop"
    assert from_json(Response, data) == response


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"name": "a"}, "field 'score' is missing (has: name)"),
        ({"name": "a", "score": 1, "scor": 2}, "unknown field 'scor' (has: name, score)"),
        ({"name": 1, "score": None}, "Inner.name: must be str, got int"),
        ({"name": "a", "score": True}, "Inner.score: must be float, got bool"),
        ([1], "Inner: must be an object, got list"),
    ],
)
def test_wrong_data_are_named(data: Json, message: str) -> None:
    with pytest.raises(DataError) as caught:
        from_json(Inner, data)
    assert message in str(caught.value)


def test_a_field_that_joined_later_is_left_out_where_it_is_unset() -> None:
    """So that journals from before it, and their checksums, stay good."""
    old = {"key": "1", "text": "x", "failure": None, "finish": None, "prompt_tokens": None, "tokens": 2}
    response = from_json(Response, old)
    assert response.likelihoods is None
    assert to_json(response) == old
    likely = replace(response, text=None, likelihoods=(Likelihood(logarithm=-1.5, is_greedy=True, tokens=None),))
    data = to_json(likely)
    assert isinstance(data, Mapping)
    assert data["likelihoods"] == [{"logarithm": -1.5, "is_greedy": True, "tokens": None}]
    assert from_json(Response, data) == likely


def test_other_objects_are_refused() -> None:
    with pytest.raises(TypeError, match="object is not part of a record"):
        to_json(object())
