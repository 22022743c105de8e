"""Where data files come from: folder, sample, cache and downloads from a real server on this machine."""

import hashlib
import io
import logging
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

from xlingual.data import cache_folder, download, locate, mlqa_sources, xquad_sources
from xlingual.data.cache import safe_path
from xlingual.data.download import download_url
from xlingual.errors import DataError, EnvironmentFault, UsageError
from xlingual.plugin import DataSource
from xlingual.plugin_files import plugin_folders
from xlingual.records import DatasetRef, HubSource, Origin, UrlSource

from .conftest import Server

ANYWHERE = DataSource(folder=None, sample=False, offline=False)
OFFLINE = DataSource(folder=None, sample=False, offline=True)
SAMPLE = DataSource(folder=None, sample=True, offline=False)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def ref(*remotes: HubSource | UrlSource, candidates: tuple[str, ...] = ("b/a.txt", "a.txt")) -> DatasetRef:
    return DatasetRef(name="b/a.txt", candidates=candidates, sample=None, remotes=remotes)


def url_source(server: Server, path: str, pin: str | None = None, member: str | None = None) -> UrlSource:
    return UrlSource(url=server.url + path, sha256=pin, member=member)


def zipped(members: dict[str, bytes], *, link: str = "") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            information = zipfile.ZipInfo(name)
            information.external_attr = (0o120777 if name == link else 0o100644) << 16
            archive.writestr(information, content)
    return stream.getvalue()


def tarred(members: dict[str, bytes], *, link: str = "") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in members.items():
            information = tarfile.TarInfo(name)
            information.size = 0 if name == link else len(content)
            if name == link:
                information.type, information.linkname = tarfile.SYMTYPE, "/etc/hostname"
            archive.addfile(information, io.BytesIO(content))
    return stream.getvalue()


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_first_candidate_in_the_folder_wins(tmp_path: Path) -> None:
    place = DataSource(folder=tmp_path, sample=False, offline=False)
    (tmp_path / "a.txt").write_bytes(b"second")
    assert locate(ref(), place).path == str(tmp_path / "a.txt")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "a.txt").write_bytes(b"first")
    found = locate(ref(), place)
    assert (found.path, found.origin, found.revision) == (str(tmp_path / "b" / "a.txt"), Origin.LOCAL, None)
    assert (found.sha256, found.name) == (sha256(b"first"), "b/a.txt")


def test_folder_is_never_completed_from_elsewhere(tmp_path: Path, server: Server, cache: Path) -> None:
    server.files["/a.txt"] = b"x"
    source = url_source(server, "/a.txt", sha256(b"x"))
    locate(ref(source), ANYWHERE)
    (tmp_path / "data").mkdir()
    with pytest.raises(DataError) as caught:
        locate(ref(source), DataSource(folder=tmp_path / "data", sample=False, offline=False))
    assert caught.value.exit_code == 3
    assert all(str(tmp_path / "data" / name) in str(caught.value) for name in ("b/a.txt", "a.txt"))
    assert "leave --data out" in caught.value.hint


def test_folder_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        locate(ref(), DataSource(folder=tmp_path / "nowhere", sample=False, offline=False))


@pytest.mark.parametrize("name", ["../a.txt", "/etc/passwd", "b/../../a", "C:/a", "b\\..\\a", "", "a\0b"])
def test_paths_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="leads out of its folder"):
        safe_path(tmp_path, name)


