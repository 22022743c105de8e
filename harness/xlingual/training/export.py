"""Export: the trained weights as a transformers or peft folder, with tokenizer and provenance, whole or not at all."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

from ..decoder.loading import auto_class, quiet_loading
from ..files import pretty_json, read_json_object, write_atomically
from ..provenance import installed_versions, timestamp
from ..serial import to_json
from ..tune.hold_out.records import ExportedCheckpoint
from ..tune.records import TuneRecord
from .adapters import has_adapter_on_head, quiet_peft
from .checkpoints import sync
from .loading import TrainingModel
from .model_card import base_license, write_card
from .settings import PROVENANCE, TrainingJob
from .storage import STORAGE_ERRORS, write_fault
from .structure import is_tied, untie

if TYPE_CHECKING:
    from peft import PeftModel

SCHEMA = 1
"""Of `provenance.json`."""
ADAPTER_WEIGHTS = "adapter_model.safetensors"
COPIED_FILES = (
    "tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt", "*.model",
    "*.tiktoken", "*.jinja", "generation_config.json", "LICENSE*", "NOTICE*",
)  # fmt: skip
MAX_SHARD_SIZE = "4GB"
PACKAGES = ("xlingual", "torch", "transformers", "tokenizers", "peft", "bitsandbytes", "numpy")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """The measured part of a finished training's record."""

    steps: int
    loss: Mapping[str, float]
    """Mean of the last epoch by source, nats per supervised token."""
    useful_tokens_per_second: float
    world_size: int
    dtype: str
    exported: ExportedCheckpoint | None = None
    """Which step the model is of; None where no rows are held out."""


def make_record(job: TrainingJob, result: TrainingResult) -> TuneRecord:
    """Return the record of a finished training."""
    plan = job.plan
    base = plan.base
    files = {each.name: each.sha256 for source in plan.sources for each in source.files}
    return TuneRecord(
        schema=SCHEMA,
        plan=plan,
        parent=f"{base.name}@{base.revision}" if base.revision else base.name,
        template=plan.recipe.template,
        base_license=base_license(job.weights),
        data=files,
        steps=result.steps,
        loss=result.loss,
        useful_tokens_per_second=result.useful_tokens_per_second,
        world_size=result.world_size,
        dtype=result.dtype,
        versions=installed_versions(PACKAGES),
        finished_at=timestamp(),
        thinking=plan.recipe.thinking,
        max_steps=None if result.steps == plan.steps else job.settings.max_steps,
        exported=result.exported,
    )


