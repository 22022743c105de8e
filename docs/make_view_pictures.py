"""Makes the page and the pictures of docs/view.md from runs: `python -m docs.make_view_pictures RUNS`.

The page that is shown holds runs on the packaged sample, which is ours to publish: the packaged model, three that
`make tune` makes of it (recipes alpaca-en-mini, x-llama-zh-mini, m-llama-mini), answers from a file, and the controls.
Needs a Chromium.
"""

import io
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from tests.view.browser import Page, browse, find_chromium

from xlingual.board import collect_runs
from xlingual.view import ViewOptions, write_view

PICTURES = Path(__file__).parent / "pictures"
PAGE = PICTURES.with_name("sample-board.html")
COLOURS = 128
"""Of a picture: a third of the bytes, and nothing that an eye would miss."""
OPEN_TABLE = "[...document.querySelectorAll('#tabs button')].find((each) => each.textContent.includes('xquad')).click()"
OPEN_CELL = (
    "[...document.querySelectorAll('#table td button')]"
    ".find((each) => each.getAttribute('aria-label').startsWith('x-llama-zh-mini, Chinese')).click()"
)
SAMPLE_THERE = "document.querySelector('#detail pre.prompt')"


def _save(page: Page, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        page.picture(path)
        picture = Image.open(io.BytesIO(path.read_bytes())).convert("RGB").quantize(COLOURS)
    picture.save(PICTURES / f"{name}.png", optimize=True)


def _draw(page: Page, name: str, size: tuple[int, int], *, dark: bool = False, cell: bool = False) -> None:
    page.size(*size, phone=size[0] < 500)
    page.dark(dark)
    page.open(PAGE)
    page.wait("document.querySelectorAll('#table td').length > 5")
    page.evaluate(OPEN_TABLE)
    if cell:
        page.evaluate(OPEN_CELL)
        page.wait(SAMPLE_THERE)
    page.evaluate("new Promise((done) => setTimeout(done, 500))")
    _save(page, name)


def main(runs: Path) -> None:
    """Write the page and its pictures: a desk, in the dark, a sample, a phone."""
    write_view(collect_runs([runs]), PAGE, ViewOptions())
    program = find_chromium()
    if program is None:
        sys.exit("no Chromium here")
    shots: tuple[Callable[[Page], None], ...] = (
        lambda page: _draw(page, "view", (1280, 800)),
        lambda page: _draw(page, "view-dark", (1280, 800), dark=True),
        lambda page: _draw(page, "view-sample", (1280, 900), cell=True),
        lambda page: _draw(page, "view-phone", (390, 844)),
        lambda page: _draw(page, "view-phone-sample", (390, 844), cell=True),
    )
    with tempfile.TemporaryDirectory() as profile, browse(program, Path(profile)) as page:
        for shot in shots:
            shot(page)
        if complaints := page.complaints() + page.requests():
            sys.exit("\n".join(complaints))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
