"""Decontamination: files of test data, and test texts whatever their case, spaces, punctuation and Unicode form."""

import json
import unicodedata
from pathlib import Path

import pytest

from xlingual.cli.tune.plan import contamination_lines
from xlingual.errors import DataError
from xlingual.plugin import DataSource, GenerationTask
from xlingual.records import Example, Examples, Prompt
from xlingual.selection import select_tasks
from xlingual.tune.contamination.benchmarks import compared_texts, fold, gather_held_out
from xlingual.tune.prepare import plan_mix
from xlingual.tune.records import MixPlan, OnRepetition, Repetition

from .conftest import DataFolder

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "tasks" / "sample"
REAL = ROOT.parent / "shared" / "data"
DEV_QUESTIONS = 6
"""In `dev-context-zh-question-zh.json` of the packaged sample."""
PAIR = '[sources.t]\nreader = "parallel"\npath = "t.{language}"\ndirection = "en-zh"\n'
ALPACA = '[sources.a]\nreader = "alpaca"\npath = "a.jsonl"\nlanguage = "zh"\n'


def row_of(*texts: str) -> Example:
    """Return a row with these fields, the last of them its answer."""
    fields = {str(place): text for place, text in enumerate(texts[:-1])}
    return Example(id="1", language="vi", group="1", cluster="1", fields=fields, targets=texts[-1:])


def lines(name: str) -> list[str]:
    return (SAMPLE / "flores101" / name).read_text(encoding="utf-8").splitlines()


def question(language: str) -> tuple[str, str, str]:
    document = json.loads((SAMPLE / "xquad" / f"xquad.{language}.json").read_text(encoding="utf-8"))
    paragraph = document["data"][0]["paragraphs"][0]
    asked = paragraph["qas"][0]
    return paragraph["context"], asked["question"], asked["answers"][0]["text"]


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("A  Cat, sat.", "a cat sat"),
        ("“Straße”", "strasse"),
        ("一、二。", "一二"),
        ("हिन्दी में", "हिन्दीमें"),
        (unicodedata.normalize("NFD", "Việt Nam"), "việtnam"),
        ("\ufeffa\u200bb\tc\n", "abc"),
    ],
)
def test_normalisation(text: str, same: str) -> None:
    assert fold(text) == fold(same) == same.replace(" ", "")


def test_normalisation_keeps_vowel_signs() -> None:
    assert fold("कि") != fold("का")


@pytest.mark.parametrize(
    ("fields", "texts"),
    [
        ({"context": "A b.", "question": "C?"}, {"ab", "abc", "cab", "xab"}),
        ({"source": "A b."}, {"ab", "hanoi"}),
        ({"question": "Capital?", "country": "Viet Nam"}, {"capitalvietnam"}),  # and no answer that is one word
    ],
)
def test_compared_texts_of_an_example(fields: dict[str, str], texts: set[str]) -> None:
    def ask(example: Example) -> Prompt:
        return Prompt(instruction="", before="x ", passage=example.fields["context"], after="")

    example = Example(id="1", language="en", group="1", cluster="1", fields=fields, targets=("Hanoi",))
    spec = select_tasks(["xquad/en"], [])[0].spec
    task = GenerationTask(spec=spec, read=lambda split, data_source: Examples(rows=(), files=()), ask=ask)
    assert {fold(text) for text in compared_texts(task, example)} == texts


def test_a_file_of_test_data_is_refused(data_folder: DataFolder) -> None:
    for code, name in (("en", "eng"), ("zh", "zho_simpl")):
        data_folder.write(f"t.{code}", (SAMPLE / f"flores101/devtest/{name}.devtest").read_text(encoding="utf-8"))
    with pytest.raises(DataError, match=r"flores101/devtest/.*which leaderboards test on") as caught:
        data_folder.plan(data_folder.recipe(PAIR))
    assert caught.value.where == "source t"


def test_sentences_are_found_and_left_out(data_folder: DataFolder) -> None:
    english, chinese = lines("devtest/eng.devtest"), lines("devtest/zho_simpl.devtest")
    sources = [f"  {english[0].upper()} ", english[1], "A harmless line.", "Another one."]
    targets = ["无害。", "无害的。", chinese[2].replace("，", ", "), "没有关系。"]
    data_folder.write("t.en", "\n".join(sources) + "\n")
    data_folder.write("t.zh", "\n".join(targets) + "\n")
    plan = data_folder.plan(data_folder.recipe(PAIR)).plan
    assert (plan.sources[0].contaminated, plan.sources[0].available) == (3, 1)
    found = {check.family: check for check in plan.checks if check.origins == ("sample",)}
    assert (found["flores101"].texts, found["flores101"].rows) == (7 * 24, 3)
    assert found["xquad"].rows == found["mlqa"].rows == 0


