"""Packed answers are those of one-by-one `generate`: experts, and language models within multimodal ones."""

import pytest

from ..architectures import Architecture, check_packed, experts_and_wrappers


@pytest.mark.parametrize("architecture", experts_and_wrappers(), ids=lambda each: each.name)
def test_packed_answers_are_those_of_generate(architecture: Architecture) -> None:
    check_packed(architecture)
