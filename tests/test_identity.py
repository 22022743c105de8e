"""Canonical JSON, hashes and names that are safe on every file system."""

from pathlib import Path

import pytest

from xlingual.identity import canonical_json, content_hash, repair_surrogates, slug

HOSTILE = ["..", "/etc/x", "a/../../b", "C:\\x", "CON", "é" * 5000, "\n", "\u202eabc", "a\0b", "", "x|y", "[/foo]", "."]


def test_canonical_json_is_one_text() -> None:
    assert canonical_json({"b": [1, None], "a": "é"}) == '{"a":"é","b":[1,null]}'


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_lacks_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json({"a": value})


def test_content_hash_is_sha256_of_the_canonical_json() -> None:
    # sha256 of the six bytes {"a":1} as coreutils' sha256sum prints it
    assert content_hash({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"


def test_lone_surrogates_become_replacement_characters() -> None:
    assert repair_surrogates("a\ud835b") == "a\ufffdb"


@pytest.mark.parametrize("name", HOSTILE)
def test_slugs_stay_in_their_folder(name: str, tmp_path: Path) -> None:
    made = slug(name)
    assert len(made) <= 89
    assert not made.startswith(".")
    assert (tmp_path / made).resolve().parent == tmp_path.resolve()


def test_slugs_differ_for_names_that_look_alike() -> None:
    assert len({slug(name) for name in [*HOSTILE, "a-b", "a/b", "a b"]}) == len(HOSTILE) + 3
