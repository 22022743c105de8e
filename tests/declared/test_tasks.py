"""What a declaration makes of a task: its spec, its prompts in every wording and language, its demonstrations."""

from dataclasses import replace
from pathlib import Path

import pytest

from xlingual.declared import sources
from xlingual.errors import DataError, EnvironmentFault, UsageError
from xlingual.plugin import DataSource, RewordableTask
from xlingual.records import DataFile, DatasetRef, HubSource, Origin, UrlSource
from xlingual.sampling import Sampling

from .conftest import ROWS, TEXT, Declare

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_a_spec_from_few_lines(declare: Declare, data: DataSource) -> None:
    tasks = declare()
    assert list(tasks) == ["en", "de"]
    spec = tasks["de"].spec
    assert (spec.name, spec.language, spec.prompt_language, spec.split, spec.shot_split) == (
        "rivers/de", "de", "de", "test", "dev",
    )  # fmt: skip
    assert (spec.metrics, spec.max_new_tokens, spec.extract, spec.stop) == (("exact_match",), 512, None, None)
    assert (spec.licence, spec.citation, spec.version, spec.description) == (
        "CC0", "none", "1", "Rivers: which sea they flow into",
    )  # fmt: skip
    examples = tasks["en"].examples("test", data)
    assert [row.targets for row in examples.rows] == [("the Baltic", "Baltic Sea"), ("Adriatic",)]
    assert tasks["en"].prompt(examples.rows[0]).instruction == "Name the sea."
    assert tasks["en"].prompt(examples.rows[0]).input == "River: Vistula\nSea: "
    assert [file.name for file in examples.files] == ["rivers/en.test"]


def test_a_spec_from_every_key(declare: Declare) -> None:
    more = (
        'metrics = ["squad_f1", "off_target"]\nextract = "boxed > last_number"\nsystem = "{task} Be brief."\n'
        'stop = ["\\n{label}", "###"]\nmax_new_tokens = 99\nrepeats = 4\nsplit = "dev"\n'
        "sampling = { temperature = 0.6, top_p = 0.95, top_k = 20, min_p = 0.1, seed = 3 }\nid ="
    )
    spec = declare(("id =", more))["de"].spec
    assert (spec.metrics, spec.extract) == (("squad_f1", "off_target"), "boxed > last_number")
    assert (spec.system, spec.stop) == ("Nenne das Meer. Be brief.", ("\nFluss:", "###"))
    assert (spec.max_new_tokens, spec.repeats, spec.split) == (99, 4, "dev")
    assert spec.sampling == Sampling(temperature=0.6, top_p=0.95, top_k=20, min_p=0.1, seed=3)


def test_prompts_in_other_languages(declare: Declare, data: DataSource) -> None:
    vietnamese = 'words.vi = { task = "Nêu tên biển.", label = "Sông:", answer_label = "Biển:" }'
    tasks = declare(("[languages]", f"{vietnamese}\n[languages]"), ("id =", 'stop = "\\n{label}"\nid ='))  # fmt: skip
    task = tasks["de"]
    assert isinstance(task, RewordableTask)
    assert task.prompt_languages() == ("de", "en", "vi")
    example = task.examples("test", data).rows[0]
    english = task.reword(prompt_language="en", variant=None)
    assert english.prompt(example).input == "River: Weichsel\nSea: "
    assert (english.spec.prompt_language, english.spec.asked_in, english.spec.stop) == ("en", "en", ("\nRiver:",))
    assert english.spec.language == "de"
    assert english.examples("test", data) == task.examples("test", data)
    own = task.reword(prompt_language="de", variant=None)
    assert (own.spec, own.prompt(example)) == (task.spec, task.prompt(example))
    with pytest.raises(UsageError, match="rivers/de has no words in 'fr'"):
        task.reword(prompt_language="fr", variant=None)


PROMPT = 'prompt = { instruction = "{task}", input = "{label} {river}\\n{answer_label} " }\n'


def test_variants_and_texts_of_a_language(declare: Declare, data: DataSource) -> None:
    tables = (
        '[prompt]\ninput = "{label} {river} = "\n[prompt.de]\ninstruction = "So:"\ninput = "{river} -> "\n'
        '[variants]\nbare = "{river} "\n[variants.labelled]\ninput = "{river}; {answer_label} "\n'
    )
    text = TEXT.replace(PROMPT, "").replace('answer = "seas"\n', 'answer = "seas"\n' + tables)
    tasks = declare(text=text)
    task = tasks["de"]
    assert isinstance(task, RewordableTask)
    assert task.variants() == ("own", "bare", "labelled")
    example = task.examples("test", data).rows[0]
    assert (task.prompt(example).instruction, task.prompt(example).input) == ("So:", "Weichsel -> ")
    assert tasks["en"].prompt(example).input == "River: Weichsel = "
    bare = task.reword(prompt_language=None, variant="bare")
    assert (bare.prompt(example).instruction, bare.prompt(example).input) == ("", "Weichsel ")
    assert (bare.spec.variant, bare.spec.asked_in) == ("bare", None)
    assert bare.examples("test", data) == task.examples("test", data)
    labelled = task.reword(prompt_language="en", variant="labelled")
    assert labelled.prompt(example).input == "Weichsel; Sea: "
    with pytest.raises(UsageError, match="rivers/de has no variant 'bar'"):
        task.reword(prompt_language=None, variant="bar")


