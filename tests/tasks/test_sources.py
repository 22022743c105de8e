"""Readers of training text: what they take, what they count and leave out, and every mistake by file and line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from xlingual.data.hub import table_lines
from xlingual.errors import DataError, EnvironmentFault, UsageError, XlingualError
from xlingual.plugin import DataSource
from xlingual.records import Corpus, Examples, HubSource
from xlingual.registry import SOURCES

from ..real_data import REAL

Read = Callable[..., Examples]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def corpus(path: str, *, direction: tuple[str, str] | None = ("en", "zh"), columns: tuple[str, ...] = ()) -> Corpus:
    return Corpus(
        name="mine", path=path, language=direction[1] if direction else "zh", direction=direction, columns=columns
    )


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def make(reader: str, files: dict[str, str | bytes], wanted: Corpus) -> Examples:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return SOURCES.get(reader).examples(wanted, DataSource(folder=tmp_path, sample=False, offline=True))

    return make


def pairs(found: Examples) -> list[tuple[str, str]]:
    return [(row.fields["source"], row.targets[0]) for row in found.rows]


def instructions(found: Examples) -> list[tuple[str, str, str]]:
    return [(row.fields["instruction"], row.fields["input"], row.targets[0]) for row in found.rows]


def test_every_reader_is_here() -> None:
    assert SOURCES.names() == ["alpaca", "hub", "messages", "parallel", "po", "task", "tmx", "tsv"]


ROWS = [
    {"instruction": "一", "input": "二", "output": "三"},
    {"instruction": "四", "output": "五"},
    {"instruction": "六", "input": "", "output": " "},
    {"instruction": "", "input": "", "output": "七"},
]
READ = [("一", "二", "三"), ("四", "", "五")]


def test_alpaca(read: Read) -> None:
    as_list = read("alpaca", {"a.zh.json": json.dumps(ROWS)}, corpus("a.{language}.json", direction=None))
    as_lines = "".join(json.dumps(row, ensure_ascii=False) + "\r\n" for row in ROWS)
    by_line = read("alpaca", {"a.jsonl": b"\xef\xbb\xbf" + as_lines.encode()}, corpus("a.jsonl", direction=None))
    for found in (as_list, by_line):
        assert instructions(found) == READ
        assert found.skipped == 2
        assert [row.id for row in found.rows] == ["mine-1", "mine-2"]
    renamed = [{"q": "一", "c": "二", "a": "三"}]
    wanted = corpus("b.json", direction=None, columns=("q", "c", "a"))
    assert instructions(read("alpaca", {"b.json": json.dumps(renamed)}, wanted)) == READ[:1]


def test_parallel(read: Read) -> None:
    files = {"t/x.eng": "One.\n\nThree.\u2028 More.\nFour.", "t/x.zho_simpl": "一。\n二。\n三。\n \n"}
    for path in ("t/x.{flores}", "t/x.{en:eng,zh:zho_simpl}"):
        found = read("parallel", files, corpus(path))
        assert pairs(found) == [("One.", "一。"), ("Three.\u2028 More.", "三。")]
        assert found.skipped == 2
    back = read("parallel", files, corpus("t/x.{flores}", direction=("zh", "en")))
    assert pairs(back) == [(target, source) for source, target in pairs(found)]
    assert [file.name for file in back.files] == ["t/x.zho_simpl", "t/x.eng"]


def test_tsv(read: Read) -> None:
    named = {"t.tsv": "id\ten\tzh\n1\tOne.\t一。\n2\t\t二。\n"}
    assert pairs(read("tsv", named, corpus("t.tsv"))) == [("One.", "一。")]
    plain = {"u.tsv": 'x\t一。\t"One.\n'}
    for direction in (("en", "zh"), ("zh", "en")):
        found = read("tsv", plain, corpus("u.tsv", direction=direction, columns=("zh:2", "en:3")))
        assert pairs(found) == [('"One.', "一。") if direction[0] == "en" else ("一。", '"One.')]


TMX = """<?xml version="1.0" encoding="UTF-16"?>
<!DOCTYPE tmx SYSTEM "tmx14.dtd">
<tmx version="1.4"><header/><body>
<tu><tuv xml:lang="en-US"><seg>Press <bpt i="1">&lt;b&gt;</bpt>Save<ept i="1">&lt;/b&gt;</ept> &amp; go.</seg></tuv>
 <tuv xml:lang="zh-CN"><seg>按保存\n  并继续。</seg></tuv><tuv xml:lang="zh-TW"><seg>繁體</seg></tuv></tu>
<tu><tuv xml:lang="EN"><seg>Only English.</seg></tuv><tuv xml:lang="tlh"><seg>x</seg></tuv></tu>
</body></tmx>
"""


def test_tmx(read: Read) -> None:
    found = read("tmx", {"m.tmx": TMX}, corpus("m.tmx"))
    assert pairs(found) == [("Press Save & go.", "按保存 并继续。")]
    assert found.skipped == 1
    assert pairs(read("tmx", {}, corpus("m.tmx", direction=("zh", "zho_trad")))) == [("按保存 并继续。", "繁體")]


PO = r"""
msgid ""
msgstr "Language: zh\n"

