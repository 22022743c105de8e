"""`xlingual analyze space`: where the layers of a model put the same sentence in several languages."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...errors import UsageError
from ...files import disk_fault, pretty_json, write_atomically
from ...identity import slug
from ...plugin import ModelOptions, SupportsNotes
from ...selection import open_model, split_words
from ...serial import to_json
from .. import printable
from ..display import show_table
from ..options import MOST, data_option, json_option, offline_option, read_data_source, takes

if TYPE_CHECKING:
    from ...analysis.space import ParallelText, SpaceRecord, SpaceSettings

POOLINGS = ("mean", "last", "both")
PAPER_LANGUAGES = "en,ar,el,hi,tr,vi,zh"
_SECONDS = 5.0
"""Between two lines of progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceCommand:
    """The words of the command line."""

    models: tuple[str, ...]
    langs: str
    data: str | None
    split: str | None
    limit: int
    pooling: str
    lens: int
    seed: int
    out: str
    page: str | None
    plot: str | None
    every_layer: bool
    fresh: bool
    dtype: str | None
    device: str | None
    engine: str | None
    offline: bool
    as_json: bool


def run_space(command: SpaceCommand) -> int:
    """Analyse every model, then show what was found and the first model against the others."""
    from ...analysis.space import (  # noqa: PLC0415 (numpy, which --help goes without)
        SpaceSettings,
        page,
        read_sentences,
    )

    if len(set(command.models)) < len(command.models):
        raise UsageError("a model is named twice", where=" ".join(command.models), hint="name each once: BASE TUNED")
    _check_targets(command)
    source = read_data_source(command.data, offline=command.offline)
    text = read_sentences(split_words(command.langs), command.split, command.limit, source)
    poolings = ("mean", "last") if command.pooling == "both" else (command.pooling,)
    settings = SpaceSettings(poolings=poolings, lens_sentences=command.lens, seed=command.seed)
    records = tuple(_analyze(word, text, settings, command) for word in command.models)
    if command.page is not None:
        _write(Path(command.page).expanduser(), page(records))
    if command.plot is not None:
        _draw(records, Path(command.plot).expanduser())
    _show(records, command)
    return 0


def _check_targets(command: SpaceCommand) -> None:
    """Raise UsageError for places that nothing can be written to, before a model has read for an hour."""
    folders = {"--out": Path(command.out), "--plot": None if command.plot is None else Path(command.plot)}
    if command.page is not None:
        page = Path(command.page).expanduser()
        if page.is_dir():
            raise UsageError("is a folder", where=f"--page {page}", hint=f"name a file in it: {page / 'space.html'}")
        folders["--page"] = page.parent
    for option, folder in folders.items():
        whole = () if folder is None else (folder.expanduser(), *folder.expanduser().parents)
        nearest = next((each for each in whole if each.exists()), None)
        if nearest is not None and not nearest.is_dir():
            raise UsageError("is no folder", where=f"{option} {nearest}", hint="name another place")


def _analyze(word: str, text: "ParallelText", settings: "SpaceSettings", command: SpaceCommand) -> "SpaceRecord":
    """Analyse one model, unless its record is there already."""
    from ...analysis.space import (  # noqa: PLC0415 (numpy)
        SpaceObserver,
        analyze_space,
        read_space,
        save_space,
        space_file,
    )

    options = ModelOptions(dtype=command.dtype, device=command.device, engine=command.engine, offline=command.offline)
    with closing(open_model(word, options)) as model:
        path = space_file(model.spec, text, settings, Path(command.out).expanduser())
        if path.is_file() and not command.fresh:
            _say(f"{model.spec.name}: read from {path} (--fresh analyses again)")
            return read_space(path)
        if isinstance(model, SupportsNotes):
            model.on_note(lambda note: _say(f"note: {note}"))
        progress = _Progress(model.spec.name)
        observer = SpaceObserver(read=progress.of("sentences read"), measured=progress.of("layers measured"))
        record = analyze_space(model, text, settings, observer)
    save_space(record, path)
    _say(f"written: {path}")
    return record


class _Progress:
    """A line on stderr every few seconds."""

    def __init__(self, name: str) -> None:
        """Start the clock."""
        self._name = name
        self._said = time.monotonic()

    def of(self, what: str) -> Callable[[int, int], None]:
        """Return what takes counts of `what`."""

        def show(done: int, total: int) -> None:
            if time.monotonic() - self._said >= _SECONDS:
                self._said = time.monotonic()
                _say(f"{self._name}: {done:,} of {total:,} {what}")

        return show


def _say(line: str) -> None:
    click.echo(printable(line), err=True)


