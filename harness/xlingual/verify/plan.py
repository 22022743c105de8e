"""Whether a run is the one that `run.json` and the names of its folders say.

    results.json: name is not that of run.json
    results.json: model.name or model.fingerprint is not that of the folder echo-bc03aa4b
    results.json: files are not those of run.json

A folder is named after the model and a hash of its fingerprint and protocol. One that was renamed says nothing.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from ..board.collection import CollectedRun
from ..board.integrity import PLAN_FILE, differs_from_plan, read_plan
from ..identity import Json, content_hash, slug
from ..planning import identifying_part
from ..records import RunRecord
from ..serial import to_json
from .findings import RunFindings

_NAMED_BY_US = re.compile(r".+-[0-9a-f]{8}")
_MAY_CHANGE = ("word", "revision", "context_length", "thinking", "sampling", "tuned_thinking")
"""Fields of a model that a later command in the same folder may have written otherwise."""


def check_plan(run: CollectedRun, path: Path, found: RunFindings) -> None:
    """Add to `found` what of the record is not that of the plan beside it, or of the names of its folders."""
    if not path.with_name(PLAN_FILE).is_file():
        found.doubts.append(f"{PLAN_FILE} is not here")
        return
    if (field := differs_from_plan(run)) is not None:
        found.edits.append(f"{path.name}: {field} is not that of {PLAN_FILE}")
        return
    plan = read_plan(run)
    record = to_json(run.record)
    if not isinstance(record, Mapping) or "protocol" not in plan:  # that of a judge says less
        return
    found.edits.extend(f"{path.name}: {what}" for what in _other_folder(run.record, plan, path))
    found.notes.extend(
        f"{path.name}: {what} not that of {PLAN_FILE}, which a later command may have written"
        for what in _other_settings(record, plan)
    )


def _other_folder(record: RunRecord, plan: Mapping[str, Json], path: Path) -> list[str]:
    """Return what does not go with the names of the folders, which `planning.run_folder` has given."""
    folder = Path(os.path.abspath(path)).parent  # noqa: PTH100 - `resolve` follows links, and the names count
    model, protocol = record.model, record.protocol
    if not _NAMED_BY_US.fullmatch(folder.parent.name) or not _NAMED_BY_US.fullmatch(folder.name):
        return []
    if folder.parent.name != slug(model.name, model.fingerprint):
        return [f"model.name or model.fingerprint is not that of the folder {folder.parent.name}"]
    planned = plan["protocol"]
    known = identifying_part(protocol)
    # A plan holds what told runs apart when it was made.
    told = {name: known.get(name) for name in planned} if isinstance(planned, Mapping) else known
    identity = content_hash([model.fingerprint, record.template, to_json(told)])
    if folder.name != slug(protocol.task, identity):
        return [f"protocol or template is not that of the folder {folder.name}"]
    return []


def _other_settings(record: Mapping[str, Json], plan: Mapping[str, Json]) -> list[str]:
    """Return which of what a later command may have changed is not as it was planned."""
    model, planned = record["model"], plan.get("model")
    other = []
    if isinstance(model, Mapping) and isinstance(planned, Mapping):
        other = [f"model.{name} is" for name in _MAY_CHANGE if model.get(name) != planned.get(name)]
    other += [f"{name} are" for name in ("files", "origin") if name in plan and record.get(name) != plan[name]]
    versions, before = record.get("versions"), plan.get("versions")
    if isinstance(versions, Mapping) and isinstance(before, Mapping):
        other += [
            f"versions.{name} is"
            for name, version in versions.items()
            if not set(str(version).split(", ")) <= set(str(before.get(name)).split(", "))
        ]
    return other
