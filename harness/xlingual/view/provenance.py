"""A run record that may be published: no keys, no paths of the machine that it was made on."""

import re
from collections.abc import Mapping
from pathlib import Path

from ..board.collection import CollectedRun
from ..identity import Json
from ..redaction import redact_document
from ..serial import to_json

_WORD = r"(?:[^/\\\s\"']|(?<=\w)'(?=\w))+"
_PART = rf"{_WORD}(?:(?<![:;])[^\S\r\n]{{1,3}}{_WORD}){{0,4}}"
"""A folder of a path, with blanks in its name; only where a stroke follows is a blank known to be of the name."""
_HOME = re.compile(
    rf"(?:/home/+|/Users/+)(?:{_PART}(?=/)|{_WORD})|(?<![\w/])/root(?=/|$)"
    rf"|[A-Za-z]:[\\/]+Users[\\/]+(?:{_PART}(?=[\\/])|{_WORD})|(?<![A-Za-z0-9_/])~[A-Za-z_][\w.-]*(?=/)"
)
_ABSOLUTE = re.compile(
    r"(?P<url>(?<![A-Za-z0-9+.-])(?!file:)[A-Za-z][A-Za-z0-9+.-]{0,20}://(?!/)[^\s\"'<>]*)"
    rf"|(?<![A-Za-z0-9_/.~…-])/+(?:{_PART}/+)+(?P<last>{_PART}/+{_WORD})"
    rf"|(?:(?<![A-Za-z0-9])(?P<drive>[A-Za-z]:)\\+|(?<![\w\\])\\{{2}})(?:{_PART}\\+)+(?P<last_there>{_PART}\\+{_WORD})",
    re.IGNORECASE,
)
"""A path of this system, or of Windows; an address of the net is none, but for `file:`."""


def clean_text(text: str) -> str:
    """Return `text` without credentials; home folders become "~", other absolute paths keep their last two parts."""
    try:
        home = str(Path.home())
    except RuntimeError:  # a container whose user has no home folder
        home = ""
    if len(home) > 1:
        text = re.sub(rf"{re.escape(home)}(?=/|$)", "~", text)
    return _ABSOLUTE.sub(_shorten_path, _HOME.sub("~", redact_document(text)))


def _shorten_path(found: re.Match[str]) -> str:
    if found["url"] is not None:
        return found[0]
    return f"…/{found['last']}" if found["last"] is not None else f"{found['drive'] or ''}…\\{found['last_there']}"


def clean_json(value: Json) -> Json:
    """Return `value` with every text in it cleaned, keys included."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, Mapping):
        return {clean_text(key): clean_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean_json(item) for item in value]
    return value


def show_record(run: CollectedRun) -> Json:
    """Return the record of a run for the page: as in results.json, but for where data files lay on the machine."""
    files = [{name: value for name, value in _fields(each).items() if name != "path"} for each in run.record.files]
    return clean_json({**_fields(run.record), "files": files, "where": run.where})


def _fields(record: object) -> Mapping[str, Json]:
    data = to_json(record)
    if not isinstance(data, Mapping):
        raise TypeError(f"{type(record).__name__} is no record")
    return data
