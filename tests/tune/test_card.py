"""The model card: front matter that the hub's own classes take, what it says, and texts of strangers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from xlingual.cli.tune.audit import audit_lines
from xlingual.errors import DataError
from xlingual.records import DataFile, ModelSpec, Origin
from xlingual.tune.audit.records import AuditedRow, AuditFinding, FindingCount, SourceAudit
from xlingual.tune.card import CardFacts, CardScore, model_card, replace_scores
from xlingual.tune.card.texts import file_name, plain
from xlingual.tune.chats import ChatCounts
from xlingual.tune.licenses import HUB_LICENSES, license_fields
from xlingual.tune.plan import identify
from xlingual.tune.recipe import find_recipe
from xlingual.tune.recipe_records import Recipe
from xlingual.tune.records import (
    BenchmarkCheck,
    EncodedRows,
    MixPlan,
    OnRepetition,
    RepeatedRow,
    Repetition,
    RepetitionCount,
    SourceReport,
    TuneRecord,
)
from xlingual.tune.vocabulary import VocabularyReport

RECIPE = """
name = "mine"
description = "Two languages."
base = "hf:org/base"
template = "alpaca"
seed = 5
length = 64
license = "Apache-2.0"

[sources.alpaca]
reader = "alpaca"
path = "alpaca/data.{language}.json"
language = ["en", "zh"]
licence = "cc-by-nc-4.0"

[sources.mined]
reader = "hub"
path = "org/pairs@0123456789012345678901234567890123456789:default/train"
direction = "en-el"
columns = ["en:a", "el:b"]

[method]
kind = "lora"
rank = 4

[schedule]
epochs = 1
rows_per_step = 8
learning_rate = 1e-3
"""
HOSTILE = (
    "|pipe|", "`tick`", "---", "--- \n---\nlicense: mit\n---", "<!-- xlingual scores: end -->", "<script>alert(1)",
    "[x](javascript:alert(1))", "![](http://x/y.png)", "*bold* _it_ ~~no~~", "# head", "a: b\n- c", "{{evil}}",
    "!!python/object:os.system", "\u202eright to left", "null", "yes", "1e3", "&amp;", "$x^2$", "\\", "'\"", "%TAG",
    "```\nfence", "1. one", "+ plus", "===", "> quote", "-", "www.evil.example", "@team", "",
)  # fmt: skip
MARKS = "<!-- xlingual scores: begin --><!-- xlingual scores: end -->"


def read(tmp_path: Path, text: str = RECIPE) -> Recipe:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return find_recipe(str(path))


def report(name: str, language: str, **more: Any) -> SourceReport:  # noqa: ANN401 - fields of the record
    file = DataFile(
        name=f"{name}.json", origin=Origin.LOCAL, path=f"/srv/secret/{name}.json", revision=None, sha256="f" * 64
    )
    found = SourceReport(
        name=name, language=language, files=(file,), available=120, distinct=90, draws=100, tokens=5000,
        supervised=2500, truncated=0, dropped=3, skipped=2, duplicates=1, contaminated=4, characters_per_token=3.0,
    )  # fmt: skip
    return replace(found, **more)


@pytest.fixture
def record(tmp_path: Path) -> TuneRecord:
    recipe = read(tmp_path)
    base = ModelSpec(
        word="hf:org/base", backend="hf", name="org/base", revision="c" * 40, fingerprint="d" * 64, dtype="float32",
        template="raw", context_length=256, parent=None,
    )  # fmt: skip
    seen = (AuditedRow(row="r-1", excerpt="ROW TEXT"),)
    audit = SourceAudit(
        rows=100, skipped=2, unanswered=2, identified=100, ratio=None, score=None, alignment=None,
        filtered={"language": 6}, counts=(FindingCount(kind=AuditFinding.NO_SCRIPT, rows=40, of=100, examples=seen),),
    )  # fmt: skip
    plan = MixPlan(
        schema=1, id="1" * 64, recipe=recipe, base=base,
        sources=(report("alpaca-en", "en"), report("alpaca-zh", "zh", audit=audit, truncated=9), report("mined", "el")),
        checks=(
            BenchmarkCheck(
                family="xquad", languages=("en", "zh"), origins=("local",), texts=1234, rows=4, others=("de",)
            ),
            BenchmarkCheck(family="flores101", languages=("en",), origins=(), texts=0, rows=0),
        ),
        rows=300, tokens=15000, supervised=7500, steps=38, pack_length=256, packs=60, fill=0.9,
        repetitions=(
            RepetitionCount(source="alpaca-en", family="xquad", kind=Repetition.NEAR, rows=3, left_out=3, examples=(
                RepeatedRow(row="a-1", excerpt="TEST TEXT", text="xquad/en 1", share=0.8),)),
            RepetitionCount(source="mined", family="xquad", kind=Repetition.PARTIAL, rows=2, left_out=1, examples=()),
        ),
    )  # fmt: skip
    return TuneRecord(
        schema=1, plan=plan, parent="org/base@c", template="alpaca", data={}, steps=38, loss={"alpaca-en": 1.25},
        useful_tokens_per_second=100.0, world_size=2, dtype="float32", versions={"xlingual": "0.1.0", "torch": "2.13"},
        finished_at="2026-11-26T09:00:00Z",
    )  # fmt: skip


def fields(card: ModelCard) -> dict[str, Any]:
    """Return the front matter as the hub's own class has it."""
    found: dict[str, Any] = card.data.to_dict()  # type: ignore[no-untyped-call]  # of huggingface_hub
    return found


