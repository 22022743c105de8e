"""Distributed checkpoints: a training resumes from the newest complete one, on any world size.

    RUN/checkpoints/step-00000100/
        .metadata, __0_0.distcp, ...   state dicts of the trained weights and the optimizer, a shard for each rank
        state.json                     the TrainingState
        COMPLETE                       the size of every other file

A checkpoint is written under another name, synced to disk and renamed. No random state is stored: data order and
dropout follow from the number of the step.
"""

import os
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from torch import nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_state_dict,
    set_model_state_dict,
    set_state_dict,
)
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save as save_shards

from ..decoder.loading import is_out_of_memory
from ..errors import DataError
from ..files import read_json, write_atomically
from ..files.text_file import read_fault
from ..identity import canonical_json
from ..serial import LATER, from_json, to_json
from ..tune.hold_out.records import HeldOutProgress
from .optimizer_files import load_rank_state, save_rank_state
from .optimizers import Optimizers
from .parallel import World
from .settings import CHECKPOINTS
from .storage import STORAGE_ERRORS, system_error, write_fault

MARKER: Final = "COMPLETE"
STATE: Final = "state.json"
UNFINISHED: Final = ".saving-"
OPTIONS = StateDictOptions(ignore_frozen_params=True, flatten_optimizer_state_dict=True, strict=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingState:
    """The progress of a training: all of a checkpoint but the weights and the optimizer's state."""

    plan: str
    """Id of the plan."""
    step: int
    """Steps done."""
    epoch: int
    epoch_loss: tuple[float, ...]
    """Summed loss of the epoch so far by source, nats."""
    epoch_tokens: tuple[int, ...]
    """Supervised tokens of the epoch so far by source."""
    seconds: float
    """Spent in steps, resumed runs included."""
    useful_tokens: int
    """Tokens of rows, over all ranks."""
    held_out: HeldOutProgress | None = field(default=None, metadata=LATER)
    """None where no rows are held out."""

    @property
    def best_step(self) -> int | None:
        """The step of the checkpoint with the lowest held-out loss; None where there is none."""
        best = None if self.held_out is None else self.held_out.best
        return None if best is None else best.step


@dataclass(frozen=True, slots=True, eq=False)
class ModelAndOptimizer:
    """The sharded part of a checkpoint."""

    model: nn.Module
    optimizers: Optimizers


def _state_dicts(trained: ModelAndOptimizer) -> dict[str, dict[str, Any]]:
    """Return what is saved in shards: the trained weights, and the optimizer's state where it is sharded alike."""
    if not trained.optimizers.is_elastic:
        return {"model": _without_scales(trained.model, get_model_state_dict(trained.model, options=OPTIONS))}
    weights, states = get_state_dict(trained.model, trained.optimizers.parts, options=OPTIONS)
    return {"model": _without_scales(trained.model, weights), "optimizer": dict(states)}


def _without_scales(model: nn.Module, weights: Mapping[str, Any]) -> dict[str, Any]:
    """Return `weights` without the scales of frozen weights of 4 bits, which are entries like X.weight.absmax."""
    quantized = {name for name, each in model.named_parameters() if not each.is_floating_point()}
    return {name: each for name, each in weights.items() if f"{name.partition('.weight.')[0]}.weight" not in quantized}


def save(run: Path, trained: ModelAndOptimizer, state: TrainingState, keep: int, world: World) -> Path:
    """Write a checkpoint and return its folder, then remove all but the newest `keep` and the best; a collective.

    A kill at any moment leaves the earlier checkpoints as they are.
    """
    target = checkpoint_folder(run, state.step)
    unfinished = target.with_name(f"{UNFINISHED}{state.step:08d}")
    try:
        if world.is_rank_zero:
            target.parent.mkdir(exist_ok=True)
            for each in target.parent.glob(f"{UNFINISHED}*"):
                shutil.rmtree(each)
            unfinished.mkdir()
        world.barrier()
        with _without_warnings():
            save_shards(
                _state_dicts(trained),
                storage_writer=FileSystemWriter(unfinished, sync_files=True),
                no_dist=not world.sharded,
            )
        if not trained.optimizers.is_elastic:
            save_rank_state(unfinished, trained.optimizers, world)
        world.barrier()
        if world.is_rank_zero:
            _finish(unfinished, target, state)
            _remove_old(target.parent, keep, state.best_step)
        world.barrier()
    except STORAGE_ERRORS as error:
        if (fault := write_fault(error, target)) is None:
            raise
        raise fault from error
    return target


def checkpoint_folder(run: Path, step: int) -> Path:
    """Return the folder of the checkpoint of a step."""
    return run / CHECKPOINTS / f"step-{step:08d}"


def _finish(unfinished: Path, target: Path, state: TrainingState) -> None:
    write_atomically(unfinished / STATE, canonical_json(to_json(state)) + "\n")
    sizes = {path.name: path.stat().st_size for path in sorted(unfinished.iterdir())}
    sync(unfinished)
    write_atomically(unfinished / MARKER, canonical_json(sizes) + "\n")
    if target.exists():  # damaged, or of a run that was resumed from an earlier checkpoint
        shutil.rmtree(target)
    unfinished.rename(target)
    sync(target.parent)


def _remove_old(folder: Path, keep: int, best: int | None) -> None:
    for each in sorted(folder.glob("step-*"))[:-keep]:
        if best is not None and each.name == checkpoint_folder(folder.parent, best).name:
            continue
        (each / MARKER).unlink(missing_ok=True)
        shutil.rmtree(each)


def sync(folder: Path) -> None:
    """Sync the files of a folder, and the folder itself, to disk."""
    for path in [*(each for each in folder.iterdir() if each.is_file()), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCheckpoint:
    """The newest complete checkpoint of a run."""

    folder: Path | None
    state: TrainingState | None
    """None, like the folder, where the run has no complete checkpoint."""
    notes: tuple[str, ...]
    """On each newer checkpoint that is incomplete."""


def find_latest(run: Path, plan: str, *, needs_best: bool = False) -> FoundCheckpoint:
    """Return the newest complete checkpoint of the run; DataError where it is of another plan.

    With `needs_best`, one whose best checkpoint is gone is passed over: an older one trains to the best one again.
    """
    notes: list[str] = []
    for folder in sorted((run / CHECKPOINTS).glob("step-*"), reverse=True):
        problem = problem_of(folder)
        if problem is not None:
            notes.append(f"{folder.name} is passed over: {problem}")
            continue
        state = from_json(TrainingState, read_json(folder / STATE), where=str(folder / STATE))
        if state.plan != plan:
            raise DataError(
                f"is a checkpoint of plan {state.plan[:8]}, not of {plan[:8]}",
                where=str(folder),
                hint="choose another --out, or --fresh",
            )
        best = checkpoint_folder(run, state.step if state.best_step is None else state.best_step)
        if needs_best and best != folder and (gone := problem_of(best)) is not None:
            notes.append(f"{folder.name} is passed over: the best checkpoint before it is {best.name}, and {gone}")
            continue
        return FoundCheckpoint(folder=folder, state=state, notes=tuple(notes))
    return FoundCheckpoint(folder=None, state=None, notes=tuple(notes))


def problem_of(folder: Path) -> str | None:
    """Return why a checkpoint cannot be loaded, None where it can."""
    if not (folder / MARKER).is_file():
        return "it is not complete"
    try:
        sizes = read_json(folder / MARKER)
    except DataError as error:
        return str(error)
    if not isinstance(sizes, dict):
        return f"{MARKER} is no list of files"
    for name, size in sizes.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != size:
            return f"{name} is missing or cut off"
    return None


def restore(folder: Path, trained: ModelAndOptimizer, world: World) -> None:
    """Load the state dicts of model and optimizer, resharded to this world size; a collective.

    DataError where the checkpoint cannot be read.
    """
    states = _state_dicts(trained)
    try:
        with _without_warnings():
            load(
                states,
                storage_reader=FileSystemReader(folder),
                no_dist=not world.sharded,
            )
    except (OSError, RuntimeError, ValueError, LookupError, EOFError, CheckpointException) as error:
        if is_out_of_memory(error):
            raise
        if (refused := system_error(error)) is not None and not isinstance(refused, FileNotFoundError):
            raise read_fault(refused, str(folder)) from error  # nothing is wrong with the checkpoint: not to be deleted
        raise DataError(f"the checkpoint cannot be read: {error}", where=str(folder), hint="delete it") from error
    if trained.optimizers.is_elastic:
        keys = set_state_dict(
            trained.model,
            trained.optimizers.parts,
            model_state_dict=states["model"],
            optim_state_dict=states["optimizer"],
            options=OPTIONS,
        )
    else:
        keys = set_model_state_dict(trained.model, model_state_dict=states["model"], options=OPTIONS)
        load_rank_state(folder, trained.optimizers, world)
    _require_all_keys(trained.model, keys.missing_keys, keys.unexpected_keys, folder)


def _require_all_keys(model: nn.Module, missing: Sequence[str], unexpected: Sequence[str], folder: Path) -> None:
    trained = {name for name, each in model.named_parameters() if each.requires_grad}
    if wrong := sorted((trained & set(missing)) | set(unexpected)):
        raise DataError(f"does not fit the model: {wrong[0]}", where=str(folder), hint="delete it")


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Silence torch's warnings on checkpoints of a single process."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module=r"torch\.distributed\.checkpoint")
        yield
