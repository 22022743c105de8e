"""Packed answers are those of one-by-one `generate`: sliding windows, capped scores, sinks, latent attention."""

import pytest

from ..architectures import Architecture, check_packed, windowed


@pytest.mark.parametrize("architecture", windowed(), ids=lambda each: each.name)
def test_packed_answers_are_those_of_generate(architecture: Architecture) -> None:
    check_packed(architecture)
