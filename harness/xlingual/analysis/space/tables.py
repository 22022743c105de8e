"""An analysis as tables of text, none wider than 80 columns: the numbers by layer beside their shuffled control."""

from collections.abc import Sequence

from ...scaling.tables import TextTable
from .comparison import find_curve
from .decoding import OVERLAP
from .measures import MEASURES, SHARE
from .records import MEAN, Decoded, DifferenceCurve, LayerCurve, LensRecord, Peak, SpaceComparison, SpaceRecord
from .token_language import OTHER, UNDECIDED

ROWS = 9
"""Layers that are shown where not all are."""
_NOTHING = "–"
SHORT = {
    "retrieval_margin": "retrieval",
    "retrieval_centred": "centred",
    "cka": "CKA",
    "cosine_gap": "cosine gap",
    "sentence_share_scaled": "sentence",
    "language_share_scaled": "language",
    "language_share": "unscaled",
    "probe": "probe",
    "centroid_distance": "dist.",
    "centroid_distance_centred": "centred",
}
"""What measures are called above a column."""
_SHUFFLED = "shuf."
_COUNTED = ("language_share", "sentence_share", "language_share_scaled", "sentence_share_scaled", OVERLAP)
"""Shown in per cent, as the measures that are counted are."""


def shown_layers(record: SpaceRecord, *, every: bool) -> list[int]:
    """Return the layers of a table: all, or about ROWS from the first to the last and those of the peaks."""
    count = record.layers + 1
    if every or count <= ROWS + 2:
        return list(range(count))
    spaced = {round(number * record.layers / (ROWS - 1)) for number in range(ROWS)}
    return sorted(
        spaced | {each.layer for each in record.peaks if each.layer is not None and each.pooling == _first(record)}
    )


def space_tables(record: SpaceRecord, pooling: str, *, every: bool = False) -> list[TextTable]:
    """Return the tables of one model for one pooling."""
    layers = shown_layers(record, every=every)
    name = record.model.name
    return [
        _layer_table(f"{name}, {pooling}: do translations find each other?", record, pooling, layers, _ALIKE),
        _layer_table(f"{name}, {pooling}: how much is meaning?", record, pooling, layers, _MEANING),
        _plain_table(f"{name}, {pooling}: how much is language?", record, pooling, layers, _LANGUAGE),
        _plain_table(f"{name}, {pooling}: how far apart are languages?", record, pooling, layers, _DISTANCE),
        _pair_table(record, pooling),
    ]


def lens_tables(record: SpaceRecord, *, every: bool = False) -> list[TextTable]:
    """Return what the layers would predict; nothing without a lens."""
    layers = shown_layers(record, every=every)
    return [] if record.lens is None else _lens_tables(record.model.name, record.lens, layers)


_ALIKE = ("retrieval_margin", "cka")
_MEANING = ("sentence_share_scaled", "cosine_gap")
_VARIANCE = ("sentence_share_scaled", "language_share_scaled")
_LANGUAGE = ("language_share_scaled", "language_share", "probe")
_DISTANCE = ("centroid_distance", "centroid_distance_centred")


def peak_lines(record: SpaceRecord, pooling: str) -> list[str]:
    """Say in which layer languages are most alike, by each measure that tells it."""
    return [_peak_line(each) for each in record.peaks if each.pooling == pooling]


def _peak_line(peak: Peak) -> str:
    title = MEASURES[peak.measure].title
    if peak.layer is None or peak.value is None or peak.stability is None:
        return f"{title}: in no layer above the shuffled control"
    value = _number(peak.measure, peak.value)
    return f"{title}: highest in layer {peak.layer} ({value}); there or beside it in {peak.stability:.0%} of resamples"


def _first(record: SpaceRecord) -> str:
    return record.poolings[0]


def _is_percent(measure: str) -> bool:
    known = MEASURES.get(measure)
    return measure in _COUNTED or (known is not None and known.bounds == SHARE and known.has_interval)


