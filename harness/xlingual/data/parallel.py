"""Line-aligned text files, as Flores-101 has them, to examples."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import DataError
from ..files import Problem, data_error, read_text, split_lines
from ..records import DataFile, Example
from ..text import is_blank


def read_lines(file: DataFile) -> tuple[str, ...]:
    """Return the lines of `file`; the line feed after the last may be missing.

    Raises DataError for an empty file and for blank lines, which are listed with their numbers.
    """
    lines = split_lines(read_text(Path(file.path)))
    if not lines:
        raise DataError("no records", where=file.path)
    blank = [Problem(f":{number}", "blank line") for number, line in enumerate(lines, start=1) if is_blank(line)]
    if blank:
        raise data_error(file.path, blank, hint="a line that is left out moves all lines after it: get the file anew")
    return tuple(lines)


def read_parallel(source: DataFile, target: DataFile, language: str, name: str) -> tuple[Example, ...]:
    """Return line N of `source` with line N of `target`, which is in the language whose code is `language`.

    Ids are "NAME-0001" and on, whatever the languages, so that one sentence has one id in all directions.
    Raises DataError with both counts for files of unequal length.
    """
    rows = []
    for number, (line, translation) in enumerate(_align(source, target, read_lines), start=1):
        key = f"{name}-{number:04}"
        rows.append(
            Example(id=key, language=language, group=key, cluster=key, fields={"source": line}, targets=(translation,))
        )
    return tuple(rows)


def aligned_lines(source: DataFile, target: DataFile) -> list[tuple[str, str]]:
    """Return line N of `source` with line N of `target`, blank lines too; DataError for files of unequal length."""
    return _align(source, target, lambda file: split_lines(read_text(Path(file.path))))


def _align(source: DataFile, target: DataFile, read: Callable[[DataFile], Sequence[str]]) -> list[tuple[str, str]]:
    sources, targets = read(source), read(target)
    if len(sources) != len(targets):
        shorter = min(len(sources), len(targets))
        what = f"{len(sources)} lines, but {len(targets)} in {target.path}"
        raise DataError(
            f"{what}; line {shorter + 1} is the first without a partner",
            where=source.path,
            hint="both files must be whole and of the same split",
        )
    return list(zip(sources, targets, strict=True))
