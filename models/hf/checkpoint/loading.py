"""The weights of a described model into memory."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from xlingual.decoder.loading import auto_class, loading_errors, quiet_loading
from xlingual.errors import ModelError
from xlingual.plugin import ModelOptions

from ..devices.layer_moves import connect_layers
from ..loaded_model import CausalLM, LoadedModel
from .adapters import acquire_model, is_shared
from .description import Description
from .files import safe_files, weight_summary, weights_folder
from .sizes import check_parameters

if TYPE_CHECKING:
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    from ..devices.placement import Placement


def load(description: Description, options: ModelOptions, placement: "Placement | None" = None) -> LoadedModel:
    """Load the weights and merge the adapter, where there is one; ModelError naming what is wrong with them."""
    adapter = description.adapter
    base = description.spec.fingerprint if adapter is None else adapter.base
    device = description.device if placement is None else placement.words
    model = acquire_model(base, device, adapter, lambda: _load_weights(description, options, placement))
    return LoadedModel(
        model=model,
        tokenizer=description.tokenizer,
        device=description.device,
        end_ids=description.end_ids,
        pad_id=description.pad_id,
        context_length=description.spec.context_length,
        shared=is_shared(model),
        placement=placement,
        encoder_decoder=description.encoder_decoder,
        constraints=description.constraints,
    )


def checked_weights(description: Description, options: ModelOptions) -> Path:
    """Return the folder of the weights, made or downloaded first where need be.

    Raises ModelError where the configuration asks for far more than they hold, before memory for it is taken.
    """
    folder = weights_folder(description.checkpoint, options)
    make = partial(_architecture(description).from_config, description.config, trust_remote_code=description.trusted)
    label = description.checkpoint.label
    check_parameters(make, weight_summary(folder), label, packed=description.quantized)
    return folder


def _architecture(description: Description) -> "type[AutoModelForCausalLM] | type[AutoModelForSeq2SeqLM]":
    from transformers import AutoModelForSeq2SeqLM  # noqa: PLC0415 - heavy

    return auto_class(description.config) if description.encoder_decoder is None else AutoModelForSeq2SeqLM


def _load_weights(description: Description, options: ModelOptions, placement: "Placement | None") -> CausalLM:
    architecture, checkpoint = _architecture(description), description.checkpoint
    folder = checked_weights(description, options)
    pickled = not safe_files(folder)
    device_map = {"": description.device} if placement is None else placement.device_map
    placed_at_once = description.quantized or placement is not None
    with loading_errors(checkpoint.label), quiet_loading():
        model, report = architecture.from_pretrained(
            folder,
            dtype=description.spec.dtype,
            use_safetensors=not pickled,
            trust_remote_code=description.trusted,
            local_files_only=True,
            output_loading_info=True,
            **({"device_map": device_map} if placed_at_once else {}),
        )
        model = model.eval() if placed_at_once else model.to(description.device).eval()
    if missing := sorted(report["missing_keys"]):
        raise ModelError(
            f"the weights lack {len(missing)} tensors, {missing[0]!r} the first of them",
            where=checkpoint.label,
            hint="is it a language model, and are all its files there?",
        )
    if description.encoder_decoder is not None and (extra := sorted(report["unexpected_keys"])):
        raise ModelError(
            f"the architecture has no place for {len(extra)} tensors of the weights, {extra[0]!r} the first of them",
            where=checkpoint.label,
            hint="is the configuration that of these weights?",
        )
    if placement is not None:
        connect_layers(model, placement, checkpoint.label)
    # The sampling defaults that a model ships (repetition penalty, temperature, ...) would change greedy answers.
    model.generation_config = type(model.generation_config)()
    return cast(CausalLM, model)
