"""Answers from a file, `scripted:PATH`: a model whose answers, errors and pauses a test can choose.

Each line is `{"id": ..., "prediction": ...}` or `{"id": ..., "error": ...}`, with `"seconds"` to wait before the answer
if wanted. When $XLINGUAL_SCRIPTED_LOG names a file, the id of every example that is asked is appended to it.
"""

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from xlingual.errors import DataError, UsageError
from xlingual.files import parse_object
from xlingual.plugin import Model, ModelOptions
from xlingual.records import Example, Failure
from xlingual.registry import register_model

from ._examples import ExampleModel, describe

LOG_VARIABLE = "XLINGUAL_SCRIPTED_LOG"
FIELDS = frozenset({"id", "prediction", "error", "seconds"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What to say to one example."""

    said: str | Failure
    seconds: float


@register_model("scripted")
def open_scripted(name: str, options: ModelOptions) -> Model:  # noqa: ARG001 - nothing is loaded
    """Read the answers of the file `name`; UsageError if there is none, DataError naming a wrong line."""
    path = Path(name).expanduser()
    if not name or not path.is_file():
        hint = "scripted:PATH names a JSONL file of answers"
        raise UsageError(f"no such file: {name!r}", where="scripted", hint=hint)
    content = path.read_bytes()
    script = _read(content, str(path))
    spec = describe(
        word=f"scripted:{name}",
        backend="scripted",
        name=f"scripted-{path.stem}",
        fingerprint=hashlib.sha256(content).hexdigest(),
    )
    return ExampleModel(spec=spec, reply=lambda example: _reply(script, example))


def _read(content: bytes, path: str) -> dict[str, Line]:
    script: dict[str, Line] = {}
    for number, text in enumerate(content.split(b"\n"), start=1):
        if text.strip():
            identifier, line = _read_line(text, path, number)
            if identifier in script:
                raise DataError(f"the id {identifier!r} comes twice", where=f"{path}:{number}")
            script[identifier] = line
    return script


def _read_line(text: bytes, path: str, number: int) -> tuple[str, Line]:
    where = f"{path}:{number}"
    row = parse_object(text, path, number, hint='a line is an object: {"id": ..., "prediction": ...}')
    if not set(row) <= FIELDS:
        raise DataError(f"must be an object with {', '.join(sorted(FIELDS))}", where=where)
    identifier, prediction, fault, seconds = (row.get(name) for name in ("id", "prediction", "error", "seconds"))
    if not isinstance(identifier, str):
        raise DataError("`id` must be a text", where=where)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float | None):
        raise DataError("`seconds` must be a number", where=where)
    if isinstance(prediction, str) and fault is None:
        return identifier, Line(said=prediction, seconds=float(seconds or 0))
    if isinstance(fault, str) and prediction is None:
        return identifier, Line(said=Failure(kind="scripted", message=fault), seconds=float(seconds or 0))
    raise DataError("needs either `prediction` or `error`, a text", where=where)


def _reply(script: dict[str, Line], example: Example) -> str | Failure:
    if log := os.environ.get(LOG_VARIABLE):
        with Path(log).open("a", encoding="utf-8") as stream:
            stream.write(f"{example.id}\n")
    line = script.get(example.id)
    if line is None:
        return Failure(kind="unscripted", message=f"the script has no answer for {example.id!r}")
    time.sleep(line.seconds)
    return line.said
