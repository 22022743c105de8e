"""The pins: their form, and the addresses that tasks get."""

import hashlib
import re

import pytest

from xlingual.data import PINS, flores101_sources, mlqa_sources, xquad_sources
from xlingual.errors import UsageError
from xlingual.records import HubSource, UrlSource

from ..real_data import real_file

XQUAD_LANGUAGES = ("ar", "de", "el", "en", "es", "hi", "ro", "ru", "th", "tr", "vi", "zh")


def test_every_pin_fixes_its_bytes_and_says_how_it_is_known() -> None:
    assert len(PINS) == 15
    for pin in PINS:
        assert pin.revision is None or re.fullmatch(r"[0-9a-f]{40}", pin.revision), pin.name
        assert pin.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", pin.sha256), pin.name
        assert pin.revision or pin.sha256, pin.name
        assert (pin.url is None) != (pin.repository is None), pin.name
        assert pin.url is None or (pin.url.startswith("https://") and pin.sha256 is not None), pin.name
        assert pin.evidence, pin.name
    assert len({pin.name for pin in PINS}) == len({(pin.url, pin.repository) for pin in PINS}) == len(PINS)


def test_only_what_was_computed_from_the_source_counts_as_checked() -> None:
    assert [pin.name for pin in PINS if not pin.checked] == ["XQuAD on the hub", "MLQA archive", "Flores-101 archive"]


@pytest.mark.parametrize("code", XQUAD_LANGUAGES)
def test_xquad_is_on_the_hub_and_on_github(code: str) -> None:
    github, hub = xquad_sources(code)
    assert isinstance(hub, HubSource)
    assert isinstance(github, UrlSource)
    assert (hub.repository, hub.subset, hub.split) == ("google/xquad", f"xquad.{code}", "validation")
    assert re.fullmatch(rf"https://\S+/google-deepmind/xquad/[0-9a-f]{{40}}/xquad\.{code}\.json", github.url)
    assert github.member is None


def test_xquad_in_another_language_says_which_there_are() -> None:
    with pytest.raises(UsageError, match="no language 'fr'") as caught:
        xquad_sources("fr")
    assert caught.value.hint == "did you mean tr or ru or ro?"


@pytest.mark.parametrize("code", ["ar", "de", "el", "en", "es", "hi", "tr", "vi", "zh"])
def test_xquad_hashes_are_those_of_the_real_files(code: str) -> None:
    path = real_file("xquad", f"xquad.{code}.json")
    github = xquad_sources(code)[0]
    assert isinstance(github, UrlSource)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == github.sha256


def test_archive_members() -> None:
    assert [source.member for source in mlqa_sources("dev", "zh", "en") if isinstance(source, UrlSource)] == [
        "MLQA_V1/dev/dev-context-zh-question-en.json"
    ]
    assert [source.member for source in flores101_sources("devtest", "zho_simpl") if isinstance(source, UrlSource)] == [
        "flores101_dataset/devtest/zho_simpl.devtest"
    ]
