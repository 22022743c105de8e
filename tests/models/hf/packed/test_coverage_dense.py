"""Packed answers are those of one-by-one `generate`: plain decoders."""

import pytest

from ..architectures import Architecture, biased, check_packed, dense


@pytest.mark.parametrize("architecture", [*dense(), *biased()], ids=lambda each: each.name)
def test_packed_answers_are_those_of_generate(architecture: Architecture) -> None:
    check_packed(architecture)
