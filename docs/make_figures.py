"""The figures of docs/analysis.md and docs/content.md: kept as records, from which tables and numbers are written.

    python docs/make_figures.py space SMOLLM2.json TUNED.json GEMMA.json     # of `xlingual analyze space`, that order
    python docs/make_figures.py content CONTENT.json                         # of `xlingual analyze content --keep`
    python docs/make_figures.py                                              # print what the pages must hold

The records go to docs/figures/ without sentences, answers and maps: aggregates only. What is printed are the rows of
the tables and the numbers of the prose. A test holds that all of them are on the pages.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from xlingual.analysis.content import ContentAnalysis, read_analysis
from xlingual.analysis.space import SpaceRecord, compare_spaces, read_space
from xlingual.analysis.space.comparison import find_curve
from xlingual.analysis.space.records import MEAN, SpaceComparison
from xlingual.analysis.space.tables import foreign_inputs, mean_shares
from xlingual.files import read_json, write_atomically
from xlingual.identity import canonical_json
from xlingual.serial import from_json, to_json

FIGURES = Path(__file__).parent / "figures"
SPACE, CONTENT = FIGURES / "space.json", FIGURES / "content.json"
PER_PAIR = ("retrieval_margin",)
"""Measures of which the curves of all pairs are kept, not only their mean."""
_LANGUAGE = ("language_share", "language_share_scaled")
COMPARED = ("retrieval_margin", "language_share_scaled")
SMOLLM2_LAYERS, GEMMA_LAYERS = (0, 8, 12, 18, 23, 26, 30), (0, 4, 7, 11, 12, 14, 18)
TASKS = ("flores101/en-zh", "flores101/en-ar", "flores101/zh-en", "xquad/zh", "xquad/ar", "xquad/en")
MEASURES = ("off_target", "english", "code_switch", "length_ratio", "cut", "loop", "source_copy", "question_copy",
            "instruction_copy", "from_passage")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceFigures:
    """What of three analyses the page needs."""

    records: tuple[SpaceRecord, ...]
    """The base, the tuned model, the other base; without effects, maps and most curves of single pairs."""
    comparison: SpaceComparison
    """The tuned model less its base."""


def keep_space(paths: Sequence[Path]) -> SpaceFigures:
    """Return the figures of three analyses, in the order of the page."""
    whole = [read_space(path) for path in paths]
    compared = compare_spaces(whole[0], whole[1])
    kept = tuple(each for each in compared.curves if each.measure in COMPARED)
    return SpaceFigures(records=tuple(map(_slim, whole)), comparison=replace(compared, curves=kept))


def _slim(record: SpaceRecord) -> SpaceRecord:
    curves = (
        each if each.scope == MEAN else replace(each, low=None, high=None)
        for each in record.curves
        if each.scope == MEAN or (each.measure in PER_PAIR and not each.shuffled)
    )
    projections = tuple(replace(each, points=dict.fromkeys(record.languages, ())) for each in record.projections)
    lens = record.lens
    if lens is not None:
        kept = tuple(each for each in lens.decoded if not each.shuffled)
        lens = replace(lens, decoded=kept, overlap=tuple(each for each in lens.overlap if each.scope == MEAN))
    # Where things lay on a machine is nobody's business.
    model = replace(record.model, word=record.model.name)
    files = tuple(replace(each, path=Path(each.path).name) for each in record.files)
    return replace(
        record, model=model, files=files, curves=tuple(curves), effects=(), projections=projections, lens=lens
    )


def keep_content(path: Path) -> ContentAnalysis:
    """Return an analysis without anybody's answers."""
    analysis = read_analysis(path)
    return replace(analysis, records=tuple(replace(each, examples=()) for each in analysis.records))


def read_space_figures() -> SpaceFigures:
    """Read what was kept of the analyses of the space."""
    return from_json(SpaceFigures, read_json(SPACE), where=str(SPACE))


def read_content_figures() -> ContentAnalysis:
    """Read what was kept of the analysis of answers."""
    return read_analysis(CONTENT)


