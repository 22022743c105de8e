"""From a published checkpoint to the files that are scored with: safetensors, a tokenizer, and what they are made of.

The weights are written once, as they are in the checkpoint; every later load checks their SHA-256.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from ...decoder.loading import loading_errors, quiet_loading
from ...errors import DataError, ModelError
from ...files import disk_fault, hash_file, pretty_json, replace_whole, require_file, write_atomically
from ...serial import to_json
from .checkpoint import read_checkpoint, read_shape
from .model_record import RECORD, SCHEMA, TOKENIZER, WEIGHTS, CometRecord
from .published import PUBLISHED
from .scorer import Sizes, check_tensors

SENTENCEPIECE = "sentencepiece.bpe.model"
"""In the folder of an encoder, where there is no `tokenizer.json`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """What is to be converted."""

    name: str
    """Of the metric: a key of PUBLISHED."""
    checkpoint: Path
    hparams: Path
    encoder: Path
    """Folder with `config.json` and `tokenizer.json` or `sentencepiece.bpe.model` of the encoder."""
    unpublished: bool = False
    """Whether another checkpoint than the published one is welcome."""


def convert(conversion: Conversion, out: Path) -> CometRecord:
    """Write the converted model into the folder `out` and return its record, which is written last.

    Raises ModelError for a checkpoint that is not the published one, unless it says that it need not be, and for one
    that this scorer would not score as the original does; EnvironmentFault where the disk does not take it.
    """
    model = PUBLISHED[conversion.name]
    require_file(conversion.checkpoint)
    digest = hash_file(conversion.checkpoint)
    published = digest == model.checkpoint.sha256
    if not published and not conversion.unpublished:
        what = f"its SHA-256 is {digest[:8]}..., that of {model.repository} is {(model.checkpoint.sha256 or '')[:8]}..."
        hint = "--unpublished converts it all the same; its scores then say so"
        raise ModelError(what, where=str(conversion.checkpoint), hint=hint)
    checkpoint = read_checkpoint(conversion.checkpoint, conversion.hparams)
    if checkpoint.unified != model.unified:
        kind = "unified_metric" if model.unified else "regression_metric"
        raise ModelError(f"{model.name} is a {kind}", where=str(conversion.hparams))
    shape = read_shape(conversion.encoder / "config.json", checkpoint.tensors)
    sizes = Sizes(shape, unified=checkpoint.unified, hidden=checkpoint.hidden_sizes)
    check_tensors(checkpoint.tensors, sizes, str(conversion.checkpoint))
    tokenizer = _read_tokenizer(conversion.encoder)
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / RECORD).unlink(missing_ok=True)
        weights = _write_tensors(out / WEIGHTS, checkpoint.tensors)
        with replace_whole(out / TOKENIZER) as stream:
            stream.write(tokenizer)
    except OSError as error:
        raise disk_fault(error, out) from error
    record = CometRecord(
        schema=SCHEMA,
        name=model.name,
        unified=checkpoint.unified,
        encoder=shape,
        transformation=checkpoint.transformation,
        layer_norm=checkpoint.layer_norm,
        hidden_sizes=checkpoint.hidden_sizes,
        activation=checkpoint.activation,
        final_activation=checkpoint.final_activation,
        repository=model.repository if published else None,
        revision=model.revision if published else None,
        checkpoint_sha256=digest,
        licence=model.licence if published else None,
        weights_sha256=weights,
        weights_bytes=(out / WEIGHTS).stat().st_size,
        tokenizer_sha256=hashlib.sha256(tokenizer).hexdigest(),
    )
    write_atomically(out / RECORD, pretty_json(to_json(record)))
    return record


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write the weights whole or not at all and return their SHA-256; OSError where the disk does not take them."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary)
        except SafetensorError as error:
            raise OSError(str(error)) from error
        digest = hash_file(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return digest


def _read_tokenizer(folder: Path) -> bytes:
    """Return the tokenizer as `tokenizer.json` holds it, made of the SentencePiece model where there is none."""
    path = folder / TOKENIZER
    if path.is_file():
        return path.read_bytes()
    if not (folder / SENTENCEPIECE).is_file():
        raise DataError(f"holds neither {TOKENIZER} nor {SENTENCEPIECE}", where=str(folder))
    from transformers import XLMRobertaTokenizer  # noqa: PLC0415 - slow to import

    with loading_errors(str(folder)), quiet_loading():
        return str(XLMRobertaTokenizer.from_pretrained(folder).backend_tokenizer.to_str()).encode("utf-8")