def test_passages_are_found_and_answers_are_not(data_folder: DataFolder) -> None:
    context, asked, answer = question("zh")
    rows = [
        ("总结。", context, "好。"),
        ("阅读并回答。", f"{context}\n{asked}", "好。"),
        ("请根据以下段落，回答问题", f"段落: {context}\n问题: {asked}\n答案: ", answer),
        (asked, "", "不知道。"),
        ("说一个词。", "", answer),
    ]
    data_folder.instructions("a.jsonl", rows)
    plan = data_folder.plan(data_folder.recipe(ALPACA)).plan
    assert (plan.sources[0].contaminated, plan.sources[0].available) == (3, 2)


def test_dev_splits_can_be_trained_on_and_test_splits_not(data_folder: DataFolder) -> None:
    data_source = DataSource(folder=None, sample=True, offline=True)

    def plan(path: str, language: str) -> int:
        table = f'[sources.d]\nreader = "task"\npath = "{path}"\nlanguage = "{language}"\n'
        return plan_mix(data_folder.recipe(table), data_folder.model, data_source).plan.rows

    assert plan("flores101/en-zh@dev", "zh") == 8
    assert plan("mlqa/zh@dev", "zh") == DEV_QUESTIONS
    for path, error in (
        ("flores101/en-zh@devtest", "is tested on its devtest split"),
        ("mlqa/zh@test", "is tested on its test split"),
        ("xquad/zh@test", "is tested on its test split"),
        ("xquad/zh@dev", "has no split 'dev' to learn from"),
        ("xquad/zh", "has no split ''"),
        ("xquad/zz@dev", "no such task: 'xquad/zz'"),
    ):
        with pytest.raises(DataError, match=error):  # of the recipe, which is a file
            plan(path, "zh")


def test_benchmarks_on_the_hub_are_refused(data_folder: DataFolder) -> None:
    table = f'[sources.h]\nreader = "hub"\npath = "google/xquad@{"0" * 40}:xquad.zh/validation"\nlanguage = "zh"\n'
    with pytest.raises(DataError, match="leaderboards test on google/xquad"):
        data_folder.plan(data_folder.recipe(table))


def test_missing_test_data_are_reported(data_folder: DataFolder) -> None:
    data_folder.write("t.en", "One.\n")
    data_folder.write("t.zh", "一。\n")
    plan = data_folder.plan(data_folder.recipe(PAIR)).plan
    absent = {check.family: check.languages for check in plan.checks if not check.origins}
    both = dict.fromkeys(("belebele", "flores101", "instructions", "mgsm", "mlqa", "xquad"), ("en", "zh"))
    assert absent == {**both, "xcopa": ("zh",)}


def test_every_language_is_compared_and_those_of_the_mixture_are_named() -> None:
    data_source = DataSource(folder=None, sample=True, offline=True)
    greek = {check.family: check for check in gather_held_out(["el"], data_source).checks}
    assert greek["xquad"].languages == ("el",)
    assert greek["flores101"].languages == ("el",)
    assert greek["flores101"].others == ("ar", "en", "hi", "tr", "vi", "zh")
    assert greek["flores101"].texts == 7 * 24
    assert greek["mlqa"].languages == ()  # it has no Greek
    assert "en" in greek["mlqa"].others
    english = {check.family: check.languages for check in gather_held_out(["en"], data_source).checks}
    assert english == dict.fromkeys(("flores101", "instructions", "mlqa", "xquad"), ("en",))


def test_the_packaged_training_text_holds_no_test_data() -> None:
    codes = ["ar", "el", "hi", "tr", "vi", "zh"]
    data_source = DataSource(folder=None, sample=True, offline=True)
    data = gather_held_out(["en", *codes], data_source)
    rows: list[str] = []
    for path in sorted((SAMPLE / "tune").iterdir()):
        for line in path.read_text(encoding="utf-8").splitlines():
            rows.extend(json.loads(line).values() if path.suffix == ".jsonl" else [line])
    assert len(rows) == 7 * 60 + (60 + 6 * 20) * 3
    assert not any(data.compare([row_of(text) for text in rows]))


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="no ../shared/data beside the checkout")
def test_real_test_data_are_found(data_folder: DataFolder) -> None:
    data_source = DataSource(folder=REAL, sample=False, offline=True)
    data = gather_held_out(["en", "zh"], data_source)
    counts = {check.family: check.texts for check in data.checks if check.origins == ("local",)}
    assert counts["flores101"] > 100 * 1000  # sentences of 101 languages, some of them equal
    flores = (REAL / "flores101/devtest/zho_simpl.devtest").read_text(encoding="utf-8").split("\n")[:-1]
    assert all(found and found.is_left_out for found in data.compare([row_of(line) for line in flores]))
    dev = (REAL / "parallel/flores-dev-510/zho_simpl.txt").read_text(encoding="utf-8").split("\n")[:-1]
    assert not any(data.compare([row_of(line) for line in dev]))