def _value(record: SpaceRecord, measure: str, layer: int, scope: str = MEAN, *, shuffled: bool = False) -> float:
    found = find_curve(record.curves, measure, record.poolings[0], scope, shuffled=shuffled)
    if found is None:
        raise KeyError(measure, scope)
    return found.values[layer]


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _interval(record: SpaceRecord, measure: str, layer: int, decimals: int, scale: float) -> str:
    found = find_curve(record.curves, measure, record.poolings[0])
    if found is None or found.low is None or found.high is None:
        raise KeyError(measure)
    value, low, high = (f"{scale * each[layer]:.{decimals}f}" for each in (found.values, found.low, found.high))
    return f"{value} [{low}, {high}]"


def both_ways(record: SpaceRecord, first: str, second: str, layer: int) -> float:
    """Return the share of sentences of two languages that find each other, the mean of both directions."""
    ways = (f"{first}>{second}", f"{second}>{first}")
    return sum(_value(record, "retrieval_margin", layer, way) for way in ways) / 2


def space_rows(figures: SpaceFigures) -> Iterator[str]:
    """Yield the rows of both tables of docs/analysis.md."""
    base, _, other = figures.records
    for layer in SMOLLM2_LAYERS:
        cells = [
            _interval(base, "retrieval_margin", layer, 1, 100),
            _percent(_value(base, "retrieval_margin", layer, shuffled=True)),
            _percent(both_ways(base, "en", "zh", layer)),
            _interval(base, "sentence_share_scaled", layer, 1, 100),
            _percent(_value(base, "language_share_scaled", layer)),
            _percent(_value(base, "language_share", layer)),
        ]
        yield f"| {' | '.join([str(layer), *cells])} |"
    for layer in GEMMA_LAYERS:
        own, english, _, undecided = lens_shares(other, 1, layer)
        cells = [
            _interval(other, "retrieval_margin", layer, 1, 100),
            _percent(_value(other, "retrieval_margin", layer, shuffled=True)),
            _interval(other, "cka", layer, 3, 1),
            _interval(other, "sentence_share_scaled", layer, 1, 100),
            _percent(_value(other, "language_share_scaled", layer)),
            *map(_percent, (own, english, undecided)),
        ]
        yield f"| {' | '.join([str(layer), *cells])} |"


def lens_shares(record: SpaceRecord, best: int, layer: int) -> tuple[float, float, float, float]:
    """Return of the lens, for input not in English: the input's own language, English, others, undecided."""
    if record.lens is None:
        raise KeyError("lens")
    return mean_shares(foreign_inputs(record.lens, best, shuffled=False), record.languages[0], layer)


def space_facts(figures: SpaceFigures) -> Iterator[str]:
    """Yield what the prose of docs/analysis.md says in numbers."""
    base, _, other = figures.records
    peak = _peak(base, "retrieval_margin")
    yield f"Translations find each other best in layer {peak} of {base.layers}, in all resamples there or beside it"
    yield f"English and Chinese, {_percent(both_ways(base, 'en', 'zh', peak))} of 100 sentences in layer {peak}"
    rest = [100 * both_ways(base, "en", each, peak) for each in base.languages[1:] if each != "zh"]
    yield f"English with any other language is at {min(rest):.0f} to {max(rest):.0f}"
    shares = [100 * _value(base, measure, layer) for measure in _LANGUAGE for layer in (11, 12)]
    yield f"falls from {shares[0]:.0f} to {shares[1]:.0f} per cent between layers 11 and 12"
    yield f"With all dimensions scaled alike it goes from {shares[2]:.0f} to {shares[3]:.0f}."
    changes = {each.measure: 100 * max(map(abs, each.values)) for each in figures.comparison.curves}
    yield f"retrieval changes by at most {changes['retrieval_margin']:.1f} points in every layer"
    yield f"language takes up to {changes['language_share_scaled']:.1f} points more of the variance"
    yield from _other_facts(other)


