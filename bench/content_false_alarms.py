"""How often the detectors of answers fire on references, where they should not: the tables of docs/content.md.

python -m bench.content_false_alarms ../shared/data [LANG...]

Gold answers of XQuAD with their passages and questions, its passages as if they were answers, and references of
Flores-101 with their English sources.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from xlingual.analysis.content import AnsweredSample, find_all
from xlingual.analysis.content.measures import MEASURES_BY_NAME
from xlingual.analysis.content.prompts import GivenTexts
from xlingual.errors import XlingualError
from xlingual.languages import LANGUAGES
from xlingual.plugin import DataSource
from xlingual.records import Example
from xlingual.selection import select_tasks

ALARMS = (
    "off_target",
    "english",
    "code_switch",
    "loop",
    "refusal",
    "abstention",
    "boilerplate",
    "source_copy",
    "question_copy",
    "whole_passage",
)


@dataclass(frozen=True, slots=True)
class Alarms:
    """How many of the judged references a measure counts, and the first of them."""

    counted: int
    judged: int
    first: tuple[str, ...]


def count_alarms(samples: Sequence[AnsweredSample]) -> dict[str, Alarms]:
    """Return what every detector says of `samples`, which are all right answers."""
    findings = [find_all(sample) for sample in samples]
    found = {}
    for name in ALARMS:
        measure = MEASURES_BY_NAME[name]
        values = [(measure.of(each), sample.answer) for each, sample in zip(findings, samples, strict=True)]
        judged = [(value, text) for value, text in values if value is not None]
        hits = [text for value, text in judged if value]
        found[name] = Alarms(len(hits), len(judged), tuple(hits[:3]))
    return found


def xquad_golds(examples: Sequence[Example]) -> Iterator[AnsweredSample]:
    """Yield every gold answer as an answer."""
    for each in examples:
        given = GivenTexts(passage=each.fields["context"], question=each.fields["question"])
        yield _sample(each, each.targets[0], given)


def xquad_passages(examples: Sequence[Example]) -> Iterator[AnsweredSample]:
    """Yield every passage once, as if it were an answer: long texts of several sentences."""
    for text, each in {each.fields["context"]: each for each in examples}.items():
        yield _sample(each, text, GivenTexts())


def flores_references(examples: Sequence[Example]) -> Iterator[AnsweredSample]:
    """Yield every reference as a translation of its source."""
    for each in examples:
        yield _sample(each, each.targets[0], GivenTexts(source=each.fields["source"]))


def flores_paragraphs(examples: Sequence[Example]) -> Iterator[AnsweredSample]:
    """Yield three references in a row as one answer: sentences of a document, so that spans can differ."""
    for start in range(0, len(examples) - 2, 3):
        three = examples[start : start + 3]
        yield _sample(three[0], " ".join(each.targets[0] for each in three), GivenTexts())


def _sample(example: Example, answer: str, given: GivenTexts) -> AnsweredSample:
    return AnsweredSample(
        id=example.id,
        cluster=example.cluster,
        group=example.group,
        language=example.language,
        answer=answer,
        targets=example.targets,
        given=given,
    )


def main(folder: Path, languages: Sequence[str]) -> None:
    """Print the tables, a row a language."""
    source = DataSource(folder=folder, sample=False, offline=True)
    kinds: tuple[tuple[str, str, Callable[[Sequence[Example]], Iterator[AnsweredSample]]], ...] = (
        ("XQuAD golds", "xquad/{}", xquad_golds),
        ("XQuAD passages", "xquad/{}", xquad_passages),
        ("Flores-101 references", "flores101/en-{}", flores_references),
        ("Flores-101 references, three in a row", "flores101/en-{}", flores_paragraphs),
    )
    for title, task, make in kinds:
        print(f"\n{title}\n\n| language | {' | '.join(ALARMS)} |\n| --- |{' ---: |' * len(ALARMS)}")
        shown = []
        for code in languages:
            name = task.format(code) if code != "en" else task.format(code).replace("en-en", "fr-en")
            try:
                [found] = select_tasks([name], [])
                examples = found.examples(found.spec.split, source).rows
            except XlingualError as error:
                print(f"{code}: {error}", file=sys.stderr)
                continue
            alarms = count_alarms(list(make(examples)))
            cells = [f"{each.counted} of {each.judged}" if each.judged else "" for each in alarms.values()]
            print(f"| {code} | {' | '.join(cells)} |", flush=True)
            shown += [f"{code} {measure}: {text[:160]!r}" for measure, each in alarms.items() for text in each.first]
        print("\n".join(shown), file=sys.stderr)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or list(LANGUAGES))
