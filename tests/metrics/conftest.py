"""Makers of examples and responses, and the place of the real data."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from xlingual.records import Example, Finish, Response

ExampleMaker = Callable[..., Example]
ResponseMaker = Callable[..., Response]


@pytest.fixture(scope="session")
def make_example() -> ExampleMaker:
    def make(language: str, *targets: str, fields: Mapping[str, str] | None = None) -> Example:
        return Example(
            id="1", language=language, group="g", cluster="c", fields=fields or {}, targets=targets or ("unused",)
        )

    return make


@pytest.fixture(scope="session")
def make_response() -> ResponseMaker:
    def make(text: str | None, finish: Finish | None = Finish.EOS) -> Response:
        return Response(key="k", text=text, failure=None, finish=finish, prompt_tokens=None, tokens=None)

    return make


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = Path(__file__).parents[3] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real data are not beside the repository (../shared/data)")
    return folder
