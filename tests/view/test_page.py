"""The file: what it may do, what strangers may write into it, and the same bytes for the same runs."""

import base64
import dataclasses
import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest

from xlingual.view import document
from xlingual.view.document import BODY, SCRIPTS, STYLE, escape_json, script_text

from ..board.factory import make_run
from ..board.hostile import HOSTILE
from .runs import make_rows, put_run, put_runs, read_page, view_runs

PAGE = Path(document.__file__).with_name("page")
TEXTS = (
    *HOSTILE,
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "a\u2028b\u2029c",
    "half \udfff\ud800 pairs",
    "\u202e\u2066\u2069",
    "\x00\x1b[31m\x7f",
    "الجواب ١٢ (abc)",
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put_runs(tmp_path_factory.mktemp("view") / "runs")


def test_the_policy_comes_first_and_allows_our_script_and_style_only(runs: Path, tmp_path: Path) -> None:
    _, page = view_runs(runs, tmp_path / "view.html")
    assert [tag for tag, _ in page.tags[:3]] == ["html", "head", "meta"]
    policy = page.tags[2][1]
    assert policy["http-equiv"] == "Content-Security-Policy"
    words = dict(part.strip().split(" ", 1) for part in str(policy["content"]).split(";"))

    def allowed(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    assert words["default-src"] == "'none'"
    assert words["script-src"] == allowed(page.texts[""])
    assert words["style-src"] == allowed(page.texts["style"])
    assert words["require-trusted-types-for"] == "'script'"
    assert {words["base-uri"], words["form-action"], words["trusted-types"]} == {"'none'"}
    assert [each for tag, each in page.tags if tag == "script" and "type" not in each] == [{}], "one script runs"
    assert {each.get("type") for tag, each in page.tags if tag == "script"} == {None, "text/plain"}


def test_the_page_fetches_nothing_and_says_that_it_is_not_for_training(runs: Path, tmp_path: Path) -> None:
    _, page = view_runs(runs, tmp_path / "view.html")
    attributes = [(tag, name) for tag, found in page.tags for name in found]
    assert not [
        each for each in attributes if each[1] in ("src", "href", "srcset", "style", "action") or each[1][:2] == "on"
    ]
    assert ("meta", {"name": "robots", "content": "noindex"}) in page.tags
    assert any(found.get("name") == "canary" for _, found in page.tags)
    code = script_text() + (PAGE / STYLE).read_text(encoding="utf-8")
    assert not re.search(r"https?://|@import|url\(|XMLHttpRequest|WebSocket|sendBeacon|\bfetch\(|import\(", code)


def test_no_text_is_ever_parsed_as_markup() -> None:
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|srcdoc|DOMParser"
        r"|createContextual|setHTML|setTimeout\(\s*[\"'`]|setAttribute\(\s*[\"']on"
    )
    for name in SCRIPTS:
        assert not forbidden.search((PAGE / name).read_text(encoding="utf-8")), name
    assert not re.search("</script|<!--|</style", script_text() + (PAGE / STYLE).read_text(encoding="utf-8"))
    assert {path.name for path in PAGE.iterdir()} == {*SCRIPTS, STYLE, BODY}, "every file is part of the page"


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_no_text_breaks_out_of_its_block(text: str, tmp_path: Path) -> None:
    record = make_run("x", "xquad/ar", 50.0)
    model = dataclasses.replace(record.model, name=text, word=text, revision=text, dtype=text, parent=text)
    rows = make_rows([text, None], template=text, thinking=text, scored=text)
    rows[0] |= {"id": text, "targets": [text], "cluster": text}
    rows[1]["failure"] = {"kind": text, "message": text}
    put_run(tmp_path / "runs" / "a", dataclasses.replace(record, model=model), rows)
    put_run(tmp_path / "runs" / "b", make_run("y", "xquad/ar", 50.0), make_rows(["yes", "no"]))
    (tmp_path / "runs" / "c").mkdir()
    (tmp_path / "runs" / "c" / "results.json").write_text(escape_json({"schema": text}), encoding="utf-8")
    _, page = view_runs(tmp_path / "runs", tmp_path / "view.html")
    _, plain = view_runs(tmp_path / "runs" / "b", tmp_path / "plain.html")
    assert [tag for tag, _ in page.tags if tag != "script"] == [tag for tag, _ in plain.tags if tag != "script"]
    assert re.fullmatch(r"[ !#-%'-;=?-~\"]*", page.texts["index"]), "ASCII that can be seen, and no < > &"
    number = next(at for at, run in enumerate(page.index["runs"]) if run["where"] == "runs/a/results.json")
    own = page.chunk(f"o{number}-0")
    seen = (
        text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\ud800", "�").replace("\udfff", "�")
    )
    answers = own.get("answer", ["", ""])
    assert isinstance(answers, list)
    assert seen in answers


def test_the_page_in_docs_is_of_five_models_on_the_packaged_sample() -> None:
    path = Path(__file__).parents[2] / "docs" / "sample-board.html"
    page = read_page(path)
    assert path.stat().st_size < 700_000
    assert all(table["sample"] for table in page.index["tables"]), "benchmarks are not ours to publish"
    for table in page.index["tables"]:
        rows = {row["model"]: row for row in table["rows"]}
        assert len([row for row in rows.values() if row["control"] is None and not row["notes"]]) == 5
        assert {row["control"] for row in rows.values()} == {None, "floor", "copy", "ceiling"}
        assert rows["scripted-smollm2-first-sentence"]["remark"] == "answers from a file"
        assert table["licences"] == ["Apache-2.0"]
    texts = [page.texts["index"], *(json.dumps(page.chunk(name)) for kind in "trso" for name in page.names(kind))]
    assert not re.search(r"[\"' ]/(home|root|tmp|work|Users)/", "".join(texts))


def test_the_same_runs_give_the_same_bytes_wherever_they_lie(runs: Path, tmp_path: Path) -> None:
    view_runs(runs, tmp_path / "first.html")
    shutil.copytree(runs, tmp_path / "elsewhere" / "runs")
    view_runs(tmp_path / "elsewhere" / "runs", tmp_path / "second.html")
    assert (tmp_path / "first.html").read_bytes() == (tmp_path / "second.html").read_bytes()


def test_a_page_replaces_an_older_one_whole(runs: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "view.html"
    summary, _ = view_runs(runs, target)
    assert summary.size == target.stat().st_size
    assert [path.name for path in target.parent.iterdir()] == ["view.html"]
