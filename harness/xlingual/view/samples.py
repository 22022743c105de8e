"""Lines of `samples.jsonl` without their texts: scores, flags, and where in the file each line is.

200 runs of 12,000 samples are gigabytes. What is kept of a line are some tens of bytes; its texts are read again when,
and if, there is room for them in the page.
"""

from array import array
from collections.abc import Iterator, Mapping, MutableSequence, Sequence
from dataclasses import dataclass, field
from enum import IntFlag
from pathlib import Path

import numpy as np

from ..errors import DataError, XlingualError
from ..files import disk_fault, open_to_read, parse_object
from ..files.json_file import CHANGED
from ..identity import Json
from ..metrics import find_metric
from ..metrics.mean import combine_means

TENTHS = 10
"""Scores of single samples are kept in tenths of a point."""


class SampleFlag(IntFlag):
    """What happened to a sample; the page's script has the same numbers."""

    FAILED = 1
    MISSING = 2
    """It was not asked: the run had stopped before."""
    UNFINISHED = 4
    """The answer ended inside the thinking."""
    CUT = 8
    """The answer ended at the limit of tokens."""
    NOT_EXTRACTED = 16
    PROMPT_CUT = 32
    """Demonstrations or a part of the passage gave way to the context window."""


@dataclass(frozen=True, slots=True)
class SamplePlace:
    """A line of a samples file, by byte offsets."""

    path: Path
    number: int
    """From 1."""
    start: int
    end: int


@dataclass(slots=True)
class TaskExamples:
    """The examples of a task over all of its runs: each once, with every form in which its prompt was sent."""

    indexes: dict[tuple[str, int], int] = field(default_factory=dict)
    """By id and a hash of the targets: data of two versions share no example that changed."""
    prompts: list[dict[int, int]] = field(default_factory=list)
    """By example: number of each prompt, by its hash."""
    places: list[list[SamplePlace]] = field(default_factory=list)
    """By example: a line that holds each prompt, in the order of the numbers."""

    def add(self, line: Mapping[str, Json], place: SamplePlace) -> tuple[int, int]:
        """Return the index of the example of `line`, and the number of its prompt; both may be new."""
        identity = (str(line["id"]), _hash(line.get("targets"), line.get("cluster")))
        example = self.indexes.setdefault(identity, len(self.indexes))
        if example == len(self.prompts):
            self.prompts.append({})
            self.places.append([])
        digest = _hash(line.get("messages"), line.get("choices"))
        number = self.prompts[example].setdefault(digest, len(self.prompts[example]))
        if number == len(self.places[example]):
            self.places[example].append(place)
        return example, number