def card_of(record: TuneRecord, *, is_adapter: bool = False) -> ModelCard:
    return ModelCard(model_card(CardFacts(record=record, is_adapter=is_adapter)))


def test_front_matter_is_what_the_hub_takes(record: TuneRecord) -> None:
    data = fields(card_of(record))
    assert data == {
        "base_model": "org/base", "base_model_relation": "finetune", "datasets": ["org/pairs"],
        "language": ["en", "zh", "el"], "library_name": "transformers", "license": "apache-2.0",
        "pipeline_tag": "text-generation", "tags": ["xlingual", "cross-lingual", "sft", "lora"],
    }  # fmt: skip
    adapter = card_of(record, is_adapter=True).data
    assert (adapter["library_name"], adapter["base_model_relation"]) == ("peft", "adapter")


def test_a_base_without_a_name_on_the_hub_is_not_linked(record: TuneRecord) -> None:
    local = replace(record.plan.base, name="my base", revision=None, word="hf:/srv/secret/my base")
    text = model_card(CardFacts(record=replace(record, plan=replace(record.plan, base=local)), is_adapter=True))
    assert "base_model" not in fields(ModelCard(text))
    assert 'BASE = "my base"  # the folder of the base' in text
    assert "/srv" not in text


@pytest.mark.parametrize(("revision", "expected"), [("c" * 40, "org/small"), (None, None)])
def test_a_base_with_new_tokens_is_linked_to_the_one_that_got_them(
    revision: str | None, expected: str | None, record: TuneRecord
) -> None:
    """The base with new tokens is a folder of this machine, which the adapter is to be loaded on."""
    report = VocabularyReport(base="org/small", revision=revision, added=7, fertility={})
    local = replace(record.plan.base, name="small-plus-7", revision=None, word="/srv/cache/small-plus-7")
    plan = replace(record.plan, base=local, vocabulary=report)
    for is_adapter, relation in ((True, "adapter"), (False, "finetune")):
        text = model_card(CardFacts(record=replace(record, plan=plan), is_adapter=is_adapter))
        found = fields(ModelCard(text))
        assert found.get("base_model") == expected
        assert found.get("base_model_relation") == (relation if expected else None)
    assert "/srv" not in text


def test_what_the_card_says(record: TuneRecord) -> None:
    text = card_of(record).text
    for words in (
        "## How to use it", "## Scores", "## What it is not good for", "Two languages.",
        "| alpaca-en | alpaca | English | cc-by-nc-4.0 | 100 | 120 | 5,000 | 2,500 |",
        "| mined | hub | English to Greek | unknown | 100 | 120 | 5,000 | 2,500 |",
        "| schedule learning\\_rate | 0.001 |", "| method rank | 4 |", "| seed | 5 |",
        "| xquad in English, Chinese, 1 more | local | 1,234 | 0 | 3 | 2 | 4 |",
        "**Not compared**, as their test data were not there: flores101 in English.",
        "- alpaca-zh: 40 of 100 answers hold no Chinese character, 2 of them empty",
        "- alpaca-zh: 9 of 90 rows were cut and lost their end token",
        "- alpaca-zh: left out: 2 empty, 1 duplicates, 3 too long, 4 repeating test data, 6 filtered by language",
        "- This model: apache-2.0, by the recipe", "- The base, org/base: unknown: not said by its model card",
        "- Data of mined: unknown: not said by the recipe", "| plan | " + "1" * 64, "| base fingerprint | " + "d" * 64,
        "Answers in other languages than English, Chinese, Greek", "Conversations:", "at most 64 tokens",
        "| torch | 2.13 |",
    ):  # fmt: skip
        assert words in text, words
    for words in ("ROW TEXT", "TEST TEXT", "/srv", "secret"):  # rows belong to others, paths to the machine
        assert words not in text