def test_a_prompt_without_words_says_its_language(declare: Declare) -> None:
    text = TEXT.partition("[languages]")[0] + 'languages = ["en", "de", "el"]\n'
    for word, said in (("{task}", "Name the sea."), ("{label}", "River:"), ("{answer_label}", "Sea:")):
        text = text.replace(word, said)
    plain = declare(("prompt = {", 'prompt = { language = "en",'), text=text)
    assert {code: task.spec.prompt_language for code, task in plain.items()} == {"en": "en", "de": "en", "el": "en"}
    assert plain["el"].prompt_languages() == ("en",)


def test_languages_that_take_the_words_of_another(declare: Declare) -> None:
    tasks = declare(("de = {", '"el tr" = "en"\nde = {'))
    assert {code: task.spec.prompt_language for code, task in tasks.items()} == {
        "en": "en", "de": "de", "el": "en", "tr": "en",
    }  # fmt: skip
    assert tasks["el"].spec.asked_in is None
    assert tasks["el"].prompt_languages() == ("en", "de")


def test_braces_and_texts_that_look_like_names(declare: Declare, data: DataSource) -> None:
    assert data.folder is not None
    row = '{"id": 1, "river": "{label} {{x}} {0.__class__}", "seas": "x"}\n'
    (data.folder / "rivers" / "en.test.jsonl").write_text(row, encoding="utf-8")
    task = declare(("{label} {river}", "{{json}} {label} {river} in {language_name}"))["en"]
    example = task.examples("test", data).rows[0]
    assert task.prompt(example).input == "{json} River: {label} {{x}} {0.__class__} in English\nSea: "


def test_only_the_passage_may_be_cut(declare: Declare, data: DataSource) -> None:
    task = declare(("id =", 'passage = "river"\nid ='))["en"]
    prompt = task.prompt(task.examples("test", data).rows[0])
    assert (prompt.before, prompt.passage, prompt.after) == ("River: ", "Vistula", "\nSea: ")


def test_a_text_for_each_value_of_a_column(declare: Declare, data: DataSource) -> None:
    assert data.folder is not None
    for code in ("en", "de"):
        rows = f'{{"id": 1, "river": "x{code}", "kind": "big", "seas": "s"}}\n'
        (data.folder / "rivers" / f"{code}.test.jsonl").write_text(rows, encoding="utf-8")
    field = ("id =", 'fields.size = { column = "kind", map = { big = "{task}!", small = "?" } }\nid =')
    tasks = declare(field, ("{label} {river}", "{size} {river}"))
    example = tasks["de"].examples("test", data).rows[0]
    assert (example.fields, example.shared) == ({"river": "xde"}, {"size": "big"})
    assert tasks["de"].prompt(example).input == "Nenne das Meer.! xde\nMeer: "
    assert tasks["de"].reword(prompt_language="en", variant=None).prompt(example).input == "Name the sea.! xde\nSea: "
    missing = (field[0], field[1].replace("big =", "huge ="))
    with pytest.raises(DataError, match="'kind' is 'big', none of huge, small"):
        declare(missing, ("{label} {river}", "{size} {river}"))["de"].examples("test", data)


def test_a_demonstration_shows_more_than_the_gold(declare: Declare, data: DataSource) -> None:
    assert data.folder is not None
    row = '{"id": 1, "river": "A", "seas": "1,234", "why": "Because: 30 of 41.13 is 1,234."}\n'
    (data.folder / "rivers" / "en.test.jsonl").write_text(row, encoding="utf-8")
    number = ("id =", 'extract = "last_number"\nid =')
    example = declare(number)["en"].examples("test", data).rows[0]
    assert (example.targets, example.demonstration) == (("1234",), None)
    apart = ('answer = "seas"', 'answer = "seas"\ndemonstration = { column = "why", after = ":" }')
    example = declare(number, apart)["en"].examples("test", data).rows[0]
    assert (example.targets, example.demonstration) == (("1234",), "30 of 41.13 is 1,234.")
    rationale = ('answer = "seas"', 'answer = { column = "why", kind = "rationale" }')
    example = declare(number, rationale)["en"].examples("test", data).rows[0]
    assert (example.targets, example.demonstration) == (("1234",), "Because: 30 of 41.13 is 1,234.")
    german = ('answer = "seas"', 'answer = { column = "seas", numbers = "de" }')
    assert declare(number, german)["en"].examples("test", data).rows[0].targets == ("1.234",)


