"""The analyses that lie beside runs, as sections of a page: what `report` and `view` show besides scores.

A file says by its name what it is: `space-*.json` of `xlingual analyze space`, `content*.json` of `xlingual analyze
content --keep`, `judge*.json` of `xlingual judge`. Where there is none, there is no section.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ..errors import DataError, EnvironmentFault
from ..files.folders import real_path
from ..identity import Json
from ..judging import reports, section
from ..judging.records import JudgeReport
from ..serial import from_json, to_json
from ..store import walk_runs
from . import content, space

Record = TypeVar("Record")
Show = Callable[[Json], Json]
_OWN = re.compile(r"<style>.*?</style>|<h2>.*?</h2>", re.DOTALL)
"""What a section brings along for a page of its own. A name of a model cannot look like it: names are escaped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSection:
    """A part of a page under a heading."""

    name: str
    heading: str
    html: str
    """Without style, script, heading of its own and address to fetch; whatever comes from models is escaped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSections:
    """What was found below some folders."""

    sections: tuple[PageSection, ...]
    left_out: tuple[tuple[str, str], ...]
    """Files that could not be read, from the name of the folder that was searched, and why."""


def find_sections(roots: Sequence[Path], show: Show = lambda record: record) -> FoundSections:
    """Read all analyses below `roots`; a file that is none is left out with the reason.

    `show` returns what a page may hold of a record, as JSON: pages for others hold no paths.
    """
    left_out: list[tuple[str, str]] = []
    found = [_space(roots, left_out, show), _content(roots, left_out, show), _judges(roots, left_out, show)]
    return FoundSections(sections=tuple(each for each in found if each is not None), left_out=tuple(left_out))


def _space(roots: Sequence[Path], left_out: list[tuple[str, str]], show: Show) -> PageSection | None:
    """Return models on the same sentences together, those that were tuned after those that were not."""
    groups: dict[tuple[str, ...], list[space.SpaceRecord]] = {}
    for where, path in _files(roots, "space-"):
        try:
            record = _shown(space.SpaceRecord, space.read_space(path), show)
        except (DataError, EnvironmentFault) as error:
            left_out.append((where, error.what))
            continue
        groups.setdefault((record.data, *record.poolings), []).append(record)
    for records in groups.values():
        records.sort(key=lambda each: (each.model.parent is not None, each.written, each.model.name))
    parts = [space.section(records) for records in groups.values()]
    return _section("space", "Representation space", parts)


def _content(roots: Sequence[Path], left_out: list[tuple[str, str]], show: Show) -> PageSection | None:
    parts = []
    for where, path in _files(roots, "content"):
        try:
            parts.append(content.section(_shown(content.ContentAnalysis, content.read_analysis(path), show)))
        except (DataError, EnvironmentFault) as error:
            left_out.append((where, error.what))
    return _section("content", "Content of answers", parts)


def _judges(roots: Sequence[Path], left_out: list[tuple[str, str]], show: Show) -> PageSection | None:
    found = reports.read_reports([root for root in roots if root.is_dir()])
    left_out += dict.fromkeys(found.left_out)
    shown = [_shown(JudgeReport, each, show) for each in dict.fromkeys(found.reports)]
    return _section("judges", section.HEADING, [section.section(shown)])


def _shown(kind: type[Record], record: Record, show: Show) -> Record:
    return from_json(kind, show(to_json(record)))


def _section(name: str, heading: str, parts: Sequence[str]) -> PageSection | None:
    html = "\n".join(_OWN.sub("", part) for part in parts if part)
    return PageSection(name=name, heading=heading, html=html) if html else None


def _files(roots: Sequence[Path], prefix: str) -> Iterator[tuple[str, Path]]:
    """Yield the JSON files below `roots` whose names begin with `prefix`, each once, with what they are called."""
    seen: set[Path] = set()
    for root in roots:
        for path in sorted(walk_runs(root)) if root.is_dir() else ():
            if path.name.startswith(prefix) and path.suffix == ".json" and real_path(path) not in seen:
                seen.add(real_path(path))
                yield (Path(root.resolve().name) / path.relative_to(root)).as_posix(), path
