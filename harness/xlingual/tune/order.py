"""Which rows come in which step: a pure function of the rows, the schedule, the seed and the epoch.

The only state of a training is the number of its step: a resumed one, on any number of ranks, draws the same rows.
"""

from .records import EncodedRows, IntArray, Schedule


def order_epoch(rows: EncodedRows, seed: int, epoch: int) -> IntArray:
    """Return the rows of one epoch, (draws,), in the order in which they are learnt."""
    import numpy as np  # noqa: PLC0415 - the command line stays light

    drawn = np.repeat(np.arange(len(rows)), rows.draws)
    return np.random.default_rng([seed, epoch]).permutation(drawn)


def steps_of_epoch(rows: EncodedRows, schedule: Schedule, seed: int, epoch: int) -> list[IntArray]:
    """Return the rows of each step of an epoch; the last step may be smaller than the others.

    A step of `tokens_per_step` ends before the row that would exceed it, but has at least one row.
    """
    import numpy as np  # noqa: PLC0415 - the command line stays light

    ordered = order_epoch(rows, seed, epoch)
    if schedule.rows_per_step is not None:
        cuts = list(range(schedule.rows_per_step, len(ordered), schedule.rows_per_step))
        return np.split(ordered, cuts)
    most = schedule.tokens_per_step or 0
    ends = np.cumsum(rows.lengths[ordered])
    cuts = []
    start = 0
    while True:
        before = ends[start - 1] if start else 0
        cut = max(int(np.searchsorted(ends, before + most, side="right")), start + 1)
        if cut >= len(ordered):
            return np.split(ordered, cuts)
        cuts.append(cut)
        start = cut
