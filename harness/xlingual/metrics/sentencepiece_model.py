"""Where the SentencePiece models of spBLEU lie, whether they are what they should be, and how to fetch them.

A model is looked for in $XLINGUAL_SPM_DIR, then where sacrebleu keeps it, so that neither needs a second copy. Nothing
is ever fetched but by `fetch_model`. A fetched file is written whole or not at all, and its SHA-256 is kept in a
sidecar `FILE.sha256` that every later use must agree with.
"""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import EnvironmentFault, UsageError
from ..files import replace_whole
from ..files.network import stream_url
from ..text import did_you_mean

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor

LARGEST_BYTES = 64 * 2**20
"""Beyond this a download is no such model: the real ones have 1 and 5 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentencePieceModel:
    """A published SentencePiece model."""

    name: str
    """sacrebleu's name of the tokenizer."""
    url: str
    file: str
    """The name that sacrebleu gives the file."""
    sha256: str | None
    """Of the file; None: nobody published it, so that the first download sets it."""
    checked: bool
    """Whether we compared `sha256` with a download; if not, it binds downloads but not files that a user put there."""


MODELS = {
    model.name: model
    for model in (
        SentencePieceModel(
            name="flores101",
            url="https://dl.fbaipublicfiles.com/fairseq/models/flores/sacrebleu_tokenizer_spm.model",
            file="sacrebleu_tokenizer_spm.model",
            sha256=None,
            checked=False,
        ),
        SentencePieceModel(
            name="flores200",
            url="https://dl.fbaipublicfiles.com/large_objects/nllb/models/spm_200/flores200_sacrebleu_tokenizer_spm.model",
            file="flores200sacrebleuspm",
            sha256="14bb8dfb35c0ffdea7bc01e56cea38b9e3d5efcdcb9c251d6b40538e1aab555a",
            checked=False,
        ),
    )
}
"""The models by name."""


def find_model(name: str) -> Path | None:
    """Return the file of the model `name`, or None where there is none or an empty one; UsageError for other names."""
    model = _known(name)
    for folder in _folders():
        path = folder / model.file
        if path.is_file() and path.stat().st_size > 0:
            return path
    return None


def find_model_fault(name: str) -> str | None:
    """Return why the model `name` cannot be used here, or None."""
    model, path = _known(name), find_model(name)
    if path is None:
        return f"the SentencePiece model {name} is not on this machine"
    expected = _stored_digest(path) or (model.sha256 if model.checked else None)
    if expected is not None and model_digest(path) != expected:
        return f"{path} has changed: its SHA-256 is {model_digest(path)[:8]}..., not {expected[:8]}..."
    return _find_load_fault(path, path.stat().st_mtime_ns)


def fetch_model(name: str) -> Path:
    """Return the file of the model `name`, downloaded from its official address unless a sound one is here.

    Raises EnvironmentFault without a network, for a file that is not the expected one, and where it cannot be written.
    """
    model, present = _known(name), find_model(name)
    if present is not None and find_model_fault(name) is None:
        return present
    return download_model(model, present.parent if present else _folders()[0])


def download_model(model: SentencePieceModel, folder: Path) -> Path:
    """Download `model` into `folder` with its SHA-256 beside it; EnvironmentFault as for `fetch_model`."""
    path = folder / model.file
    content = _read_url(model)
    digest = hashlib.sha256(content).hexdigest()
    expected = (_stored_digest(path) if path.parent.is_dir() else None) or model.sha256
    if expected is not None and digest != expected:
        raise EnvironmentFault(
            f"the download has SHA-256 {digest}, expected {expected}",
            where=model.url,
            hint=f"if you trust another copy, put it at {path} yourself" + _sidecar_hint(path),
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_sound_model(path, content, model.url)
        with replace_whole(_sidecar(path)) as note:
            note.write(f"{digest}  {path.name}\n".encode())
    except OSError as error:
        raise EnvironmentFault(
            f"cannot be written: {error.strerror or error}",
            where=str(path),
            hint="set $XLINGUAL_SPM_DIR to a folder that can be written to",
        ) from error
    return path


def model_digest(path: Path) -> str:
    """Return the SHA-256 of the file at `path`, 64 hex digits, read again only after it changed."""
    status = path.stat()
    return _digest(path, status.st_mtime_ns, status.st_size)


def load_processor(path: Path) -> "SentencePieceProcessor":
    """Load the SentencePiece model at `path`; EnvironmentFault if it is none."""
    # A native package, needed for spBLEU only.
    from sentencepiece import SentencePieceProcessor  # noqa: PLC0415

    try:
        # From bytes, because the library writes to standard error when it cannot open a file.
        return SentencePieceProcessor(model_proto=path.read_bytes())
    except (RuntimeError, OSError, TypeError) as error:
        raise EnvironmentFault(
            "is not a SentencePiece model", where=str(path), hint="remove it and run xlingual doctor --fetch-spm"
        ) from error


def _known(name: str) -> SentencePieceModel:
    if name not in MODELS:
        raise UsageError(f"no such SentencePiece model: {name!r}", hint=did_you_mean(name, MODELS))
    return MODELS[name]


def _folders() -> list[Path]:
    own = os.environ.get("XLINGUAL_SPM_DIR")
    sacrebleu = os.environ.get("SACREBLEU") or "~/.sacrebleu"
    return [*([Path(own).expanduser()] if own else []), Path(sacrebleu).expanduser() / "models"]


def _sidecar(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _sidecar_hint(path: Path) -> str:
    return f" and remove {_sidecar(path)}" if _sidecar(path).exists() else ""


def _stored_digest(path: Path) -> str | None:
    try:
        words = _sidecar(path).read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return None
    return words[0].lower() if words else None


@lru_cache(maxsize=8)
def _digest(path: Path, _changed: int, _size: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@lru_cache(maxsize=8)
def _find_load_fault(path: Path, _changed: int) -> str | None:
    try:
        load_processor(path)
    except EnvironmentFault as fault:
        return str(fault)
    return None


def _read_url(model: SentencePieceModel) -> bytes:
    content = bytearray()
    try:
        for block in stream_url(model.url):
            content += block
            if len(content) > LARGEST_BYTES:
                raise EnvironmentFault(f"the file has more than {LARGEST_BYTES:,} bytes", where=model.url)
    except EnvironmentFault as fault:
        hint = f"on a machine with a network, save it as {model.file} in a folder that $XLINGUAL_SPM_DIR names here"
        raise EnvironmentFault(f"cannot be downloaded: {fault.what}", where=model.url, hint=hint) from fault
    return bytes(content)


def _write_sound_model(path: Path, content: bytes, url: str) -> None:
    """Put `content` at `path` once SentencePiece could load it: a proxy's error page must not become the model."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        trial = Path(folder) / path.name
        trial.write_bytes(content)
        try:
            load_processor(trial)
        except EnvironmentFault as fault:
            raise EnvironmentFault(
                "what came back is not a SentencePiece model",
                where=url,
                hint="a proxy or sign-in page may have answered in its place",
            ) from fault
    with replace_whole(path) as stream:
        stream.write(content)
