"""The one table of pinned sources: which bytes the benchmarks are, how we know, and whether we could check it."""

from dataclasses import dataclass

from ..errors import UsageError
from ..records import HubSource, UrlSource
from ..text import did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A source that may be downloaded, fixed to its bytes."""

    name: str
    url: str | None
    """None for data sets on the Hugging Face hub."""
    repository: str | None
    """On the Hugging Face hub."""
    revision: str | None
    """The commit, 40 hex digits; None where the sha256 is all there is."""
    sha256: str | None
    """Of the downloaded file; None where the revision is all there is."""
    checked: bool
    """Whether we held the source itself and computed or resolved the value."""
    evidence: str
    """Where the value is from."""


_XQUAD_COMMIT = "7d30520c717524000f0d9d2f9c10a069acd9d285"
_XQUAD_SHA256 = {
    "ar": "abdabd7afed5c635d99cca0f3f0d0c9d9ed0bc77451e963c2e4e0638c29e486d",
    "de": "990b5d746746ed65ed4702ea5f35f99ffa4e2f1c390c07d003642acd937916f9",
    "el": "821cf0f88e73fa258fd2f548b19b6ec39f7025059e16f6f9fc8cd797c9c3663e",
    "en": "e4c57d1c9143aaa1c5d265ba5987a65f4e69528d2a98f29d6e75019b10344f29",
    "es": "dcbae93ec3a9f4b9e78fd834a171d6f96c1a875e10e15b7530b7e4ef4971e37e",
    "hi": "df2cce3532b37e9beb8979704b5c9a4bf874358f105395a298b89427b43b9d24",
    "ro": "94f8d54e93ad2b7dd2e76dd921a666b5b8eff2d4379df9f179c42b445f09643f",
    "ru": "208d5b1aa154c52b1b5c5eda16281e455e8fd198cdb9af3f469f0d6037d973bf",
    "th": "5cdda11d0e1e075f7872abf4e6ae830388ce7f617964d542308e9ae4257e0f43",
    "tr": "92179a564774b7696100d144c1e10870d0a966b6fccbdd254a65b9d2ab1971cc",
    "vi": "f619a1eb11fb42d3ab0834259e488a65f585447ef6154437bfb7199d85161a04",
    "zh": "691d0b3359bc6b8faa8de931dfdfe21d50a65861ae348e32a0d1a0190b0c8835",
}

_XQUAD_HUB = Pin(
    name="XQuAD on the hub",
    url=None,
    repository="google/xquad",
    revision="51adfef1c1287aab1d2d91b5bead9bcfb9c68583",
    sha256=None,
    checked=False,
    evidence="the revision that the mteb package pins for its XQuAD task",
)
_MLQA = Pin(
    name="MLQA archive",
    url="https://dl.fbaipublicfiles.com/MLQA/MLQA_V1.zip",
    repository=None,
    revision=None,
    sha256="246e8089933d13007fe80684d5c5c0713d6834cf8b3b4a0ec7c66f0a0d2baac8",
    checked=False,
    evidence="75,719,050 bytes; the checksum files of TensorFlow Datasets and of Hugging Face datasets agree",
)
_FLORES101 = Pin(
    name="Flores-101 archive",
    url="https://dl.fbaipublicfiles.com/flores101/dataset/flores101_dataset.tar.gz",
    repository=None,
    revision=None,
    sha256="49fa80207b09fcc0eca8253ed13303b3a0ae0f16081af862601c73ac76f2cba6",
    checked=False,
    evidence="one third-party checksum",
)
_XQUAD_FILES = {
    code: Pin(
        name=f"XQuAD {code} on GitHub",
        url=f"https://raw.githubusercontent.com/google-deepmind/xquad/{_XQUAD_COMMIT}/xquad.{code}.json",
        repository=None,
        revision=_XQUAD_COMMIT,
        sha256=sha256,
        checked=True,
        evidence="computed from the file at that commit",
    )
    for code, sha256 in _XQUAD_SHA256.items()
}

PINS: tuple[Pin, ...] = (_XQUAD_HUB, *_XQUAD_FILES.values(), _MLQA, _FLORES101)


def find_pin(url: str) -> Pin | None:
    """Return the pin of the download at `url`, or None for a source of a user's own task."""
    return next((pin for pin in PINS if pin.url == url), None)


def xquad_sources(code: str) -> tuple[HubSource | UrlSource, ...]:
    """Return where the XQuAD file of one of its 12 languages can be had; UsageError for another language.

    The original file comes first: the hub's rows do not say which article a paragraph is of.
    """
    if code not in _XQUAD_FILES:
        raise UsageError(f"XQuAD has no language {code!r}", hint=did_you_mean(code, _XQUAD_FILES))
    hub = HubSource(
        repository=_XQUAD_HUB.repository or "",
        revision=_XQUAD_HUB.revision or "",
        subset=f"xquad.{code}",
        split="validation",
    )
    return _url_source(_XQUAD_FILES[code], None), hub


def mlqa_sources(split: str, context: str, question: str) -> tuple[HubSource | UrlSource, ...]:
    """Return where the MLQA file of a split ("dev" or "test") and a pair of language codes can be had."""
    return (_url_source(_MLQA, f"MLQA_V1/{split}/{split}-context-{context}-question-{question}.json"),)


def flores101_sources(split: str, flores_code: str) -> tuple[HubSource | UrlSource, ...]:
    """Return where the Flores-101 file of a split ("dev" or "devtest") and a language ("zho_simpl") can be had."""
    return (_url_source(_FLORES101, f"flores101_dataset/{split}/{flores_code}.{split}"),)


def _url_source(pin: Pin, member: str | None) -> UrlSource:
    return UrlSource(url=pin.url or "", sha256=pin.sha256, member=member)
