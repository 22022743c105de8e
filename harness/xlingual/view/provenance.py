"""A run record that may be published: no keys, no paths of the machine that it was made on."""

import re
from collections.abc import Mapping
from pathlib import Path

from ..board.collection import CollectedRun
from ..identity import Json
from ..redaction import redact_document
from ..serial import to_json

_HOME = re.compile(r"(?:/home/|/Users/)[^/\s\"']+|(?<![\w/])/root(?=/|$)|[A-Za-z]:\\Users\\[^\\\s\"']+")
_ABSOLUTE = re.compile(r"(?<![\w/.~…-])/(?!/)(?:[^/\s\"']+/)+([^/\s\"']+/[^/\s\"']+)")


def clean_text(text: str) -> str:
    """Return `text` without credentials; home folders become "~", other absolute paths keep their last two parts."""
    home = str(Path.home())
    if len(home) > 1:
        text = re.sub(rf"{re.escape(home)}(?=/|$)", "~", text)
    return _ABSOLUTE.sub(r"…/\1", _HOME.sub("~", redact_document(text)))


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
