"""Hashes in a run's record: an edit of `results.json` or `samples.jsonl` is seen, even where the other is not there.

They are no signature: who edits a file may compute its hash again. `xlingual verify` then finds that the answers do not
give the scores.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import BinaryIO

from .identity import content_hash
from .records import RecordHashes, RunRecord
from .serial import to_json

_BLOCK = 2**20
NOT_ITS_HASH = "a field is not the one that hashes.record was made of"
"""What is said of a record that was edited."""


def with_hashes(record: RunRecord, samples: str, rendered_prompts: str | None = None) -> RunRecord:
    """Return `record` with its hashes, those of an earlier command replaced; `samples` is the text of its samples file.

    `rendered_prompts` None keeps what an earlier command found.
    """
    if rendered_prompts is None and record.hashes is not None:
        rendered_prompts = record.hashes.rendered_prompts
    found = hash_samples(samples.encode("utf-8"))
    hashes = RecordHashes(record="", samples=found, rendered_prompts=rendered_prompts)
    return replace(record, hashes=replace(hashes, record=hash_record(replace(record, hashes=hashes))))


def hash_record(record: RunRecord) -> str:
    """Return the hash of all of `record` but `hashes.record`."""
    fields = to_json(record)
    if not isinstance(fields, Mapping):
        raise TypeError("a record is an object")
    given = fields.get("hashes")
    hashes = dict(given) if isinstance(given, Mapping) else {}
    hashes.pop("record", None)
    return content_hash({**fields, "hashes": hashes})


def hash_samples(data: bytes) -> str:
    """Return the hash of the bytes of a samples file."""
    return hashlib.sha256(data).hexdigest()


def hash_samples_in(stream: BinaryIO) -> str:
    """Return `hash_samples` of a file, whatever its size; OSError where it cannot be read."""
    digest = hashlib.sha256()
    while block := stream.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


def was_edited(record: RunRecord) -> bool:
    """Return whether a record is not what its hash was made of; False where it has none."""
    return record.hashes is not None and record.hashes.record != hash_record(record)