def test_sample_is_found_in_a_plugin_folder_and_nowhere_else(tmp_path: Path) -> None:
    packaged = plugin_folders("tasks")[0] / "sample"
    path = next(path for path in sorted(packaged.rglob("*")) if path.is_file())
    name = path.relative_to(packaged).as_posix()
    (tmp_path / "a.txt").write_bytes(b"x")
    wanted = DatasetRef(name="s", candidates=("a.txt",), sample=name, remotes=())
    found = locate(wanted, DataSource(folder=tmp_path, sample=True, offline=False))
    assert (found.origin, found.path, found.sha256) == (Origin.SAMPLE, str(path), sha256(path.read_bytes()))
    for sample in (None, "no/such.json"):
        absent = DatasetRef(name="s", candidates=("a.txt",), sample=sample, remotes=())
        with pytest.raises(DataError, match="the packaged sample has no such file"):
            locate(absent, SAMPLE)


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"XLINGUAL_CACHE": "/x", "XDG_CACHE_HOME": "/y"}, Path("/x")),
        ({"XDG_CACHE_HOME": "/y"}, Path("/y/xlingual")),
        ({"HOME": "/h"}, Path("/h/.cache/xlingual")),
    ],
)
def test_cache_folder(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], folder: Path) -> None:
    for name in ("XLINGUAL_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == folder


def test_download_is_cached_and_asked_for_once(server: Server, cache: Path) -> None:
    server.files["/a.txt"] = b"hello\n"
    source = url_source(server, "/a.txt", sha256(b"hello\n"))
    first, second, third = (locate(ref(source), place) for place in (ANYWHERE, ANYWHERE, OFFLINE))
    assert (first.origin, second.origin, third.origin) == (Origin.URL, Origin.CACHE, Origin.CACHE)
    assert first.path == second.path == third.path
    assert first.revision == first.sha256 == sha256(b"hello\n")
    assert Path(first.path).read_bytes() == b"hello\n"
    assert Path(first.path).is_relative_to(cache)
    assert server.requests == ["/a.txt"]
    assert leftovers(cache) == ["a.txt", "a.txt.sha256"]


def test_wrong_hash_is_refused_and_not_kept(server: Server, cache: Path) -> None:
    server.files["/a.txt"] = b"other"
    with pytest.raises(DataError) as caught:
        locate(ref(url_source(server, "/a.txt", "0" * 64)), ANYWHERE)
    assert f"sha256 is {sha256(b'other')}, expected {'0' * 64}" in str(caught.value)
    assert leftovers(cache) == []


def test_wrong_hash_says_where_the_pin_could_never_be_checked(cache: Path) -> None:
    """The message only: a pinned https address cannot be served from here."""
    for source, says in ((mlqa_sources("dev", "en", "en")[0], True), (xquad_sources("ar")[0], False)):
        assert isinstance(source, UrlSource)
        error = download._mismatch(source, "1" * 64, "2" * 64)
        assert ("could never be verified by the maintainers" in str(error)) is says


def test_truncated_download_is_refused_and_not_kept(server: Server, cache: Path) -> None:
    server.files["/a.txt"] = b"0123456789"
    server.truncated.add("/a.txt")
    with pytest.raises(EnvironmentFault, match="the connection ended after 10 of 60 bytes"):
        locate(ref(url_source(server, "/a.txt")), ANYWHERE)
    assert leftovers(cache) == []


def test_every_remote_that_fails_is_named_with_the_way_out(server: Server, cache: Path) -> None:
    sources = (url_source(server, "/a.txt"), UrlSource(url="http://127.0.0.1:9/b", sha256=None, member=None))
    with pytest.raises(EnvironmentFault) as caught:
        locate(ref(*sources), ANYWHERE)
    assert caught.value.exit_code == 5
    assert f"{server.url}/a.txt: the server said 404 Not Found" in str(caught.value)
    assert "http://127.0.0.1:9/b: [Errno 111] Connection refused" in str(caught.value)
    assert "--data DIR that holds DIR/b/a.txt or DIR/a.txt" in caught.value.hint


def test_second_remote_is_tried_after_the_first_fails(server: Server, cache: Path) -> None:
    server.files["/b.txt"] = b"b"
    found = locate(ref(url_source(server, "/a.txt"), url_source(server, "/b.txt")), ANYWHERE)
    assert Path(found.path).name == "b.txt"
    assert server.requests == ["/a.txt", "/b.txt"]


@pytest.mark.parametrize("variable", [False, True], ids=["place", "HF_HUB_OFFLINE"])
def test_offline_asks_nobody(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch, variable: bool) -> None:
    server.files["/a.txt"] = b"a"
    if variable:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(EnvironmentFault, match="offline: no download"):
        locate(ref(url_source(server, "/a.txt")), ANYWHERE if variable else OFFLINE)
    assert server.requests == []


def test_hub_that_cannot_be_reached_fails_in_seconds(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    start = time.monotonic()
    with pytest.raises(EnvironmentFault, match="Connection refused"):
        locate(ref(xquad_sources("ar")[1]), ANYWHERE)
    assert time.monotonic() - start < 5


def test_hub_revision_must_be_a_commit(cache: Path) -> None:
    source = HubSource(repository="a/b", revision="main", subset="s", split="test")
    with pytest.raises(DataError, match="the revision 'main' is not a commit"):
        locate(ref(source), ANYWHERE)


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/a"])
def test_other_schemes_are_refused(cache: Path, url: str) -> None:
    with pytest.raises(DataError, match="only http and https"):
        download_url(UrlSource(url=url, sha256=None, member=None))


def test_download_without_a_pin_must_stay_what_it_first_was(server: Server, cache: Path) -> None:
    server.files["/a.txt"] = b"first"
    source = url_source(server, "/a.txt")
    found = locate(ref(source), ANYWHERE)
    assert found.revision == sha256(b"first")
    Path(found.path).unlink()
    server.files["/a.txt"] = b"second"
    with pytest.raises(DataError, match="that of the first download") as caught:
        locate(ref(source), ANYWHERE)
    assert f"delete {found.path}.sha256 to accept it" in caught.value.hint
    server.files["/a.txt"] = b"first"
    assert locate(ref(source), ANYWHERE).sha256 == sha256(b"first")


@pytest.mark.parametrize("pinned", [True, False])
def test_damaged_cache_file_is_a_reported_miss(
    server: Server, cache: Path, caplog: pytest.LogCaptureFixture, pinned: bool
) -> None:
    server.files["/a.txt"] = b"good"
    source = url_source(server, "/a.txt", sha256(b"good") if pinned else None)
    path = Path(locate(ref(source), ANYWHERE).path)
    path.write_bytes(b"gooe")
    with caplog.at_level(logging.WARNING, "xlingual"):
        found = locate(ref(source), ANYWHERE)
    assert (found.origin, path.read_bytes()) == (Origin.URL, b"good")
    assert ["fetched anew" in record.getMessage() for record in caplog.records] == [True]
    (aside,) = path.parent.glob("a.txt.corrupt-*")
    assert aside.read_bytes() == b"gooe"


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_members_come_from_one_download(server: Server, cache: Path, pack: type) -> None:
    content = pack({"d/one.txt": b"1", "d/two.txt": b"2", "../evil.txt": b"!", "/abs.txt": b"!"})
    server.files["/archive"] = content
    one, two = (
        locate(ref(url_source(server, "/archive", sha256(content), member)), ANYWHERE)
        for member in ("d/one.txt", "d/two.txt")
    )
    assert [Path(found.path).read_bytes() for found in (one, two)] == [b"1", b"2"]
    assert (one.origin, two.origin, one.sha256) == (Origin.URL, Origin.CACHE, sha256(b"1"))
    assert one.revision == two.revision == sha256(content)
    assert server.requests == ["/archive"]
    expected = ["archive", "archive.sha256", "one.txt", "one.txt.sha256", "two.txt", "two.txt.sha256"]
    assert leftovers(cache.parent) == expected
    Path(one.path).write_bytes(b"?")
    again = locate(ref(url_source(server, "/archive", sha256(content), "d/one.txt")), OFFLINE)
    assert again.sha256 == sha256(b"1")


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize(
    ("member", "message"),
    [
        ("../evil.txt", "leads out of its folder"),
        ("d/link.txt", "is not a regular file"),
        ("d/three.txt", "the archive has no such member"),
    ],
)
def test_bad_members_are_refused(server: Server, cache: Path, pack: type, member: str, message: str) -> None:
    content = pack({"d/one.txt": b"1", "../evil.txt": b"!", "d/link.txt": b"/etc/hostname"}, link="d/link.txt")
    server.files["/archive"] = content
    with pytest.raises(DataError, match=message):
        locate(ref(url_source(server, "/archive", None, member)), ANYWHERE)
    assert not [name for name in leftovers(cache.parent) if not name.startswith("archive")]


@pytest.mark.parametrize("damage", [lambda data: b"not an archive", lambda data: data[: len(data) // 2]])
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_damaged_archives_are_refused(server: Server, cache: Path, pack: type, damage: type) -> None:
    server.files["/archive"] = damage(pack({"d/one.txt": bytes(range(256)) * 400}))
    with pytest.raises(DataError, match="cannot be unpacked"):
        locate(ref(url_source(server, "/archive", None, "d/one.txt")), ANYWHERE)


def test_cache_that_cannot_be_written_is_named(server: Server, cache: Path) -> None:
    server.files["/a.txt"] = b"a"
    cache.write_bytes(b"a file where the folder should be")
    with pytest.raises(EnvironmentFault, match="cannot be written") as caught:
        download_url(url_source(server, "/a.txt"))
    assert str(cache) in str(caught.value)
    assert "XLINGUAL_CACHE" in caught.value.hint
