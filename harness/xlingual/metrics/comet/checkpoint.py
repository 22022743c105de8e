"""A COMET checkpoint of PyTorch Lightning: its settings and tensors, read without running anything that it holds."""

import pickle
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from zipfile import BadZipFile, is_zipfile

import torch
from torch import Tensor

from ...decoder.loading import is_out_of_memory, memory_faults
from ...errors import DataError, ModelError
from ...files import read_json_object, read_text, require_file
from .model_record import ACTIVATIONS, EncoderShape

_INERT = ("pytorch_lightning.", "lightning.", "lightning_fabric.", "comet.", "omegaconf.")
"""Begin names of classes that a checkpoint's book-keeping may name; an empty class stands in for each."""
_SCORED = ("encoder.model.", "layerwise_attention.", "estimator.")
"""Begin names of tensors that scores depend on; the original reads nothing else, and passes over what else there is."""
_IGNORED = ("layerwise_attention.dropout_", "encoder.model.embeddings.position_ids", "encoder.model.pooler.")
"""Begin those of them that matter in training only."""
_DEFAULTS: Mapping[str, Mapping[str, object]] = {
    "regression_metric": {
        "encoder_model": "XLM-RoBERTa",
        "layer": "mix",
        "layer_norm": True,
        "layer_transformation": "softmax",
        "pool": "avg",
        "hidden_sizes": [3072, 1024],
        "activations": "Tanh",
        "final_activation": None,
    },
    "unified_metric": {
        "encoder_model": "XLM-RoBERTa",
        "sent_layer": "mix",
        "layer_norm": True,
        "layer_transformation": "sparsemax",
        "input_segments": ["mt", "src", "ref"],
        "hidden_sizes": [3072, 1024],
        "activations": "Tanh",
        "final_activation": None,
    },
}
"""What the original takes for a setting that a checkpoint does not name, by its class."""
_SOFTMAX_PATCH = "sparsemax_patch"
"""In `hparams.yaml`: the model was trained with softmax, whatever its checkpoint says."""
_UNREADABLE = (
    pickle.UnpicklingError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
    BadZipFile,
)
"""What torch raises about a file that is damaged or none of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CometCheckpoint:
    """What is used of a checkpoint."""

    unified: bool
    transformation: str
    layer_norm: bool
    hidden_sizes: tuple[int, ...]
    activation: str
    final_activation: str | None
    tensors: Mapping[str, Tensor]
    """By the names that a CometScorer reads."""


class _Inert:
    """Stands for a class of another package that a checkpoint names."""

    def __init__(self, *_arguments: object) -> None:
        """Take whatever the class took."""


def read_checkpoint(path: Path, hparams: Path) -> CometCheckpoint:
    """Read the checkpoint at `path` and the `hparams.yaml` that was published with it.

    Raises ModelError for a checkpoint of another kind, for settings that are not implemented here, and for a file
    that would run code.
    """
    stated = _read_yaml(hparams)
    kind = stated.get("class_identifier")
    if kind not in ("regression_metric", "unified_metric"):
        what = f"class_identifier is {kind!r}, not regression_metric or unified_metric"
        raise ModelError(what, where=str(hparams))
    content = _load(path)
    settings, state = content.get("hyper_parameters"), content.get("state_dict")
    if not isinstance(settings, dict) or not isinstance(state, dict):
        what = "is no checkpoint of PyTorch Lightning: hyper_parameters or state_dict is missing"
        raise ModelError(what, where=str(path))
    if not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError("state_dict holds something that is no tensor", where=str(path))
    settings = {**_DEFAULTS[kind], **settings}
    _refuse(settings, unified=kind == "unified_metric", where=str(path))
    patched = stated.get("layer_transformation") == _SOFTMAX_PATCH
    is_sparse = settings["layer_transformation"] == "sparsemax" and not patched
    sizes, final = settings["hidden_sizes"], settings["final_activation"]
    return CometCheckpoint(
        unified=kind == "unified_metric",
        transformation="sparsemax" if is_sparse else "softmax",
        layer_norm=settings["layer_norm"] is True,
        hidden_sizes=tuple(cast(list[int], sizes)),
        activation=str(settings["activations"]).lower(),
        final_activation=None if final is None else str(final).lower(),
        tensors=_named(cast(Mapping[str, Tensor], state), str(path)),
    )


def _refuse(settings: Mapping[str, object], *, unified: bool, where: str) -> None:
    """Raise ModelError for settings that would give another score than the original's."""
    layer = "sent_layer" if unified else "layer"
    wanted: list[tuple[str, object, tuple[object, ...]]] = [
        ("encoder_model", settings["encoder_model"], ("XLM-RoBERTa",)),
        (layer, settings[layer], ("mix",)),
        ("layer_norm", settings["layer_norm"], (True, False)),
    ]
    if unified:
        segments = settings["input_segments"]
        named = tuple(segments) if isinstance(segments, list) else segments
        wanted.append(("input_segments", named, (("mt", "src"),)))
    else:
        wanted.append(("pool", settings["pool"], ("avg",)))
    for name, value, possible in wanted:
        if value not in possible:
            hint = f"implemented: {', '.join(map(str, possible))}"
            raise ModelError(f"hyper_parameters.{name} is {value!r}", where=where, hint=hint)
    sizes = settings["hidden_sizes"]
    if not isinstance(sizes, list) or not sizes or not all(type(size) is int for size in sizes):
        raise ModelError(f"hyper_parameters.hidden_sizes must be a list of numbers, got {sizes!r}", where=where)
    for name in ("activations", "final_activation"):
        value = settings[name]
        if str(value).lower() not in ACTIVATIONS and not (value is None and name == "final_activation"):
            hint = f"implemented: {', '.join(ACTIVATIONS)}"
            raise ModelError(f"hyper_parameters.{name} is {value!r}", where=where, hint=hint)


