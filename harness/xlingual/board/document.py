"""A leaderboard as JSON, for programs."""

from ..identity import Json
from ..serial import to_json
from .rows import Board

DOCUMENT_SCHEMA = 1


def board_json(board: Board) -> Json:
    """Return `board` as JSON data; the same board gives the same data.

    Schema 1: an object of `schema` and the fields of `rows.Board`, records as objects with the field names of
    `rows.py`, where each is documented:

    - name, title, description; origin, "real" or "sample"; newest, the `finished_at` of the newest run or null
    - tables: family, metric, higher_is_better, baseline (label or null),
      columns (task, variant, language, signature, protocol as in results.json, origins), and rows (model,
      fingerprint, cells, average, rank, gain), and ranked_columns (tasks that averages and ranks are over); a cell
      has task, state ("complete", "marked", "incomplete", "limited", "not computed", "missing"), value, low, high, n,
      expected, limit, reason, interval, clusters, clustered_by, icc, effective_n, marks (what, share and most in
      per cent); a row has control (floor, copy, ceiling or null), notes, unranked (the reason or null), average_low,
      average_high, rank_low and rank_high, null where the samples do not give them; a gain has points (the
      difference of the means), points_low, points_high, value (the mean of ratios, percent), low, high, of_means (the
      ratio of means), means_low, means_high, columns (tasks), weak and undefined (tasks with a baseline near zero),
      weak_mean (whether its average is) and reason; tests, of a table, has note, clusters, pairs, method,
      detectable (points) and parallel (all columns have the same examples); scores have full precision and are null
      for no score
    - rates: family, variants, rows (model, metric, cells), false_alarms (per cent, one a variant, or null)
    - models: label, spec as in results.json
    - not_ranked: model, task, metric, value, differences (field, run, ranked)
    - left_out: where, reason; superseded: how many older records were replaced
    - headlines: tables over the columns of several tables that share metric and baseline
    - notes: sentences; reported: claim, value, source, url

    Texts are as the runs have them, not escaped for any page.
    """
    data = to_json(board)
    if not isinstance(data, dict):
        raise TypeError("a board is a record")
    return {"schema": DOCUMENT_SCHEMA, **data}