def _hash(*values: Json) -> int:
    """Return what tells values of this process apart: ten times as quick as a content hash, and never written down."""
    return hash(repr(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSamples:
    """The samples of one run, in the order of its file; all sequences go in step."""

    path: Path
    starts: Sequence[int]
    """Byte offset of each line, and of the end of the last."""
    examples: Sequence[int]
    prompts: Sequence[int]
    """Number of the prompt, among those of the example."""
    flags: Sequence[int]
    scores: Mapping[str, tuple[int | None, ...]]
    """By metric, in tenths of a point; None: not scored."""

    def place(self, row: int) -> SamplePlace:
        """Return where sample `row` is written."""
        return SamplePlace(self.path, row + 1, self.starts[row], self.starts[row + 1] - 1)


_CHECKED = ("id", "cluster", "group", "statistics")


def read_run_samples(path: Path, examples: TaskExamples, kept: list[Mapping[str, Json]] | None = None) -> RunSamples:
    """Read a samples file and add its examples to `examples`; DataError naming the first line that is none of ours.

    `kept` gets of every line what its run's scores are checked by.

    A last line without its end, left by a kill, is dropped.
    """
    starts, found, prompts, flags = array("Q", [0]), array("L"), array("L"), array("B")
    statistics: dict[str, list[Json]] = {}
    for row, line in enumerate(_read_lines(path, starts)):
        example, prompt = examples.add(line, SamplePlace(path, row + 1, starts[row], starts[row + 1] - 1))
        found.append(example)
        prompts.append(prompt)
        flags.append(_flags(line))
        if kept is not None:
            kept.append({name: line[name] for name in _CHECKED if name in line})
        measured = line["statistics"]
        for name, values in measured.items() if isinstance(measured, Mapping) else ():
            column = statistics.setdefault(name, [])
            column += [None] * (row - len(column))
            column.append(values)
    for column in statistics.values():
        column.extend([None] * (len(found) - len(column)))
    scores = {name: score_samples(name, values) for name, values in statistics.items()}
    return RunSamples(path=path, starts=starts, examples=found, prompts=prompts, flags=flags, scores=scores)


def _read_lines(path: Path, starts: MutableSequence[int]) -> Iterator[Mapping[str, Json]]:
    """Yield the lines of a samples file, and add the end of each to `starts` first."""
    try:
        with open_to_read(path) as stream:
            for number, text in enumerate(stream, start=1):
                if not text.endswith(b"\n"):
                    return
                line = parse_object(text[:-1], str(path), number)
                match line:
                    case {"id": str(), "cluster": str(), "statistics": dict()}:
                        starts.append(starts[-1] + len(text))
                        yield line
                    case _:
                        raise DataError("not a line of samples", where=f"{path}:{number}", hint=CHANGED)
    except FileNotFoundError as error:
        hint = "they are written when a run ends; run the same `xlingual eval` again"
        raise DataError("there are no samples", where=str(path), hint=hint) from error
    except OSError as error:
        raise disk_fault(error, path) from error


def read_places(places: Sequence[SamplePlace]) -> list[Mapping[str, Json]]:
    """Read single lines again, in the order of `places`; DataError where a file has changed since."""
    by_file: dict[Path, list[int]] = {}
    for index, place in enumerate(places):
        by_file.setdefault(place.path, []).append(index)
    lines: dict[int, Mapping[str, Json]] = {}
    for path, indexes in by_file.items():
        try:
            with open_to_read(path) as stream:
                for index in indexes:
                    place = places[index]
                    stream.seek(place.start)
                    lines[index] = parse_object(stream.read(place.end - place.start), str(path), place.number)
        except OSError as error:
            raise disk_fault(error, path) from error
    return [lines[index] for index in range(len(places))]


def score_samples(metric: str, statistics: Sequence[Json]) -> tuple[int | None, ...]:
    """Return the score of each sample by itself, in tenths of a point; None where it has none.

    BLEU and chrF++ of a sentence are the formula over its own counts: they need not average to that of the corpus.
    """
    rows = [index for index, each in enumerate(statistics) if isinstance(each, list) and each]
    widths = {len(each) for index in rows if isinstance(each := statistics[index], list)}
    scores: list[int | None] = [None] * len(statistics)
    if len(widths) != 1:
        return tuple(scores)
    try:
        table = np.asarray([statistics[index] for index in rows], dtype=np.float64)
        with np.errstate(all="ignore"):
            values = np.asarray(_combine(metric, table), dtype=np.float64)
    except (XlingualError, TypeError, ValueError, OverflowError):
        return tuple(scores)
    for index, value in zip(rows, values.tolist(), strict=True):
        scores[index] = round(value * TENTHS) if np.isfinite(value) else None
    return tuple(scores)


def _combine(metric: str, table: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> object:
    try:
        return find_metric(metric).combine(table)
    except XlingualError:  # of a plugin that is not here: most metrics are means
        if table.shape[1] != 2:
            raise
        return combine_means(table)


def _flags(line: Mapping[str, Json]) -> int:
    flags = SampleFlag(0)
    if line.get("failure") is not None:
        flags |= SampleFlag.FAILED
    elif line.get("answer") is None and line.get("likelihoods") is None:
        flags |= SampleFlag.MISSING
    if line.get("unfinished_thinking") is True:
        flags |= SampleFlag.UNFINISHED
    if line.get("finish") == "length":
        flags |= SampleFlag.CUT
    if "scored" in line and line["scored"] is None:
        flags |= SampleFlag.NOT_EXTRACTED
    if line.get("shots_dropped") or line.get("passage_cut"):
        flags |= SampleFlag.PROMPT_CUT
    return int(flags)