def test_letters_are_extracted_by_the_labels(declare: Declare) -> None:
    more = 'choices = { texts = ["{a}", "{b}"], labels = "甲乙" }\nextract = "choice_letter"\nanswer ='
    spec = declare(("answer =", more), ("{river}\\n", "{river}\\n{options}\\n"))["en"].spec
    assert (spec.extract, spec.max_new_tokens, spec.metrics) == ("choice_letter:甲乙", 512, ("exact_match",))


def test_what_is_extracted_may_name_words(declare: Declare) -> None:
    more = r"""extract = 'after:{answer_label} > regex:\d{1,2}'
id ="""
    tasks = declare(("id =", more))
    assert tasks["de"].spec.extract == r"after:Meer: > regex:\d{1,2}"
    english = tasks["de"].reword(prompt_language="en", variant=None)
    assert english.spec.extract == r"after:Sea: > regex:\d{1,2}"


def test_what_the_hub_lacks_is_said_with_a_way_out(
    declare: Declare, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XLINGUAL_CACHE", str(tmp_path / "cache"))
    task = declare(("files =", f'hub = "org/rivers@{COMMIT}"\nfiles ='))["de"]
    with pytest.raises(EnvironmentFault, match="not in the cache") as caught:
        task.examples("test", DataSource(folder=None, sample=False, offline=True))
    assert caught.value.hint == "run once with a network, or give a folder with the files: --data DIR"


def test_pinned_addresses(declare: Declare, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[DatasetRef] = []
    path = tmp_path / "downloaded"
    path.write_text(ROWS["de.test"], encoding="utf-8")

    def locate(ref: DatasetRef, _source: DataSource) -> DataFile:
        seen.append(ref)
        return DataFile(name=ref.name, origin=Origin.URL, path=str(path), revision=COMMIT, sha256="0")

    monkeypatch.setattr(sources, "locate", locate)
    anywhere = DataSource(folder=None, sample=False, offline=False)
    task = declare(("files =", f'url = "https://x.org/{COMMIT}/{{file}}"\nfiles ='))["de"]
    assert len(task.examples("test", anywhere).rows) == 1
    assert seen[0].remotes == (UrlSource(url=f"https://x.org/{COMMIT}/rivers/de.test.jsonl", sha256=None, member=None),)
    zipped = f'url = "https://x.org/all.zip"\nmember = "in/{{en:eng,de:deu}}.jsonl"\nsha256 = "{"0" * 64}"\nfiles ='
    declare(("files =", zipped))["de"].examples("test", anywhere)
    assert seen[1].remotes == (UrlSource(url="https://x.org/all.zip", sha256="0" * 64, member="in/deu.jsonl"),)
    monkeypatch.undo()
    with pytest.raises(DataError, match="the task names no place to download from"):
        declare()["de"].examples("test", anywhere)


def test_pinned_data_sets_of_the_hub(declare: Declare, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[HubSource, tuple[str, ...]]] = []
    path = tmp_path / "rows"
    path.write_text(ROWS["de.test"], encoding="utf-8")

    def hub_table(source: HubSource, columns: tuple[str, ...], *, offline: bool) -> tuple[Path, str]:
        assert not offline
        asked.append((source, columns))
        return path, "0"

    monkeypatch.setattr(sources, "hub_table", hub_table)
    anywhere = DataSource(folder=None, sample=False, offline=False)
    hub = f'hub = "org/rivers@{COMMIT}:{{flores200}}/{{test:validation,dev:train}}"\nfiles ='
    found = declare(("files =", hub))["de"].examples("test", anywhere)
    source = HubSource(repository="org/rivers", revision=COMMIT, subset="deu_Latn", split="validation")
    assert asked == [(source, ("id", "seas", "river"))]
    assert (found.files[0].origin, found.files[0].revision) == (Origin.HUB, COMMIT)
    assert [row.id for row in found.rows] == ["1"]
    plain = declare(("files =", f'hub = "org/rivers@{COMMIT}"\nfiles ='))["de"]
    plain.examples("dev", anywhere)
    assert asked[1][0] == replace(source, subset="de", split="dev")


def test_a_path_that_means_nothing(declare: Declare, data: DataSource) -> None:
    with pytest.raises(DataError, match=r"\{lang\} means nothing in a path") as caught:
        declare(("rivers/{language}", "rivers/{lang}"))["de"].examples("test", data)
    assert caught.value.hint == "did you mean language?"