def repeated(data_folder: DataFolder, on_repetition: OnRepetition) -> MixPlan:
    """Return the plan of two rows, of which one holds a Greek sentence of the test data with a word changed."""
    sentence = (SAMPLE / "flores101/devtest/ell.devtest").read_text(encoding="utf-8").splitlines()[1].split()
    sentence[len(sentence) // 2] = "αλφα"
    data_folder.instructions("a.jsonl", [("翻译。", " ".join(sentence), "好。"), ("说一个词。", "", "词")])
    data_source = DataSource(folder=data_folder.path, sample=False, offline=True)
    recipe = data_folder.recipe(ALPACA)
    return plan_mix(recipe, data_folder.model, data_source, on_repetition=on_repetition).plan


def test_a_near_match_in_another_language_is_left_out_and_shown(data_folder: DataFolder) -> None:
    plan = repeated(data_folder, OnRepetition.DROP)
    assert (plan.sources[0].contaminated, plan.sources[0].available) == (1, 1)
    (count,) = plan.repetitions
    assert (count.source, count.family, count.kind) == ("a", "flores101", Repetition.NEAR)
    assert (count.rows, count.left_out) == (1, 1)
    (row,) = count.examples
    assert row.row == "a-1"
    assert row.text.startswith("flores101/")
    assert 0.7 <= row.share < 1
    lines = "\n".join(contamination_lines(plan))
    assert "a: 1 near of flores101" in lines
    assert "a-1: 翻译。" in lines


def test_report_trains_on_it_and_says_so(data_folder: DataFolder) -> None:
    plan = repeated(data_folder, OnRepetition.REPORT)
    assert (plan.sources[0].contaminated, plan.sources[0].available) == (0, 2)
    assert [(each.rows, each.left_out) for each in plan.repetitions] == [(1, 0)]
    assert plan.on_repetition is OnRepetition.REPORT
    lines = "\n".join(contamination_lines(plan))
    assert "1 rows REPEAT THEM AND ARE TRAINED ON" in lines
    assert "a: 1 near of flores101, 1 of them trained on" in lines
    assert plan.id != repeated(data_folder, OnRepetition.DROP).id


def test_rows_that_are_held_out_are_not_said_to_be_trained_on(data_folder: DataFolder) -> None:
    """They are screened like the others: left out with them, or kept, and then maybe held out."""
    passage = lines("devtest/zho_simpl.devtest")[:8]
    rows = [("写出来。", "", text) for text in passage] + [(f"说{word}。", "", word * 9) for word in "天地玄黄宇宙洪荒"]
    data_folder.instructions("a.jsonl", rows)
    recipe = data_folder.recipe(f'{ALPACA}hold_out = "50%"\n')
    data_source = DataSource(folder=data_folder.path, sample=False, offline=True)
    plans = {
        each: plan_mix(recipe, data_folder.model, data_source, on_repetition=each).plan
        for each in (OnRepetition.DROP, OnRepetition.REPORT)
    }
    counts = {
        each: (plan.sources[0].available, plan.sources[0].held_out.rows, plan.sources[0].contaminated)
        for each, plan in plans.items()
        if plan.sources[0].held_out is not None
    }
    assert counts == {OnRepetition.DROP: (4, 4, 8), OnRepetition.REPORT: (8, 8, 0)}
    said = "\n".join(contamination_lines(plans[OnRepetition.REPORT]))
    assert "8 rows REPEAT THEM AND ARE TRAINED ON, but for those held out or not drawn" in said
    assert "8 of them trained on, but for those held out or not drawn" in said


def test_refuse_makes_no_plan(data_folder: DataFolder) -> None:
    with pytest.raises(DataError, match="1 row repeats test data, such as flores101/") as caught:
        repeated(data_folder, OnRepetition.REFUSE)
    assert caught.value.where == "source a: a-1"
    assert "--contamination drop" in caught.value.hint