def _other_facts(record: SpaceRecord) -> Iterator[str]:
    best, last = _peak(record, "retrieval_margin"), record.layers
    found = [100 * _value(record, "retrieval_margin", layer) for layer in (best, 0, last)]
    yield f"is found in {found[0]:.0f}% of cases in layer {best} of {last}, after {found[1]:.0f} in the embedding, and"
    yield f"again in {found[2]:.0f} at the end"
    neutral = _peak(record, "sentence_share_scaled")
    share = 100 * _value(record, "sentence_share_scaled", neutral)
    yield f"a fifth in layer {neutral}, where the sentence is {share:.0f}%"
    yield f"the sentence is most in layer {neutral}, retrieval is best in {best}, CKA in {_peak(record, 'cka')}."
    own, english, _, _ = lens_shares(record, 1, 12)
    yield f"({100 * english:.0f}% against {100 * own:.0f}% in layer 12; four places in each of 20 sentences)"
    of_ten = [lens_shares(record, 10, layer)[1] for layer in range(last + 1)]
    yield f"English rises to {100 * max(of_ten):.0f}% in layer {of_ten.index(max(of_ten))} and falls"
    yield f"and {100 * lens_shares(record, 10, last)[0]:.0f}% at the end"
    [drawn] = [each for each in record.projections if each.layer == best]
    yield f"Two axes are {100 * sum(drawn.explained):.0f}% of the variance in layer {best}"
    right = record.sentences * _value(record, "retrieval_margin", best, "ar>en")
    yield f"({right:.0f} of {record.sentences} sentences find their English)"


def _peak(record: SpaceRecord, measure: str) -> int:
    """Return the layer in which a measure is highest; KeyError where it is above its control in none."""
    [found] = [each.layer for each in record.peaks if (each.measure, each.pooling) == (measure, record.poolings[0])]
    if found is None:
        raise KeyError(measure)
    return found


def content_rows(analysis: ContentAnalysis) -> Iterator[str]:
    """Yield the rows of the table of docs/content.md: both models, and stars for how sure their difference is."""
    values = {(each.model, each.task): {found.metric: found for found in each.estimates} for each in analysis.records}
    sure = {(each.task, each.measure): (each.found.p, each.p_holm) for each in analysis.differences}
    models = (analysis.differences[0].baseline, analysis.differences[0].model)
    for measure in MEASURES:
        cells = []
        for task in TASKS:
            found = [values[model, task][measure].value for model in models]
            shown = [f"{each:.{2 if measure == 'length_ratio' else 1}f}" for each in found if each is not None]
            p, corrected = sure.get((task, measure), (1.0, 1.0))
            stars = " **" if corrected < 0.05 else " *" if p < 0.05 else ""
            cells.append(f"{', '.join(shown)}{stars}" if len(shown) == len(models) else "-")
        yield f"| `{measure}` | {' | '.join(cells)} |"


def content_facts(analysis: ContentAnalysis) -> Iterator[str]:
    """Yield what the prose of docs/content.md says of the run."""
    task, measure = TASKS[0], MEASURES[0]
    [found] = [each.found for each in analysis.differences if (each.task, each.measure) == (task, measure)]
    estimates = [
        estimate
        for name in (analysis.differences[0].baseline, analysis.differences[0].model)
        for record in analysis.records
        for estimate in record.estimates
        if (record.model, record.task, estimate.metric) == (name, task, measure)
    ]
    first, second = (f"{each.value:.1f} [{each.low:.1f}, {each.high:.1f}]" for each in estimates)
    yield f"`{measure}` of en-zh is {first} of {estimates[0].n} judged answers"
    yield f"{second} of {estimates[1].n}, a difference of {found.difference:.1f} [{found.low:.1f}, {found.high:.1f}]"
    yield f"on the {found.n} judged in both"
    yield f"for all {len(analysis.differences)} comparisons"


def _store(path: Path, figures: SpaceFigures | ContentAnalysis) -> None:
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, canonical_json(to_json(figures)) + "\n")


def main(words: Sequence[str]) -> None:
    """Keep the figures that are named, then print what the pages must hold."""
    paths = [Path(word) for word in words[1:]]
    kinds: Mapping[str, int] = {"space": 3, "content": 1}
    if words and (words[0] not in kinds or len(paths) != kinds[words[0]]):
        raise SystemExit(__doc__)
    if words and words[0] == "space":
        _store(SPACE, keep_space(paths))
    elif words:
        _store(CONTENT, keep_content(paths[0]))
    space, content = read_space_figures(), read_content_figures()
    for line in (*space_rows(space), *space_facts(space), *content_rows(content), *content_facts(content)):
        sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