def _write(path: Path, content: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        raise disk_fault(error, path.parent) from error
    _say(f"written: {path}")


def _draw(records: "Sequence[SpaceRecord]", folder: Path) -> None:
    """Save the curves of all models, then the map and the lens of each."""
    from ...analysis.space.plots import draw_curves, draw_lens, draw_maps  # noqa: PLC0415 (matplotlib)
    from ...scaling.plots import save_picture  # noqa: PLC0415 (matplotlib)

    named = [(f"space-{pooling}", draw_curves(records, pooling)) for pooling in records[0].poolings]
    for record in records:
        name = slug(record.model.name, record.model.fingerprint)
        named.append((f"map-{name}", draw_maps(record)))
        if (lens := draw_lens(record)) is not None:
            named.append((f"lens-{name}", lens))
    for name, picture in named:
        _say(f"written: {', '.join(map(str, save_picture(picture, folder, name)))}")


def _show_one(record: "SpaceRecord", command: SpaceCommand) -> None:
    from ...analysis.space.tables import lens_tables, peak_lines, space_tables  # noqa: PLC0415 (numpy)

    for pooling in record.poolings:
        for table in space_tables(record, pooling, every=command.every_layer):
            show_table(table.title, table.header, table.rows)
        click.echo(f"\n{printable(record.model.name)}, {pooling} pooling:")
        for line in peak_lines(record, pooling):
            click.echo(f"- {line}")
    for table in lens_tables(record, every=command.every_layer):
        show_table(table.title, table.header, table.rows)
    for note in record.notes:
        click.echo(f"note: {note}")


def _show(records: "tuple[SpaceRecord, ...]", command: SpaceCommand) -> None:
    from ...analysis.space import compare_spaces, incomparable  # noqa: PLC0415 (numpy)
    from ...analysis.space.tables import comparison_tables  # noqa: PLC0415 (numpy)

    others = [(other, incomparable(records[0], other)) for other in records[1:]]
    comparisons = [(other, compare_spaces(records[0], other)) for other, why in others if why is None]
    if command.as_json:
        document = {
            "schema": 1,
            "spaces": to_json(records),
            "comparisons": to_json([found for _, found in comparisons]),
        }
        click.echo(pretty_json(document), nl=False)
        return
    for record in records:
        _show_one(record, command)
    for other, found in comparisons:
        for pooling in records[0].poolings:
            for table in comparison_tables(found, (records[0], other), pooling, every=command.every_layer):
                show_table(table.title, table.header, table.rows)
    for other, why in others:
        if why is not None:
            names = printable(f"{records[0].model.name} and {other.model.name}")
            click.echo(f"note: {names} are not compared layer by layer: {why}")


COMMAND = click.Command(
    "space",
    params=[
        click.Argument(["models"], nargs=-1, required=True, metavar="MODEL..."),
        click.Option(["--langs", "-l"], default=PAPER_LANGUAGES, show_default=True, help="Languages, the pivot first."),
        data_option(
            "Folder with Flores-101, or with one file a language (eng.txt, ell.txt), line by line the same sentence; "
            "or 'sample'. Without it: the cache, then the official source."
        ),
        click.Option(["--split"], default=None, help="dev (of the sample: devtest) unless this says otherwise."),
        click.Option(
            ["--limit"], type=click.IntRange(1, MOST), default=200, show_default=True, help="The first N sentences."
        ),
        click.Option(
            ["--pooling"],
            type=click.Choice(POOLINGS),
            default="mean",
            show_default=True,
            help="Of a sentence: the mean of its tokens but the first, or the last token.",
        ),
        click.Option(
            ["--lens"],
            type=click.IntRange(0, MOST),
            default=50,
            show_default=True,
            metavar="N",
            help="Decode every layer for the first N sentences; 0: no logit lens.",
        ),
        click.Option(
            ["--seed"], type=click.IntRange(0, MOST), default=0, show_default=True, help="Of resamples and controls."
        ),
        click.Option(
            ["--out", "-o"], default="runs/analysis", show_default=True, metavar="DIR", help="Folder of the records."
        ),
        click.Option(["--page"], default=None, metavar="FILE.html", help="Write all tables and pictures as one page."),
        click.Option(["--plot"], default=None, metavar="DIR", help="Save the pictures in this folder, as SVG and PNG."),
        click.Option(["--all-layers", "every_layer"], is_flag=True, help="Show all layers, not nine of them."),
        click.Option(["--fresh"], is_flag=True, help="Analyse again what has a record in --out."),
        click.Option(["--dtype"], type=click.Choice(["auto", "float32", "bfloat16", "float16"]), default=None),
        click.Option(["--device"], default=None, help="cpu, cuda or cuda:1."),
        click.Option(["--engine"], type=click.Choice(["packed", "static"]), default=None, help="As of eval."),
        offline_option(),
        json_option(),
    ],
    callback=takes(SpaceCommand, run_space),
    short_help="Measure, layer by layer, how alike languages are inside a model.",
    help="Measure, layer by layer, how alike languages are inside models: whether a sentence finds its translations, "
    "how much of its vector is language and how much is meaning, in which language the layers would go on. The first "
    "model is compared with the others, sentence by sentence.",
    epilog="Example: xlingual analyze space smollm2 runs/x-llama-zh/x-llama-zh --data DIR --page space.html",
)
