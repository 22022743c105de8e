"""Data files: where they may be found, and what was found."""

from dataclasses import dataclass
from enum import StrEnum


class Origin(StrEnum):
    """Where a data file came from; always named beside the scores."""

    LOCAL = "local"
    CACHE = "cache"
    HUB = "hub"
    URL = "url"
    SAMPLE = "sample"


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSource:
    """A data set on the Hugging Face hub at one commit."""

    repository: str
    revision: str
    """40 hex digits; a branch name is refused."""
    subset: str
    split: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlSource:
    """One file below an official address, or one member of an archive there."""

    url: str
    sha256: str | None
    """Of the downloaded file; None: not known to us, so the first download stores it and later ones must agree."""
    member: str | None
    """Path inside the zip or tar archive; None where the download is the file itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRef:
    """One data file of a benchmark and every place it may be found."""

    name: str
    """For messages and the cache: "xquad/xquad.ar.json"."""
    candidates: tuple[str, ...]
    """Paths relative to `--data DIR`, first match wins."""
    sample: str | None
    """Path relative to the packaged sample; None where the sample has no such file."""
    remotes: tuple[HubSource | UrlSource, ...]
    """Tried in order when the file is neither local nor cached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """A data file that was found and read."""

    name: str
    origin: Origin
    path: str
    revision: str | None
    """The pinned commit or the sha256 of the archive; None for local files."""
    sha256: str
    """Of the file's bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """Text to learn from, as a recipe names it for the Source that reads it."""

    name: str
    """What the recipe calls it; ids of examples begin with it."""
    path: str
    """Relative to the data folder; what braces in it mean is the reader's affair."""
    language: str
    """Code of the language of the answers."""
    direction: tuple[str, str] | None
    """Codes of source and target language, for parallel text."""
    columns: tuple[str, ...]
    """Names of the fields to read, in the reader's order; (): the reader's own."""
