"""`steps.jsonl`: one line a step; a resumed training cuts it back to its checkpoint, so that no step is there twice."""

import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import DataError
from ..files import disk_fault, parse_object
from ..identity import canonical_json
from ..serial import to_json
from .observing import StepReport, Throughput

NAME = "steps.jsonl"


def cut_back(path: Path, step: int) -> None:
    """Drop the lines of steps after `step`, and an incomplete last line that a kill left."""
    try:
        if not path.exists():
            return
        data = path.read_bytes()
        kept = 0
        for number, line in enumerate(data.split(b"\n")[:-1], start=1):
            if _step_of(line, path, number) > step:
                break
            kept += len(line) + 1
        if kept < len(data):
            with path.open("r+b") as file:
                file.truncate(kept)
                os.fsync(file.fileno())
    except OSError as error:
        raise disk_fault(error, path) from error


def append(path: Path, reports: Sequence[StepReport], throughput: Throughput) -> None:
    """Append a line for each step and sync it to disk, before any later checkpoint is written."""
    lines = []
    for each in reports:
        line = to_json(each)
        if isinstance(line, dict):
            line["useful_tokens_per_second"] = round(throughput.useful_tokens_per_second, 1)
            line["mfu"] = throughput.mfu
        lines.append(canonical_json(line) + "\n")
    try:
        with path.open("ab") as file:
            file.write("".join(lines).encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise disk_fault(error, path) from error


def _step_of(line: bytes, path: Path, number: int) -> int:
    hint = "move the file away"
    step = parse_object(line, str(path), number, hint=hint).get("step")
    if not isinstance(step, int):
        raise DataError("not a line of a step log", where=f"{path}:{number}", hint=hint)
    return step
