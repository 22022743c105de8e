"""Errors go from one process to another whole: the class with its exit code, what, where and hint."""

import pickle
from collections.abc import Iterator

import pytest

from xlingual.errors import Interrupted, XlingualError


def tree(kind: type[XlingualError]) -> Iterator[type[XlingualError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from tree(each)


@pytest.mark.parametrize("kind", list(tree(XlingualError)))
def test_an_error_survives_the_way_between_processes(kind: type[XlingualError]) -> None:
    error = kind("is wrong", where="there", hint="mend it")
    found = pickle.loads(pickle.dumps(error))
    assert type(found) is kind
    assert (found.what, found.where, found.hint, found.exit_code) == (
        error.what, error.where, error.hint, error.exit_code,
    )  # fmt: skip
    assert str(found) == str(error)
    assert vars(found) == vars(error)
    assert found.args == error.args


def test_an_interruption_survives_it_too_and_is_no_exception_that_a_library_could_swallow() -> None:
    error = Interrupted(15, hint="go on")
    found = pickle.loads(pickle.dumps(error))
    assert (type(found), str(found), vars(found)) == (Interrupted, "stopped by signal 15", vars(error))
    assert not isinstance(found, Exception)
