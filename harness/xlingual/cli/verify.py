"""`xlingual verify`: do the numbers of runs follow from their answers?"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from ..files import pretty_json
from ..serial import to_json
from ..verify import RunVerdict, Verification, verify_runs
from . import printable
from .options import data_option, json_option, offline_option, read_data_source, takes

EDITED_CODE = 1
UNKNOWN_CODE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyOptions:
    """The words of the command line."""

    paths: tuple[str, ...]
    data: str | None
    offline: bool
    as_json: bool


def run_verify(options: VerifyOptions) -> int:
    """Print a line a run; 0 where all are verified, 1 where one was edited, 3 where one cannot be read or checked."""
    data_source = read_data_source(options.data, offline=options.offline)
    found: list[Verification] = []
    for each in verify_runs([Path(word) for word in options.paths], data_source):
        found.append(each)
        if not options.as_json:
            click.echo(printable(_line(each)))
    if options.as_json:
        click.echo(pretty_json({"schema": 1, "runs": to_json(tuple(found))}), nl=False)
    return _code(found)


def _line(each: Verification) -> str:
    reasons = "; ".join(reason.replace("\n", " ") for reason in each.reasons)
    return f"{each.verdict.value}: {each.where}" + (f": {reasons}" if reasons else "")


def _code(found: Sequence[Verification]) -> int:
    verdicts = {each.verdict for each in found}
    if RunVerdict.EDITED in verdicts:
        return EDITED_CODE
    return 0 if verdicts == {RunVerdict.VERIFIED} else UNKNOWN_CODE


COMMAND = click.Command(
    "verify",
    params=[
        click.Argument(["paths"], nargs=-1, required=True, metavar="RUN | OUT..."),
        data_option(),
        offline_option(),
        json_option(),
    ],
    callback=takes(VerifyOptions, run_verify),
    help="Check that the numbers of runs follow from their answers: hashes, plan, journal, data, scores computed "
    "again. A line a run: verified, edited and what differs, cannot tell, or unreadable. Exit code 0 where all are "
    "verified, 1 where one was edited, 3 where one cannot be read or checked.",
    epilog="Example: xlingual verify runs --data DIR",
)