def _load(path: Path) -> Mapping[str, object]:
    """Return what the file holds; nothing in it is run: unknown classes of its trainer are empty ones here."""
    require_file(path)
    hint = "only tensors and plain values are read"
    with memory_faults("the memory does not hold the checkpoint", where=str(path), hint="use a larger machine"):
        try:
            zipped = is_zipfile(path)
            named = torch.serialization.get_unsafe_globals_in_checkpoint(path) if zipped else []
            if foreign := [name for name in named if not name.startswith(_INERT)]:
                raise ModelError(f"would run code: {foreign[0]}", where=str(path), hint=hint)
            inert: list[Callable[..., object] | tuple[Callable[..., object], str]] = [
                (type("Inert", (_Inert,), {}), name) for name in named
            ]
            with torch.serialization.safe_globals(inert), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it warns of files that it then refuses
                content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
        except _UNREADABLE as error:
            if is_out_of_memory(error):
                raise
            reason = " ".join(str(error).split())[:200]
            raise ModelError(f"is no checkpoint that can be read: {reason}", where=str(path), hint=hint) from error
    if not isinstance(content, dict):
        raise ModelError(f"holds {type(content).__name__}, not a dict", where=str(path))
    return cast(Mapping[str, object], content)


def _named(state: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Return the tensors by our names; ModelError for those that we do not know, which could change a score."""
    found: dict[str, Tensor] = {}
    scalars: dict[int, Tensor] = {}
    for name, tensor in state.items():
        if name.startswith(_IGNORED) or not name.startswith(_SCORED):
            continue
        rest = name.partition(".")[2]
        if name.startswith("encoder.model."):
            found[f"encoder.{name.removeprefix('encoder.model.')}"] = tensor
        elif name.startswith("layerwise_attention.scalar_parameters.") and rest.rpartition(".")[2].isdigit():
            scalars[int(rest.rpartition(".")[2])] = tensor
        elif name == "layerwise_attention.gamma":
            found["mix.gamma"] = tensor
        elif name.startswith("estimator.ff.") and name.split(".")[2].isdigit():
            # A linear layer, its activation and its dropout are numbered.
            place, _, part = rest.removeprefix("ff.").partition(".")
            found[f"estimator.{int(place) // 3}.{part}"] = tensor
        else:
            raise ModelError(f"the tensor {name} is not known", where=where)
    if scalars:
        found["mix.scalars"] = torch.cat([scalars[place].reshape(1) for place in sorted(scalars)])
    return found


def read_shape(config: Path, tensors: Mapping[str, Tensor]) -> EncoderShape:
    """Return the sizes of the encoder, by its `config.json` and the tensors; DataError where they do not fit."""
    content = read_json_object(config)
    numbers = {}
    for name in ("num_hidden_layers", "num_attention_heads", "pad_token_id"):
        value = content.get(name)
        if type(value) is not int or value < 0:
            raise DataError(f"field {name!r} must be a whole number, got {value!r}", where=str(config))
        numbers[name] = value
    epsilon = content.get("layer_norm_eps", 1e-12)
    if content.get("hidden_act", "gelu") != "gelu" or not isinstance(epsilon, float):
        raise DataError("hidden_act must be gelu and layer_norm_eps a number", where=str(config))
    words = tensors.get("encoder.embeddings.word_embeddings.weight")
    places = tensors.get("encoder.embeddings.position_embeddings.weight")
    wide = tensors.get("encoder.encoder.layer.0.intermediate.dense.weight")
    if words is None or places is None or wide is None or wide.dim() != 2:
        raise ModelError("the checkpoint holds no encoder like that of XLM-R", where=str(config))
    if not numbers["num_attention_heads"] or words.shape[1] % numbers["num_attention_heads"]:
        raise DataError(f"num_attention_heads does not divide a width of {words.shape[1]}", where=str(config))
    return EncoderShape(
        layers=numbers["num_hidden_layers"],
        heads=numbers["num_attention_heads"],
        width=words.shape[1],
        inner=wide.shape[0],
        vocabulary=words.shape[0],
        positions=places.shape[0],
        padding=numbers["pad_token_id"],
        norm_epsilon=epsilon,
    )


def _read_yaml(path: Path) -> Mapping[str, object]:
    import yaml  # noqa: PLC0415 - for this file only

    require_file(path)
    try:
        content = yaml.safe_load(read_text(path))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"is no YAML: {reason}", where=str(path)) from error
    if not isinstance(content, dict):
        raise DataError("must hold settings, a name and a value a line", where=str(path))
    return cast(Mapping[str, object], content)
