"""Sampling order: which rows come in which step, a pure function of rows, schedule, seed and epoch.

The only state of the data loader is the number of the step: a resumed training reads the same rows on any world size.
"""

from .recipe_records import Schedule
from .records import EncodedRows, IntArray


def order_epoch(rows: EncodedRows, seed: int, epoch: int) -> IntArray:
    """Return the rows of one epoch in shuffled order, (draws,): each as often as the mixture draws it."""
    import numpy as np  # noqa: PLC0415 - the command line stays light

    drawn = np.repeat(np.arange(len(rows)), rows.draws)
    return np.random.default_rng([seed, epoch]).permutation(drawn)


def steps_of_epoch(rows: EncodedRows, schedule: Schedule, seed: int, epoch: int) -> list[IntArray]:
    """Return the rows of each step (global batch) of an epoch; the last step may be smaller than the others.

    A step of `tokens_per_step` has no row that would exceed it, but at least one row.
    """
    import numpy as np  # noqa: PLC0415 - the command line stays light

    ordered = order_epoch(rows, seed, epoch)
    if schedule.rows_per_step is not None:
        cuts = list(range(schedule.rows_per_step, len(ordered), schedule.rows_per_step))
        return np.split(ordered, cuts)
    most = schedule.tokens_per_step or 0
    cumulative = np.cumsum(rows.lengths[ordered])
    cuts = []
    start = 0
    while True:
        before = cumulative[start - 1] if start else 0
        cut = max(int(np.searchsorted(cumulative, before + most, side="right")), start + 1)
        if cut >= len(ordered):
            return np.split(ordered, cuts)
        cuts.append(cut)
        start = cut
