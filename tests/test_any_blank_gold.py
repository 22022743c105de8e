"""Gold answers of drawn white space and invisible marks: no metric counts them, and no reader lets them in."""

import json
import random
import sys
from pathlib import Path

import numpy as np
import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from xlingual.data.parallel import read_lines
from xlingual.declared import read_family
from xlingual.errors import DataError
from xlingual.metrics import METRIC_NAMES, find_metric
from xlingual.plugin import DataSource
from xlingual.records import Example, Response

from .data.test_readers import data_file
from .data.test_squad_faults import row
from .data.test_squad_forms import lines, read, table
from .declared.conftest import TEXT

SPACES = [chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace()]
MARKS = [*map(chr, (0x200B, 0x200E, 0x200F, 0x2060, 0xFEFF, 0x061C, *range(0x202A, 0x202F), *range(0x2066, 0x206A)))]
BREAKS = {each for each in SPACES if len(f"a{each}b".splitlines()) > 1}
BY_GOLD = [
    name
    for name in METRIC_NAMES
    if name.startswith("containment") or name.endswith(("_em", "_f1")) or name in ("exact_match", "accuracy")
]
WORDS = ("cat", "Dog", "42", "1,234", "Việt Nam", "北京", "an apple", "A", "!")


def draw(chance: random.Random, count: int, *, breaks: bool = True) -> list[str]:
    signs = [each for each in (*SPACES, *MARKS) if breaks or each not in BREAKS]
    return ["".join(chance.choices(signs, k=chance.randint(0, 5))) for _ in range(count)]


def example(*golds: str) -> Example:
    return Example(id="1", language="en", group="g", cluster="c", fields={}, targets=golds, choices=WORDS)


def said(text: str) -> Response:
    return Response(key="k", text=text, failure=None, finish=None, prompt_tokens=None, tokens=None)


@pytest.mark.parametrize("name", BY_GOLD)
def test_blank_golds_are_as_if_they_were_not_there(name: str) -> None:
    chance, metric = random.Random(f"blank {name}"), find_metric(name)
    for _ in range(60):
        blanks, gold, answer = draw(chance, 3), chance.choice(WORDS), said(chance.choice([*WORDS, *draw(chance, 3)]))
        assert metric.measure(example(*blanks), answer) is None, blanks
        beside = [*blanks, gold]
        chance.shuffle(beside)
        if not name.endswith("_first"):
            assert metric.measure(example(*beside), answer) == metric.measure(example(gold), answer), beside


@pytest.mark.parametrize("name", ["bleu", "chrf++"])
def test_an_empty_reference_is_one_to_scores_of_translations(name: str) -> None:
    metric = find_metric(name, task="flores101/en-de")
    judge = BLEU() if name == "bleu" else CHRF(word_order=2)
    chance, sums = random.Random(name), []
    texts = [" ".join(chance.choices(WORDS, k=chance.randint(0, 5))) for _ in range(40)]
    golds = [chance.choice(["", " ".join(chance.choices(WORDS, k=4))]) for _ in texts]
    for text, gold in zip(texts, golds, strict=True):
        row_of = Example(id="1", language="de", group="g", cluster="c", fields={}, targets=(gold,))
        statistics = metric.measure(row_of, said(text))
        assert statistics is not None
        sums.append(statistics)
    found = float(metric.combine(np.array(sums, dtype=np.float64).sum(axis=0)))
    assert found == pytest.approx(judge.corpus_score(texts, [golds]).score, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_no_reader_lets_a_blank_gold_in(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    [gold] = draw(chance, 1)
    place = chance.randint(0, 1)
    texts = ["Rome"]
    texts.insert(place, gold)
    bad = [row(id="q1"), row(id="q2", answers={"text": texts, "answer_start": [3, 3]})]
    for content, name in ((lines(bad), "xquad.en.json"), (table(bad), "test-00000-of-00001.parquet")):
        with pytest.raises(DataError, match=rf"text\[{place}\]' is empty"):
            read(tmp_path, content, name)
    [line] = draw(chance, 1, breaks=False)
    path = tmp_path / "eng.dev"
    path.write_text(f"a\n{line}\nb\n", encoding="utf-8")
    with pytest.raises(DataError, match=":2: blank line"):
        read_lines(data_file(path))
    folder = tmp_path / "data" / "rivers"
    folder.mkdir(parents=True)
    (folder / "en.test.jsonl").write_text(json.dumps({"id": 1, "river": "Po", "seas": texts}) + "\n", encoding="utf-8")
    source = DataSource(folder=tmp_path / "data", sample=False, offline=True)
    (tmp_path / "rivers.toml").write_text(TEXT, encoding="utf-8")
    [task] = [each for each in read_family(tmp_path / "rivers.toml").tasks() if each.spec.language == "en"]
    with pytest.raises(DataError, match="the answer in 'seas' is empty"):
        _ = task.examples("test", source).rows