def _number(measure: str, value: float) -> str:
    """Return shares in per cent, all else as it is; never a zero with a sign."""
    shown = f"{100 * value:.1f}" if _is_percent(measure) else f"{value:.3f}"
    return shown if shown.strip("-0.") else shown.lstrip("-")


def _at(curve: LayerCurve | None, layer: int, *, interval: bool = False) -> str:
    if curve is None:
        return _NOTHING
    value = _number(curve.measure, curve.values[layer])
    if not interval or curve.low is None or curve.high is None:
        return value
    return f"{value} [{_number(curve.measure, curve.low[layer])}, {_number(curve.measure, curve.high[layer])}]"


def _layer_table(
    title: str, record: SpaceRecord, pooling: str, layers: Sequence[int], measures: Sequence[str]
) -> TextTable:
    header = ["layer", *(word for measure in measures for word in (f"{SHORT[measure]} [95%]", _SHUFFLED))]
    both = [
        [find_curve(record.curves, measure, pooling, shuffled=shuffled) for shuffled in (False, True)]
        for measure in measures
    ]
    rows = [
        [str(layer), *(cell for own, control in both for cell in (_at(own, layer, interval=True), _at(control, layer)))]
        for layer in layers
    ]
    return TextTable(title, header, rows)


def _plain_table(
    title: str, record: SpaceRecord, pooling: str, layers: Sequence[int], measures: Sequence[str]
) -> TextTable:
    """Return a table without intervals."""
    header = ["layer", *(word for measure in measures for word in (SHORT[measure], _SHUFFLED))]
    curves = [
        find_curve(record.curves, measure, pooling, shuffled=each) for measure in measures for each in (False, True)
    ]
    return TextTable(title, header, [[str(layer), *(_at(each, layer) for each in curves)] for layer in layers])


def best_layer(record: SpaceRecord, pooling: str) -> int | None:
    """Return the layer where retrieval by margin is highest, None where it is nowhere above chance."""
    found = [each for each in record.peaks if each.measure == "retrieval_margin" and each.pooling == pooling]
    return found[0].layer if found else None


def _pair_table(record: SpaceRecord, pooling: str) -> TextTable:
    """Return the pairs of languages in the layer where they are most alike, or in the middle."""
    best = best_layer(record, pooling)
    layer = record.layers // 2 if best is None else best
    where = "no layer stands out" if best is None else "where retrieval is highest"
    header = ["pair", "there", "back", _SHUFFLED, "CKA", _SHUFFLED, "gap", _SHUFFLED, "dist."]
    rows = []
    for number, first in enumerate(record.languages):
        for second in record.languages[number + 1 :]:
            pair, there, back = f"{first}-{second}", f"{first}>{second}", f"{second}>{first}"
            cells = [(each, False) for each in (("retrieval_margin", there), ("retrieval_margin", back))]
            cells += [(("retrieval_margin", there), True)]
            cells += [((measure, pair), shuffled) for measure in ("cka", "cosine_gap") for shuffled in (False, True)]
            cells += [(("centroid_distance", pair), False)]
            found = [find_curve(record.curves, name, pooling, scope, shuffled=each) for (name, scope), each in cells]
            rows.append([pair, *(_at(each, layer) for each in found)])
    return TextTable(f"{record.model.name}, {pooling}: pairs in layer {layer}, {where}", header, rows)


def _lens_tables(name: str, lens: LensRecord, layers: Sequence[int]) -> list[TextTable]:
    told = [
        [
            each.language,
            f"{each.tokens:,}",
            *(f"{100 * share:.1f}" for share in (each.right, each.wrong, each.undecided)),
        ]
        for each in lens.identification
    ]
    known = TextTable(
        f"{name}: how well the language of a token is told, on sentences held out (%)",
        ["language", "tokens", "right", "wrong", UNDECIDED],
        told,
    )
    return [_decoded_table(name, lens, layers, best=best) for best in (1, lens.top_k)] + [known]


