"""The answers of a run from its journal, and whether its samples say the same.

samples.jsonl:7: answer is not that of journal.jsonl
journal.jsonl:3: the line does not match its checksum
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import DataError
from ..files.text_file import read_fault
from ..identity import Json
from ..journal import JOURNAL, read_line
from ..records import Failure, Response
from ..serial import from_json, to_json
from .findings import RunFindings

MOST_NAMED = 5
"""Lines of one file that are named."""


def read_stored_answers(
    folder: Path, name: str, samples: Sequence[Mapping[str, Json]], found: RunFindings
) -> list[Response | None]:
    """Return the answer to each line of the samples file `name`, from the journal beside it; nothing is mended.

    What differs is added to `found`. A line without a counterpart in the journal has what it says itself.
    """
    journal = _read_journal(folder, found)
    responses: list[Response | None] = []
    edits: list[str] = []
    newer = 0
    for number, sample in enumerate(samples, start=1):
        said = _said(sample, f"{name}:{number}")
        known = None if journal is None else journal.get(str(sample.get("key")))
        is_answered = said is not None and said.failure is None
        if journal is not None and is_answered and known is None:
            edits.append(f"{name}:{number}: {JOURNAL} holds no answer to it")
        elif known is not None and is_answered and (field := _differs(sample, known)) is not None:
            edits.append(f"{name}:{number}: {field} is not that of {JOURNAL}")
        elif known is not None and not is_answered and known.failure is None:
            newer += 1
        responses.append(known if is_answered and known is not None else said)
    found.edits.extend(_first(edits))
    if newer:
        found.doubts.append(f"{JOURNAL} holds {newer} newer answers; the same command again records them")
    return responses


def _read_journal(folder: Path, found: RunFindings) -> dict[str, Response] | None:
    """Return the answers by key, the newest of each; None where there is no journal. A torn last line is dropped."""
    path = folder / JOURNAL
    if not path.is_file():
        return None
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except OSError as error:
        raise read_fault(error, str(path)) from error
    responses: dict[str, Response] = {}
    edits: list[str] = []
    for number, line in enumerate(lines, start=1):
        try:
            response = read_line(line, path, number)
        except DataError as error:
            edits.append(f"{JOURNAL}:{number}: {error.what.partition(chr(10))[0]}")
            continue
        responses[response.key] = response
    found.edits.extend(_first(edits))
    return responses


def _first(edits: Sequence[str]) -> list[str]:
    more = len(edits) - MOST_NAMED
    return [*edits[:MOST_NAMED], *([f"and {more} lines more"] if more > 0 else [])]


def _said(sample: Mapping[str, Json], where: str) -> Response | None:
    """Return the answer as a line of samples has it, None where it was not asked."""
    names = {
        "key": sample.get("key", ""),
        "text": sample.get("answer"),
        "failure": sample.get("failure"),
        "finish": sample.get("finish"),
        "likelihoods": sample.get("likelihoods"),
        "thinking": sample.get("reasoning"),
        "thinking_tokens": sample.get("thinking_tokens"),
        "prompt_tokens": None,
        "tokens": None,
    }
    if names["failure"] is not None:
        from_json(Failure, names["failure"], where=f"{where}.failure")
    if all(names[each] is None for each in ("text", "failure", "likelihoods")):
        return None
    return from_json(Response, names, where=where)


def _differs(sample: Mapping[str, Json], known: Response) -> str | None:
    """Return a field of a line of samples that is not what the journal has."""
    given: Mapping[str, object] = {
        "answer": known.text,
        "failure": to_json(known.failure),
        "finish": to_json(known.finish),
        "likelihoods": to_json(known.likelihoods),
        "reasoning": known.thinking,
    }
    return next((name for name, value in given.items() if sample.get(name) != value), None)
