"""GGUF files to safetensors, once, in the user's cache: a GGUF takes about half a minute to load, the copy a second."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from functools import partial
from io import StringIO
from pathlib import Path

from xlingual.data import cache_folder
from xlingual.errors import EnvironmentFault, ModelError, XlingualError

from .sizes import check_parameters
from .weight_headers import read_gguf_header

CONVERTER = "1"
"""Goes up when converted files change, so that older ones are not used."""
MARKER = "COMPLETE"


def converted_folder(gguf: Path, sha256: str) -> Path:
    """Return the folder of a converted file; its name holds the hash of the file, so that no other is taken for it."""
    return cache_folder() / "models" / f"{gguf.stem}-{sha256[:16]}-{CONVERTER}"


def convert_tokenizer(gguf: Path, sha256: str) -> Path:
    """Return a folder with the configuration and the tokenizer of a GGUF file; ModelError if it cannot be read."""

    def make(folder: Path) -> None:
        from transformers import AutoConfig, AutoTokenizer  # noqa: PLC0415 - heavy

        with gguf_errors(gguf):
            AutoConfig.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(folder)
            AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(folder)

    return _make_once(converted_folder(gguf, sha256) / "tokenizer", make)


def convert_weights(gguf: Path, sha256: str) -> Path:
    """Return a folder with the weights of a GGUF file in float32 safetensors; ModelError if it cannot be read.

    The tensors are equal to those that transformers loads from the GGUF itself. Loading it so needs `accelerate`, and
    the model cannot be saved: transformers takes it for a quantized one.
    """

    def make(folder: Path) -> None:
        import torch  # noqa: PLC0415 - heavy
        from transformers import AutoConfig, AutoModelForCausalLM  # noqa: PLC0415 - heavy
        from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint  # noqa: PLC0415 - heavy

        with gguf_errors(gguf):
            # The configuration was converted before; parsing the file again takes seconds.
            config = AutoConfig.from_pretrained(convert_tokenizer(gguf, sha256))
            weights = read_gguf_header(gguf).weights
            check_parameters(partial(AutoModelForCausalLM.from_config, config), weights, gguf.name, packed=False)
            model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
            with redirect_stderr(StringIO()):  # a progress bar that cannot be turned off
                parsed = load_gguf_checkpoint(
                    str(gguf), return_tensors=True, model_to_load=model, torch_dtype=torch.float32
                )
            result = model.load_state_dict(parsed["tensors"], strict=False)
        tied = {"lm_head.weight"} if config.tie_word_embeddings else set()
        if wrong := [*(set(result.missing_keys) - tied), *result.unexpected_keys]:
            raise ModelError(f"tensors do not fit the architecture: {', '.join(sorted(wrong)[:3])}", where=gguf.name)
        model.save_pretrained(folder)

    return _make_once(converted_folder(gguf, sha256) / "weights", make)


@contextmanager
def gguf_errors(gguf: Path) -> Iterator[None]:
    """Turn the errors of parsing a GGUF file into a ModelError that names it."""
    try:
        yield
    except XlingualError:
        raise
    except ImportError as error:
        what = f"GGUF files cannot be read: {error}"
        raise EnvironmentFault(what, where=gguf.name, hint="pip install gguf") from error
    # A file may hold anything, and transformers reads it as if it were well made: struct.error, TypeError, MemoryError.
    except Exception as error:
        raise ModelError(
            f"not a GGUF file that transformers can read: {error}", where=gguf.name, hint="is the download complete?"
        ) from error


def _make_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Return `folder`, made complete or not at all, whatever another process or a kill does meanwhile."""
    if (folder / MARKER).is_file():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".making-", dir=folder.parent, ignore_cleanup_errors=True) as made:
            content = Path(made) / "content"
            content.mkdir()
            make(content)
            (content / MARKER).touch()
            _move(content, folder)
    except OSError as error:
        raise EnvironmentFault(
            f"the converted model cannot be stored: {error.strerror or error}",
            where=str(folder.parent),
            hint="free some space, or name a writable folder in $XLINGUAL_CACHE",
        ) from error
    return folder


def _move(content: Path, folder: Path) -> None:
    try:
        content.rename(folder)
    except OSError:
        if (folder / MARKER).is_file():
            return  # another process was faster, with the same content
        shutil.rmtree(folder, ignore_errors=True)
        content.rename(folder)
