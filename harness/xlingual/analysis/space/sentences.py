"""The same sentences in several languages: Flores-101, from original files, the sample, or one file a language."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...data import flores101_sources, locate, read_lines
from ...errors import DataError, UsageError
from ...identity import content_hash
from ...languages import find_language
from ...plugin import DataSource
from ...records import DataFile, DatasetRef, Origin
from .effects import FEWEST_SENTENCES

PAPER_LANGUAGES = ("en", "ar", "el", "hi", "tr", "vi", "zh")
SPLITS = ("dev", "devtest")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelText:
    """Sentences of several languages; sentence i is the same one in all of them."""

    languages: tuple[str, ...]
    """Codes, the pivot first."""
    sentences: tuple[tuple[str, ...], ...]
    """By language."""
    files: tuple[DataFile, ...]
    data: str
    """Content hash of languages and sentences: analyses of the same data can be compared sentence by sentence."""

    @property
    def is_sample(self) -> bool:
        """Whether the sentences are those of the packaged sample."""
        return bool(self.files) and all(each.origin is Origin.SAMPLE for each in self.files)


def make_parallel(
    languages: Sequence[str], sentences: Sequence[Sequence[str]], files: Sequence[DataFile] = ()
) -> ParallelText:
    """Return parallel text; DataError where the languages have different numbers of sentences, or too few."""
    if len(languages) < 2 or len(set(languages)) < len(languages):
        what = f"name two languages or more, each once: {', '.join(languages) or 'none'}"
        raise UsageError(what, where="--langs")
    for code, lines in zip(languages, sentences, strict=True):
        if len(lines) != len(sentences[0]):
            what = f"{len(lines)} sentences in {code}, but {len(sentences[0])} in {languages[0]}"
            raise DataError(what, hint="files must be of the same split, line by line the same sentence")
    needed = max(FEWEST_SENTENCES, len(languages) + 1)
    if len(sentences[0]) < needed:
        what = f"{len(sentences[0])} sentences; at least {needed} are needed to compare {len(languages)} languages"
        raise DataError(what, hint="raise --limit")
    whole = tuple(map(tuple, sentences))
    known = content_hash([list(languages), [list(lines) for lines in whole]])
    return ParallelText(languages=tuple(languages), sentences=whole, files=tuple(files), data=known)


def read_sentences(words: Sequence[str], split: str | None, limit: int | None, source: DataSource) -> ParallelText:
    """Read the first `limit` sentences of Flores-101 in the languages that `words` name.

    `split` None: dev, or of the packaged sample devtest, whose dev has eight sentences. Raises UsageError for a
    language or split that is not known, DataError and EnvironmentFault as `data.locate` does.
    """
    if split is not None and split not in SPLITS:
        raise UsageError(f"no such split: {split!r}", where="--split", hint=f"known: {', '.join(SPLITS)}")
    codes = [find_language(word).code for word in words]
    chosen = split or ("devtest" if source.sample else "dev")
    files = [_file(code, chosen, source) for code in codes]
    lines = [read_lines(file) for file in files]
    for file, each in zip(files, lines, strict=True):
        if len(each) != len(lines[0]):
            what = f"{len(each)} lines, but {len(lines[0])} in {files[0].path}"
            raise DataError(
                what, where=file.path, hint="files must be of the same split, line by line the same sentence"
            )
    return make_parallel(codes, [each[:limit] for each in lines], files)


def _file(code: str, split: str, source: DataSource) -> DataFile:
    """Return the file of a language: as Flores-101 or FLORES-200 has it, or CODE.txt, any parallel text."""
    language = find_language(code)
    file, flores200 = f"{split}/{language.flores}.{split}", f"{split}/{language.flores200}.{split}"
    names = (
        *(f"{folder}{file}" for folder in ("flores101/", "flores101_dataset/", "")),
        *(f"{folder}{flores200}" for folder in ("flores200_dataset/", "flores200/", "flores101/", "")),
        *(f"{name}.txt" for name in dict.fromkeys((language.flores, code))),
    )
    remotes = flores101_sources(split, language.flores)
    ref = DatasetRef(name=f"flores101/{file}", candidates=names, sample=f"flores101/{file}", remotes=remotes)
    found = locate(ref, source)
    name = Path(found.path).name
    return replace(found, name=name) if name.endswith(".txt") else found
