"""Question-answering data sets of the Hugging Face hub into the cache, in the original SQuAD layout."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

from ..errors import DataError, EnvironmentFault
from ..files.folders import cache_folder
from ..files.network import hub_is_offline, reach_hub
from ..identity import Json, content_hash, slug
from ..records import HubSource
from .cache import find, store

_COMMIT = re.compile(r"[0-9a-f]{40}")
_FIELDS: Mapping[str, type] = {"context": str, "question": str, "answers": dict}


def cached_hub(source: HubSource) -> tuple[Path, str] | None:
    """Return the cached file of `source` and its SHA-256, or None; no network."""
    path = _path(source)
    digest = find(path, None)
    return None if digest is None else (path, digest)


def download_hub(source: HubSource) -> tuple[Path, str]:
    """Fetch `source` into the cache and return the path of its file and its SHA-256.

    Raises EnvironmentFault within seconds where the hub cannot be reached, DataError for a revision that is no commit,
    for a data set that is a script, and for rows that are not those of SQuAD.
    """
    path = _path(source)
    where = _where(source)
    reach_hub(where)
    document = squad_document(_load_rows(source, where), where)
    text = json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n"
    return path, store(path, [text.encode("utf-8", "replace")], lambda _: None)


def hub_table(source: HubSource, columns: Sequence[str], *, offline: bool) -> tuple[Path, str]:
    """Return the path and SHA-256 of a JSONL file in the cache that holds `columns` of a data set, fetched if need be.

    Errors as of `download_hub`; EnvironmentFault where it is not cached and `offline`; DataError for a missing column.
    """
    tops = list(dict.fromkeys(name.partition(".")[0] for name in columns))
    path = _path(source).with_suffix(f".{content_hash(tops)[:8]}.jsonl")
    digest = find(path, None)
    where = _where(source)
    if digest is not None:
        return path, digest
    if offline or hub_is_offline():
        hint = "run once with a network, or keep the data as local files for the reader alpaca or tsv"
        raise EnvironmentFault(f"not in the cache ({cache_folder()}), and offline", where=where, hint=hint)
    reach_hub(where)
    return path, store(path, table_lines(_load_rows(source, where), tops, where), lambda _: None)


def table_lines(rows: Iterable[Mapping[str, object]], columns: Sequence[str], where: str) -> Iterator[bytes]:
    """Yield each row as a line of JSON with `columns` only, null as ""; DataError naming the row that lacks one."""
    for number, row in enumerate(rows, start=1):
        if missing := [name for name in columns if name not in row]:
            what = f"column {missing[0]!r} is missing (has: {', '.join(row)})"
            raise DataError(what, where=f"{where}: row {number}", hint="name the columns in the recipe")
        kept = {name: "" if row[name] is None else row[name] for name in columns}
        yield (json.dumps(kept, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8", "replace")


def hub_fault() -> str | None:
    """Return why the hub does not answer, or None where it does; its own clients would go on trying for 25 seconds."""
    try:
        reach_hub("")
    except EnvironmentFault as fault:
        return fault.what
    return None


def squad_document(rows: Iterable[Mapping[str, object]], where: str) -> dict[str, Json]:
    """Return hub rows {id, context, question, answers: {text, answer_start}} in the layout of SQuAD v1.1.

    Questions of one context become one paragraph. Rows without a "title" do not say which paragraphs share an article:
    each context is then an article of its own, called by its running number from 1. A row without answers is marked as
    SQuAD 2.0 does; ids may be whole numbers. Raises DataError naming the row.
    """
    articles: dict[str, dict[str, list[Json]]] = {}
    running: dict[str, str] = {}
    for number, row in enumerate(rows, start=1):
        _check_row(row, f"{where}: row {number}")
        context, answers = cast(str, row["context"]), cast(Mapping[str, list[Json]], row["answers"])
        title = cast(str, row.get("title")) or running.setdefault(context, str(len(running) + 1))
        texts, starts = answers["text"], answers["answer_start"]
        question: dict[str, Json] = {
            "id": str(row["id"]),
            "question": cast(str, row["question"]),
            "answers": [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)],
        }
        if not texts:
            question["is_impossible"] = True
        articles.setdefault(title, {}).setdefault(context, []).append(question)
    if not articles:
        raise DataError("no records", where=where)
    data: list[Json] = [
        {"title": title, "paragraphs": [{"context": context, "qas": qas} for context, qas in paragraphs.items()]}
        for title, paragraphs in articles.items()
    ]
    return {"data": data}


def _check_row(row: Mapping[str, object], where: str) -> None:
    if type(row.get("id")) not in (str, int):
        raise DataError(f"field 'id' must be str, got {type(row.get('id')).__name__}", where=where)
    for name, kind in _FIELDS.items():
        if not isinstance(row.get(name), kind):
            raise DataError(f"field {name!r} must be {kind.__name__}, got {type(row.get(name)).__name__}", where=where)
    answers = cast(Mapping[str, object], row["answers"])
    texts, starts = answers.get("text"), answers.get("answer_start")
    if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
        raise DataError("field 'answers' must hold the lists 'text' and 'answer_start' of one length", where=where)


def _load_rows(source: HubSource, where: str) -> Iterable[Mapping[str, object]]:
    # Heavy, and needed for downloads only: kept out of `import xlingual`.
    import datasets  # noqa: PLC0415
    from datasets.exceptions import DatasetsError  # noqa: PLC0415
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415

    # Its bases are the errors of the HTTP client, which is another package from one version of the hub's to the next.
    client_errors = cast(tuple[type[Exception], ...], HfHubHTTPError.__bases__)
    try:
        rows = datasets.load_dataset(source.repository, source.subset, split=source.split, revision=source.revision)
    except (OSError, ValueError, RuntimeError, DatasetsError, *client_errors) as error:
        if "dataset scripts" in str(error).lower():
            hint = "use a local copy, or the commit of its refs/convert/parquet branch"
            raise DataError("the data set is a script, which is never run", where=where, hint=hint) from error
        raise EnvironmentFault(str(error).partition("\n")[0], where=where) from error
    return cast(Iterable[Mapping[str, object]], rows)


def _where(source: HubSource) -> str:
    return f"hub {source.repository} {source.subset} {source.split} @{source.revision[:7]}"


def _path(source: HubSource) -> Path:
    if not _COMMIT.fullmatch(source.revision):
        raise DataError(
            f"the revision {source.revision!r} is not a commit", where=source.repository, hint="pin its 40 hex digits"
        )
    name = f"{slug(source.subset)}.{slug(source.split)}.json"
    return cache_folder() / "data" / slug(source.repository) / source.revision / name
