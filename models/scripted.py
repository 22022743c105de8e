"""Answers from a file, `scripted:PATH`: of another system, for a leaderboard, or for tests, which choose them.

Each line is `{"id": ..., "prediction": ...}` or `{"id": ..., "error": ...}`, with `"seconds"` to wait before the answer
if wanted, and with `"language"`, a code of ours, where examples of several languages share their ids. When
$XLINGUAL_SCRIPTED_LOG names a file, the id of every example that is asked is appended to it.
"""

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from xlingual.errors import DataError, UsageError
from xlingual.files import parse_object
from xlingual.identity import content_hash
from xlingual.languages import LANGUAGES
from xlingual.plugin import Model, ModelOptions
from xlingual.records import Example, Failure
from xlingual.registry import register_model
from xlingual.thinking import KNOWN_MARKERS, markers_ending

from ._examples import ExampleModel, describe

LOG_VARIABLE = "XLINGUAL_SCRIPTED_LOG"
FIELDS = frozenset({"id", "language", "prediction", "error", "seconds"})
Key: TypeAlias = tuple[str, str | None]
"""An id, and the language whose example is meant; None: of any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What to say to one example."""

    said: str | Failure
    seconds: float


@register_model("scripted")
def open_scripted(name: str, options: ModelOptions) -> Model:
    """Read the answers of the file `name`; UsageError if there is none, DataError naming a wrong line.

    Of the options only the end of the thinking matters: answers of another system may hold any.
    """
    path = Path(name).expanduser()
    if not name or not path.is_file():
        hint = "scripted:PATH names a JSONL file of answers"
        raise UsageError(f"no such file: {name!r}", where="scripted", hint=hint)
    content = path.read_bytes()
    script = _read(content, str(path))
    fingerprint = hashlib.sha256(content).hexdigest()
    thinking = None if options.thinking_end is None else markers_ending(options.thinking_end)
    if thinking is not None and thinking not in KNOWN_MARKERS:  # the known ones are looked for anyway
        fingerprint = content_hash([fingerprint, thinking.end])
    spec = describe(
        word=f"scripted:{name}",
        backend="scripted",
        name=f"scripted-{path.stem}",
        fingerprint=fingerprint,
        thinking=thinking,
    )
    return ExampleModel(spec=spec, reply=lambda example: _reply(script, example))


def _read(content: bytes, path: str) -> dict[Key, Line]:
    script: dict[Key, Line] = {}
    for number, text in enumerate(content.split(b"\n"), start=1):
        if text.strip():
            key, line = _read_line(text, path, number)
            if key in script:
                language = "" if key[1] is None else f", language {key[1]}"
                raise DataError(f"the id {key[0]!r}{language} comes twice", where=f"{path}:{number}")
            script[key] = line
    return script


def _read_line(text: bytes, path: str, number: int) -> tuple[Key, Line]:
    where = f"{path}:{number}"
    row = parse_object(text, path, number, hint='a line is an object: {"id": ..., "prediction": ...}')
    if not set(row) <= FIELDS:
        raise DataError(f"must be an object with {', '.join(sorted(FIELDS))}", where=where)
    identifier, prediction, fault, seconds = (row.get(name) for name in ("id", "prediction", "error", "seconds"))
    language = row.get("language")
    if not isinstance(identifier, str):
        raise DataError("`id` must be a text", where=where)
    if language is not None and (not isinstance(language, str) or language not in LANGUAGES):
        hint = "xlingual tasks --languages lists the codes"
        raise DataError(f"`language` {language!r} is no code of a language", where=where, hint=hint)
    key = identifier, language
    if isinstance(seconds, bool) or not isinstance(seconds, int | float | None):
        raise DataError("`seconds` must be a number", where=where)
    if isinstance(prediction, str) and fault is None:
        return key, Line(said=prediction, seconds=float(seconds or 0))
    if isinstance(fault, str) and prediction is None:
        return key, Line(said=Failure(kind="scripted", message=fault), seconds=float(seconds or 0))
    raise DataError("needs either `prediction` or `error`, a text", where=where)


def _reply(script: dict[Key, Line], example: Example) -> str | Failure:
    if log := os.environ.get(LOG_VARIABLE):
        with Path(log).open("a", encoding="utf-8") as stream:
            stream.write(f"{example.id}\n")
    line = script.get((example.id, example.language)) or script.get((example.id, None))
    if line is None:
        return Failure(kind="unscripted", message=f"the script has no answer for {example.id!r}")
    time.sleep(line.seconds)
    return line.said
