"""A page of the browser, for tests that act as a person does."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from .browser import BrowserGoneError, Page, browse, find_chromium


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page of 1280 x 860 pixels, one for all tests of a module."""
    chromium = find_chromium()
    with ExitStack() as stack:
        try:
            opened = stack.enter_context(browse(str(chromium), tmp_path_factory.mktemp("profile")))
        except BrowserGoneError:
            pytest.skip(f"{chromium} does not start here")
        opened.size(1280, 860)
        yield opened