def gather_state_dict(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the unsharded state dict of the trained weights, in CPU memory, on rank 0; a collective."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True, strict=False)
    state = get_model_state_dict(model, options=options)
    return {name.removeprefix("lm."): each for name, each in state.items() if isinstance(each, torch.Tensor)}


def write_model(
    job: TrainingJob, loaded: TrainingModel, weights: Mapping[str, torch.Tensor], record: TuneRecord
) -> Path:
    """Write the whole model of a full tuning; of tied weights, the first name only.

    What was not trained, the parts of a multimodal model that read no text, is that of the base, to the byte.
    """
    lm = loaded.model.lm
    tied = _tied_names(lm)
    frozen = {name for name, each in lm.named_parameters() if not each.requires_grad}
    kept = (
        {name: each for name, each in _load_base(job, "auto").state_dict().items() if name in frozen} if frozen else {}
    )
    state = {**kept, **{name: each.to(loaded.dtype) for name, each in weights.items() if name not in tied}}

    def write(folder: Path) -> None:
        _save(lm, folder, loaded.dtype, state)
        _add_tokenizer_and_record(job, folder, record)

    return _replace_folder(job.model_folder, write)


def _tied_names(lm: nn.Module) -> set[str]:
    """Return the names of parameters that have another name before."""
    names: dict[int, str] = {}
    return {
        name for name, each in lm.named_parameters(remove_duplicate=False) if names.setdefault(id(each), name) != name
    }


def write_adapter(
    job: TrainingJob, loaded: TrainingModel, weights: Mapping[str, torch.Tensor], record: TuneRecord
) -> Path:
    """Write the adapter in peft's layout, with embeddings and head where the base has new tokens."""
    from peft import get_peft_model_state_dict  # noqa: PLC0415 - slow to import
    from safetensors.torch import save_file  # noqa: PLC0415 - slow to import

    adapter = cast("PeftModel", loaded.adapter)
    tied = _tied_names(loaded.model.lm)
    named = {f"base_model.model.{name}": each for name, each in weights.items() if name not in tied}
    has_embeddings = job.plan.recipe.vocabulary is not None
    state = get_peft_model_state_dict(adapter, named, save_embedding_layers=has_embeddings)
    config = adapter.peft_config["default"]
    base = job.plan.base
    config.base_model_name_or_path = base.name if base.revision else str(job.weights)
    config.revision = base.revision
    config.inference_mode = True
    if isinstance(config.target_modules, set):  # written in their own order, equal adapters would differ in their hash
        config.target_modules = sorted(config.target_modules)

    def write(folder: Path) -> None:
        save_file({name: each.contiguous() for name, each in state.items()}, folder / ADAPTER_WEIGHTS)
        config.save_pretrained(str(folder))
        _add_tokenizer_and_record(job, folder, record)

    return _replace_folder(job.adapter_folder, write)


def write_merged(job: TrainingJob, record: TuneRecord) -> Path:
    """Merge the written adapter into the base and write the whole model.

    A head that shares the weights of the embeddings gets its own where it has an adapter: theirs stay as they are.
    """
    from peft import PeftModel  # noqa: PLC0415 - slow to import
    from transformers import AutoConfig  # noqa: PLC0415 - slow to import

    dtype = AutoConfig.from_pretrained(job.weights, local_files_only=True).dtype or torch.float32
    base = _load_base(job, torch.float32)
    if is_tied(base) and has_adapter_on_head(base, job.plan.recipe.method):
        untie(base)
    with quiet_peft():
        merged = PeftModel.from_pretrained(base, str(job.adapter_folder)).merge_and_unload()

    def write(folder: Path) -> None:
        _save(merged.to(dtype), folder, dtype, None)
        _add_tokenizer_and_record(job, folder, record)

    return _replace_folder(job.model_folder, write)


def _load_base(job: TrainingJob, dtype: "torch.dtype | str") -> nn.Module:
    """Load the base as its files have it, with weights of `dtype`, or of their own: "auto"."""
    from transformers import AutoConfig  # noqa: PLC0415 - slow to import

    with quiet_loading():
        config = AutoConfig.from_pretrained(job.weights, local_files_only=True)
        loaded = auto_class(config).from_pretrained(job.weights, dtype=dtype, local_files_only=True)
    return cast(nn.Module, loaded)


def _save(lm: nn.Module, folder: Path, dtype: torch.dtype, state: Mapping[str, torch.Tensor] | None) -> None:
    save = cast(Callable[..., None], lm.save_pretrained)
    with quiet_loading():
        save(folder, state_dict=state, max_shard_size=MAX_SHARD_SIZE)
    config = read_json_object(folder / "config.json", strict=False)
    write_atomically(folder / "config.json", pretty_json({**config, "dtype": str(dtype).removeprefix("torch.")}))
    (folder / "generation_config.json").unlink(missing_ok=True)  # the base's own is copied, where it has one


def _add_tokenizer_and_record(job: TrainingJob, folder: Path, record: TuneRecord) -> None:
    for source in dict.fromkeys((job.weights, job.tokenizer)):
        for path in sorted({path for pattern in COPIED_FILES for path in source.glob(pattern)}):
            if path.is_file():
                shutil.copyfile(path, folder / path.name)
    _end_answers(job, folder)
    write_atomically(folder / PROVENANCE, pretty_json(to_json(record)))
    is_adapter = (folder / ADAPTER_WEIGHTS).is_file()
    write_card(folder, record, job.weights, is_adapter=is_adapter)


def _end_answers(job: TrainingJob, folder: Path) -> None:
    """Add the token that the training's answers end with to those that end an answer in generation.

    A chat template may end a turn with another token than the tokenizer's end token: the model learns to say that one.
    """
    if job.end_token is None:
        return
    path = folder / "generation_config.json"
    generation = read_json_object(path, strict=False) if path.is_file() else {}
    config = read_json_object(folder / "config.json", strict=False) if (folder / "config.json").is_file() else {}
    known = generation.get("eos_token_id", config.get("eos_token_id"))
    ends = list(known) if isinstance(known, list) else [] if known is None else [known]
    if job.end_token not in ends:
        ends.append(job.end_token)
        write_atomically(path, pretty_json({**generation, "eos_token_id": ends if len(ends) > 1 else ends[0]}))


def _replace_folder(target: Path, write: Callable[[Path], None]) -> Path:
    """Let `write` fill a new folder, sync it to disk and rename it to `target`."""
    unfinished = target.with_name(f".writing-{target.name}")
    old = target.with_name(f".old-{target.name}")
    try:
        for each in (unfinished, old):
            shutil.rmtree(each, ignore_errors=True)
        unfinished.mkdir(parents=True)
        write(unfinished)
        sync(unfinished)
        if target.exists():
            target.rename(old)
        unfinished.rename(target)
        sync(target.parent)
        shutil.rmtree(old, ignore_errors=True)
    except STORAGE_ERRORS as error:
        if (fault := write_fault(error, target)) is None:
            raise
        raise fault from error
    return target