def _decoded_table(name: str, lens: LensRecord, layers: Sequence[int], *, best: int) -> TextTable:
    """Return the languages of the best predictions by layer; beside the top k, how many translations share."""
    pivot = lens.decoded[0].language
    own, control = (foreign_inputs(lens, best, shuffled=shuffled) for shuffled in (False, True))
    overlap = [find_curve(lens.overlap, OVERLAP, "none", shuffled=shuffled) for shuffled in (False, True)]
    with_overlap = best == lens.top_k
    header = ["layer", "own", _SHUFFLED, pivot, _SHUFFLED, "others", UNDECIDED, *["shared", _SHUFFLED] * with_overlap]
    rows = []
    for layer in layers:
        found, mixed = mean_shares(own, pivot, layer), mean_shares(control, pivot, layer)
        shares = [found[0], mixed[0], found[1], mixed[1], found[2], found[3]]
        cells = [_at(each, layer) for each in overlap] if with_overlap else []
        rows.append([str(layer), *(f"{100 * each:.1f}" for each in shares), *cells])
    what = "best next token" if best == 1 else f"best {best} next tokens"
    return TextTable(f"{name}: language of the {what}, input not in {pivot} (%)", header, rows)


def foreign_inputs(lens: LensRecord, best: int, *, shuffled: bool) -> list[Decoded]:
    """Return what is predicted for input in all languages but the first."""
    pivot = lens.decoded[0].language
    return [each for each in lens.decoded if each.best == best and each.shuffled == shuffled and each.language != pivot]


def mean_shares(decoded: Sequence[Decoded], pivot: str, layer: int) -> tuple[float, float, float, float]:
    """Return what share of tokens is in the input's own language, in the pivot, in others, and undecided: the means."""
    count = max(1, len(decoded))
    own = sum(each.shares[each.language][layer] for each in decoded) / count
    english = sum(each.shares[pivot][layer] for each in decoded) / count
    undecided = sum(each.shares[UNDECIDED][layer] for each in decoded) / count
    others = sum(
        shares[layer]
        for each in decoded
        for name, shares in each.shares.items()
        if name == OTHER or name not in (each.language, pivot, UNDECIDED)
    )
    return own, english, others / count, undecided


def comparison_tables(
    comparison: SpaceComparison, records: tuple[SpaceRecord, SpaceRecord], pooling: str, *, every: bool = False
) -> list[TextTable]:
    """Return the differences by layer; a star where they are more than noise with so many layers looked at."""
    layers = sorted({*shown_layers(records[0], every=every), *shown_layers(records[1], every=every)})
    curves = {each.measure: each for each in comparison.curves if each.pooling == pooling}
    title = f"{comparison.second} less {comparison.first}, {pooling} [95%]; * certain over all layers"
    tables = []
    for measures in (_ALIKE, _VARIANCE):
        header = ["layer", *(word for measure in measures for word in (SHORT[measure], _SHUFFLED))]
        rows = [
            [
                str(layer),
                *(
                    cell
                    for measure in measures
                    for cell in (_change(curves.get(measure), layer), _control_change(records, measure, pooling, layer))
                ),
            ]
            for layer in layers
        ]
        tables.append(TextTable(title, header, rows))
    return tables


def _change(curve: DifferenceCurve | None, layer: int) -> str:
    if curve is None:
        return _NOTHING
    parts = [_signed(curve.measure, each[layer]) for each in (curve.values, curve.low, curve.high)]
    return f"{parts[0]} [{parts[1]}, {parts[2]}]{'*' if curve.certain[layer] else ''}"


def _control_change(records: tuple[SpaceRecord, SpaceRecord], measure: str, pooling: str, layer: int) -> str:
    found = [find_curve(each.curves, measure, pooling, MEAN, shuffled=True) for each in records]
    if found[0] is None or found[1] is None:
        return _NOTHING
    return _signed(measure, found[1].values[layer] - found[0].values[layer])


def _signed(measure: str, value: float) -> str:
    shown = f"{100 * value:+.1f}" if _is_percent(measure) else f"{value:+.3f}"
    return shown if shown.strip("+-0.") else shown.lstrip("+-")