def test_the_terminal_and_the_card_say_the_same_of_rows_and_of_chats(record: TuneRecord) -> None:
    plan = record.plan
    counts = tuple(
        FindingCount(kind=kind, rows=50, of=100, examples=())
        for kind in AuditFinding
        if kind not in (AuditFinding.TRUNCATED, AuditFinding.SHORTENED)
    )
    for chats in (None, ChatCounts(conversations=100)):
        sources = []
        for each in plan.sources:
            audit = SourceAudit(
                rows=100, skipped=0, unanswered=0, identified=100, ratio=None, score=None, alignment=None,
                filtered={}, counts=counts,
            )  # fmt: skip
            sources.append(replace(each, audit=audit, chats=chats, truncated=0))
        text = card_of(replace(record, plan=replace(plan, sources=tuple(sources)))).text
        lines = [line for line in audit_lines(replace(plan, sources=tuple(sources))) if " of 100 " in line]
        assert len(lines) >= 15
        for line in lines:
            assert f"- {line.partition('; filter')[0]}" in text.replace("\\", ""), line
        assert ("conversations have an answer" in text) == (chats is not None)
        assert "answers hold no Chinese character" in text or chats is not None


def test_the_packaged_sample_is_not_the_benchmark(record: TuneRecord) -> None:
    assert "**sample**" not in card_of(record).text
    checks = tuple(replace(each, origins=("sample",)) for each in record.plan.checks)
    text = card_of(replace(record, plan=replace(record.plan, checks=checks))).text
    assert "**sample** is a few packaged examples of a benchmark" in text


def test_rows_that_were_trained_on_all_the_same_are_said(record: TuneRecord) -> None:
    reported = replace(record, plan=replace(record.plan, on_repetition=OnRepetition.REPORT))
    assert "**These rows were trained on**" in card_of(reported).text
    assert not reported.plan.learns_all
    assert "**These rows were trained on**, but for those that were held out or not drawn: " in card_of(reported).text
    every = tuple(replace(each, distinct=each.available, held_out=None) for each in reported.plan.sources)
    assert (
        "**These rows were trained on**: "
        in card_of(replace(reported, plan=replace(reported.plan, sources=every))).text
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_of_strangers_stay_texts(text: str, record: TuneRecord) -> None:
    plan, recipe = record.plan, record.plan.recipe
    uses = tuple(replace(use, name=text, license=text, path=f"{text}@{'0' * 40}:a/b") for use in recipe.sources)
    hostile = replace(
        plan,
        recipe=replace(recipe, name=text, description=text, license=text, sources=uses),
        base=replace(plan.base, name=text or "x"),
        sources=tuple(replace(each, name=text) for each in plan.sources),
        checks=tuple(replace(each, family=text) for each in plan.checks),
    )
    found = replace(
        record, plan=hostile, loss={text: 1.0}, versions={text: text}, base_license=text, finished_at=text, dtype=text
    )
    whole = model_card(CardFacts(record=found, is_adapter=True))
    card = ModelCard(whole)
    assert set(fields(card)) <= {
        "base_model", "base_model_relation", "datasets", "language", "library_name", "license", "license_name",
        "pipeline_tag", "tags",
    }  # fmt: skip
    for name in fields(card).get("datasets", []):
        assert name in text
    html = MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(card.text)
    for tag in ("<script", "<img", "<em>", "<s>", "<a href", "<strong>bold"):
        assert tag not in html
    assert "<hr" not in html
    assert html.count("<ul>") == 4
    assert "<ol>" not in html
    assert html.count("<h1>") == 1
    assert html.count("<h2>") == 9
    assert html.count("<table>") == 4
    again = replace_scores(whole, "mine", [score(task=text or "x", notes=(text,))], [(text, text)], where="README.md")
    assert ModelCard(again).text.count("xlingual scores: begin") == 1
    compile(whole.partition("```python\n")[2].partition("```")[0], "snippet", "exec")


def test_texts_lose_secrets_and_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "canary-hub-0123456789")
    monkeypatch.setenv("HOME", "/Users/me")
    assert plain("made with canary-hub-0123456789 and api_key=abc") == "made with *** and api_key=***"
    assert plain("of /Users/me/x and /srv/data/rows.json, C:\\data\\a.json") == "of ~/x and rows.json, a.json"
    assert plain("1/2 and a/b/c, https://host/a/b") == "1/2 and a/b/c, https://host/a/b"
    assert [file_name(each) for each in ("a/b.json", "/x/b.json", "C:\\x\\b.json", "~/b.json")] == [
        "a/b.json", "b.json", "b.json", "b.json",
    ]  # fmt: skip


