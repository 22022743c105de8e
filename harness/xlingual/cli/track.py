"""`xlingual track`: what `--track` left offline, to the tracker."""

from dataclasses import dataclass
from pathlib import Path

import click

from . import printable
from .options import takes


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadOptions:
    """The words of the command line."""

    path: str


def run_upload(options: UploadOptions) -> int:
    """Upload what lies at the path."""
    from ..tracking import upload  # noqa: PLC0415 (only this command needs it)

    def warn(message: str) -> None:
        click.echo(f"warning: {printable(message)}", err=True)

    for path in upload(Path(options.path).expanduser(), warn):
        click.echo(f"uploaded: {printable(str(path))}")
    return 0


COMMAND = click.Group(
    "track",
    commands=[
        click.Command(
            "upload",
            params=[click.Argument(["path"], metavar="PATH")],
            callback=takes(UploadOptions, run_upload),
            help="Upload an offline archive, or every archive below a folder, to Comet ML. Needs $COMET_API_KEY.",
            epilog="Example: xlingual track upload runs",
        )
    ],
    help="Offline archives of runs (xlingual eval --track comet-ml) to the tracker.",
)