#: a.c:1
msgid "Save the \"file\"\n"
msgstr ""
"保存"
"“文件”\n"

#, fuzzy
msgid "Old"
msgstr "旧"

#, c-format
msgid "%d files in %(name)s"
msgstr "%(name)s 中有 %d 个文件"

msgid "%s lost"
msgstr "丢了"

msgid "One day"
msgid_plural "%d days"
msgstr[0] "%d 天"

msgctxt "menu"
msgid "Open"
msgstr "打开"

msgid "Open"
msgstr "开放"

msgid "Untranslated"
msgstr ""

msgid "OK"
msgstr "OK"

#, fuzzy
#~ msgid "Gone"
#~ msgstr "没了"

msgid "Last"
msgstr "最后"

msgid "One two"
msgstr "一 二"
"""


def test_po(read: Read) -> None:
    found = read("po", {"zh_Hans/django.po": PO}, corpus("{zh:zh_Hans}/django.po"))
    assert pairs(found) == [
        ('Save the "file"\n', "保存“文件”\n"),
        ("%d files in %(name)s", "%(name)s 中有 %d 个文件"),
        ("Open", "打开"),
        ("Open", "开放"),
        ("Last", "最后"),
        ("One two", "一 二"),
    ]
    assert found.skipped == 5  # fuzzy, a lost placeholder, a plural, untranslated, the same on both sides
    back = read("po", {}, corpus("{zh:zh_Hans}/django.po", direction=("zh", "en")))
    assert pairs(back)[2] == ("打开", "Open")


BOMB = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;">]><tmx><body/></tmx>'


@pytest.mark.parametrize(
    ("reader", "files", "wanted", "where", "what"),
    [
        ("alpaca", {"a.json": "[]"}, corpus("a.json", direction=None), "a.json", "no instruction with an output"),
        ("alpaca", {"a.json": ""}, corpus("a.json", direction=None), "a.json", "the file is empty"),
        ("alpaca", {"a.json": "{}"}, corpus("a.json", direction=None), "a.json", "must be a list"),
        ("alpaca", {"a.json": '[{"output": "x"}]'}, corpus("a.json", direction=None), ": [0]",
         "field 'instruction' is missing (has: output)"),
        ("alpaca", {"a.json": '[{"instruction": 1, "output": "x"}]'}, corpus("a.json", direction=None), ": [0]",
         "field 'instruction' must be a string, got int"),
        ("alpaca", {"a.jsonl": '{"instruction": "x"}\n'}, corpus("a.jsonl", direction=None), ":1",
         "field 'output' is missing"),
        ("alpaca", {"a.jsonl": '{"instruction": "x", "input": 3, "output": "y"}\n'},
         corpus("a.jsonl", direction=None), ":1", "field 'input' must be a string"),
        ("alpaca", {"a.jsonl": b"caf\xe9 au lait"}, corpus("a.jsonl", direction=None), ":1", "is not UTF-8"),
        ("alpaca", {}, corpus("a.jsonl", direction=None, columns=("q", "a")), "mine", "columns must name"),
        ("parallel", {"t.en": "a\nb\n", "t.zh": "一\n"}, corpus("t.{language}"), "t.en", "2 lines, but 1 in"),
        ("parallel", {"t.en": "\n", "t.zh": "一\n"}, corpus("t.{language}"), "t.en", "no pair of sentences (1 with"),
        ("parallel", {}, corpus("t.txt"), "mine", "'t.txt' stands for both sides"),
        ("parallel", {}, corpus("t.{lang}"), "mine", "{lang} in the path"),
        ("parallel", {}, corpus("t.{en:}"), "mine", "'en:' is not code:word"),
        ("parallel", {}, corpus("../t.{language}"), "../t.en", "the path leads out of its folder"),
        ("parallel", {"t.en": "a\rb\n"}, corpus("t.{language}"), "t.zh", "no such file of training text"),
        ("parallel", {}, corpus("t.{language}", direction=None), "mine", "has no direction"),
        ("tsv", {"t.tsv": "en\tzh\na\tb\nc\n"}, corpus("t.tsv"), ":3", "1 columns, but 2 on the first line"),
        ("tsv", {"t.tsv": "english\tzh\na\tb\n"}, corpus("t.tsv"), ":1", "no column 'en' on the first line"),
        ("tsv", {"t.tsv": "a\tb\n"}, corpus("t.tsv", columns=("en:1", "zh:3")), "t.tsv", "there are 2 columns"),
        ("tsv", {"t.tsv": ""}, corpus("t.tsv"), "t.tsv", "no records"),
        ("tmx", {"m.tmx": "<tmx><body></tmx>"}, corpus("m.tmx"), ":1:14", "not XML (mismatched tag)"),
        ("tmx", {"m.tmx": BOMB}, corpus("m.tmx"), ":1", "the file declares entities"),
        ("tmx", {"m.tmx": TMX.encode("utf-16")}, corpus("m.tmx"), "m.tmx", "looks like UTF-16"),
        ("tmx", {"m.tmx": "<tmx><body/></tmx>"}, corpus("m.tmx"), "m.tmx", "no pair of sentences"),
        ("po", {"m.po": 'msgid "a"\nmsgstr a\n'}, corpus("m.po"), ":2", "not a line of a catalogue"),
        ("po", {"m.po": 'msgstr "a"\n'}, corpus("m.po"), ":1", "msgstr before any msgid"),
        ("po", {"m.po": 'msgid "a"\nmsgstr "b"\n\nmsgid "a"\nmsgstr "c"\n'}, corpus("m.po"), ":4",
         "message 'a' is on line 1 too"),
        ("po", {"m.po": 'msgid "a"\nmsgstr "b"\nmsgstr "c"\n'}, corpus("m.po"), ":3", "a second msgstr in one entry"),
        ("po", {"m.po": 'msgid "a"\nmsgstr "b'}, corpus("m.po"), ":2", "not a line of a catalogue"),
        ("po", {"m.po": 'msgid "a"b"\nmsgstr "c"\n'}, corpus("m.po"), ":1", "not a line of a catalogue"),
        ("po", {"m.po": 'msgid "a"\nmsgstr a\n\nmsgid "b"\nmsgstr b\n'}, corpus("m.po"), ":2",
         "m.po:5: not a line of a catalogue"),
        ("po", {}, corpus("m.po", direction=("ar", "zh")), "mine", "the messages of a catalogue are English"),
        ("hub", {}, corpus("org/name@main:default/train"), "mine", "is not org/name@COMMIT:subset/split"),
        ("hub", {}, corpus(f"org/name@{COMMIT}:default/train", columns=("en",)), "mine", "'en' is not code:word"),
    ],
)  # fmt: skip
def test_mistakes(
    reader: str, files: dict[str, str | bytes], wanted: Corpus, where: str, what: str, read: Read
) -> None:
    with pytest.raises((DataError, UsageError)) as caught:
        read(reader, files, wanted)
    assert where in caught.value.where
    assert what in caught.value.what


def test_all_mistakes_of_a_file_are_listed(read: Read) -> None:
    rows = [{"instruction": "x"}, {"instruction": "x", "output": "y"}, 3]
    with pytest.raises(DataError) as caught:
        read("alpaca", {"a.json": json.dumps(rows)}, corpus("a.json", direction=None))
    assert "[0]" in caught.value.where
    assert "[2]: must be an object, got int" in caught.value.what


def test_the_hub_when_offline(read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLINGUAL_CACHE", str(tmp_path / "cache"))
    with pytest.raises(EnvironmentFault, match="not in the cache") as caught:
        read("hub", {}, corpus(f"org/name@{COMMIT}:default/train", direction=None))
    assert "local files" in caught.value.hint


def test_the_hub_from_the_cache(read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a download stores is what later runs read without a network."""
    from xlingual.data import hub  # noqa: PLC0415 - what it reaches the network with is replaced

    monkeypatch.setenv("XLINGUAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hub, "reach_hub", lambda where: None)
    rows = [{"id": 1, "translation": {"en": "One.", "zh": "一。", "tr": "Bir."}}]
    monkeypatch.setattr(hub, "_load_rows", lambda source, where: rows)
    source = HubSource(repository="org/name", revision=COMMIT, subset="default", split="train")
    hub.hub_table(source, ["translation.en", "translation.zh"], offline=False)
    monkeypatch.undo()
    monkeypatch.setenv("XLINGUAL_CACHE", str(tmp_path / "cache"))
    wanted = corpus(f"org/name@{COMMIT}:default/train", columns=("en:translation.en", "zh:translation.zh"))
    found = read("hub", {}, wanted)
    assert pairs(found) == [("One.", "一。")]
    assert found.files[0].revision == COMMIT


def test_hub_columns_must_be_there() -> None:
    with pytest.raises(DataError, match=r"row 2: column 'b' is missing \(has: a\)"):
        list(table_lines([{"a": 1, "b": 2}, {"a": 1}], ["a", "b"], "hub"))


def test_the_sample_is_aligned_and_in_its_languages() -> None:
    place = DataSource(folder=None, sample=True, offline=True)
    for code in ("ar", "el", "hi", "tr", "vi", "zh"):
        wanted = Corpus(name="s", path="tune/everyday.{language}", language=code, direction=("en", code), columns=())
        assert len(SOURCES.get("parallel").examples(wanted, place).rows) == 60
        wanted = Corpus(name="s", path="tune/alpaca.{language}.jsonl", language=code, direction=None, columns=())
        assert len(SOURCES.get("alpaca").examples(wanted, place).rows) == 20


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="no ../shared/data beside the checkout")
def test_real_instructions() -> None:
    wanted = Corpus(name="s", path="alpaca/alpaca_data.en.json", language="en", direction=None, columns=())
    found = SOURCES.get("alpaca").examples(wanted, DataSource(folder=REAL, sample=False, offline=True))
    assert (len(found.rows), found.skipped) == (51_974, 28)  # 52,002 rows, 28 of them without an output


def test_a_broken_word_is_one_error() -> None:
    with pytest.raises(XlingualError, match="no such reader of training text: 'alpca'"):
        SOURCES.get("alpca")