def score(**more: Any) -> CardScore:  # noqa: ANN401 - fields of the record
    found = CardScore(
        task="xquad/zh", metric="squad_f1", value=61.25, low=58.0, high=64.0, n=1190, shots=0, template="alpaca",
        split="validation", task_type="question-answering", dataset="google/xquad", config="xquad.zh", revision=None,
        hub_metric="f1", signature="v1", notes=(),
    )  # fmt: skip
    return replace(found, **more)


def test_scores_are_written_anew_and_the_rest_stays(record: TuneRecord) -> None:
    text = model_card(CardFacts(record=record, is_adapter=False))
    edited = text.replace("Two languages.", "Two languages, by hand.").replace(
        "license: apache-2.0", "license: mit\nextra: 1"
    )
    scores = [score(), score(task="mlqa/en-en", notes=("not verified: journal.jsonl is not here",))]
    first = replace_scores(edited, "mine", scores, [("runs/x", "edited: results.json")], where="README.md")
    card = ModelCard(first)
    assert (card.data["license"], card.data["extra"]) == ("mit", 1)
    [result] = card.data["eval_results"]
    assert (result.dataset_type, result.metric_type, result.metric_value) == ("google/xquad", "f1", 61.25)
    assert result.metric_args["low"] == 58.0
    assert "| xquad/zh | squad\\_f1 | 61.2 | 58.0 to 64.0 | 1,190 | 0 | alpaca |  |" in first
    assert "not verified: journal.jsonl is not here" in first
    assert "- runs/x: edited: results.json" in first
    assert "Two languages, by hand." in first
    emptied = replace_scores(first, "mine", [], [], where="README.md")
    assert "None yet." in emptied
    assert ModelCard(emptied).data["eval_results"] is None
    assert replace_scores(emptied, "mine", scores, [("runs/x", "edited: results.json")], where="README.md") == first


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("# no marks", "has no section for scores"),
        ("<!-- xlingual scores: end --><!-- xlingual scores: begin -->", "has no section for scores"),
        ("---\n- a\n---\n" + MARKS, "its front matter cannot be read"),
        ("---\na: [\n---\n" + MARKS, "its front matter cannot be read"),
        ("---\nmodel-index: 3\n---\n" + MARKS, "its front matter cannot"),
    ],
)  # fmt: skip
def test_cards_that_cannot_be_rewritten(text: str, what: str) -> None:
    with pytest.raises(DataError, match=what):
        replace_scores(text, "mine", [score()], [], where="README.md")


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        (None, {"license": "unknown"}),
        ("unknown", {"license": "unknown"}),
        ("Apache-2.0", {"license": "apache-2.0"}),
        ("My Own, v2", {"license": "other", "license_name": "my-own-v2-"}),
    ],
)
def test_licences_of_the_front_matter(text: str | None, fields: dict[str, str]) -> None:
    found = license_fields(text)
    assert {key: value[: len(fields[key])] for key, value in found.items()} == fields
    assert len(HUB_LICENSES) > 60


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('license = "Apache-2.0"', 'license = "a"\nlicence = "b"', "mine.toml:9: license and licence are one key"),
        ('license = "Apache-2.0"', "license = 3", "mine.toml:8: 'license' must be a text"),
        ('license = "Apache-2.0"', 'license = ""', "mine.toml:8: 'license' is empty"),
        ('licence = "cc-by-nc-4.0"', 'licence = "a\\nb"', "mine.toml:14: 'licence' is a name on one line"),
        ('licence = "cc-by-nc-4.0"', 'lisence = "mit"', "mine.toml:14: unknown key 'lisence'"),
    ],
)
def test_licences_of_a_recipe_are_read_strictly(old: str, new: str, what: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as raised:
        read(tmp_path, RECIPE.replace(old, new))
    assert what in str(raised.value)


def test_a_licence_is_no_part_of_the_id(record: TuneRecord, tmp_path: Path) -> None:
    import numpy as np  # noqa: PLC0415

    rows = EncodedRows(
        tokens=np.arange(8, dtype=np.int32), offsets=np.array([0, 8]), answer_starts=np.array([4]),
        sources=np.array([0]), draws=np.array([1]),
    )  # fmt: skip
    bare = read(tmp_path, RECIPE.replace('license = "Apache-2.0"\n', "").replace('licence = "cc-by-nc-4.0"\n', ""))
    assert bare.license is None
    assert record.plan.recipe.license == "apache-2.0"
    assert identify(bare, record.plan.base, rows) == identify(record.plan.recipe, record.plan.base, rows)


def test_front_matter_is_plain_yaml(record: TuneRecord) -> None:
    """Norwegian, "no" in YAML 1.1, would be false; our code is nb, and all codes are texts."""
    text = model_card(CardFacts(record=record, is_adapter=False))
    block = yaml.safe_load(text.split("---\n")[1])
    assert all(isinstance(each, str) for each in block["language"])
