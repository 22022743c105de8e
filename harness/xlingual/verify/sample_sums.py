"""The scores of a run from the statistics in its samples: all that can be checked without the data of its task."""

from collections.abc import Mapping, Sequence

from ..board.collection import RESULTS_FILE, CollectedRun
from ..board.integrity import EDITED
from ..board.integrity import check_scores as check_samples
from ..board.samples import ScoreReader
from ..identity import Json
from .findings import RunFindings


def check_sums(run: CollectedRun, samples: Sequence[Mapping[str, Json]], found: RunFindings) -> None:
    """Add to `found` each metric of a whole run that the statistics in its samples do not give."""
    if run.path is None or run.path.name != RESULTS_FILE:
        return
    for each in run.record.estimates:
        if (fault := check_samples(run, each.metric, ScoreReader(), samples).fault) is not None:
            found.edits.append(f"{RESULTS_FILE}: estimates.{each.metric}: {fault.removeprefix(f'{EDITED}: ')}")
