"""The optimizer's state of one rank as a file of a checkpoint, for optimizers whose state no other world size can take.

    optimizer-00000-of-00002.pt    the state dict of rank 0 of 2

A state that is sharded as the weights are is saved with them, by `checkpoints`, and has no such file.
"""

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import cast

import torch

from ..decoder.loading import is_out_of_memory
from ..errors import DataError
from .optimizers import Optimizers
from .parallel import World

PATTERN = "optimizer-*-of-*.pt"


def save_rank_state(folder: Path, optimizers: Optimizers, world: World) -> None:
    """Write the state of this rank's optimizers into the folder of a checkpoint."""
    torch.save([each.state_dict() for each in optimizers.parts], folder / _name(world))


def load_rank_state(folder: Path, optimizers: Optimizers, world: World) -> None:
    """Read what this rank has written; DataError where another number of ranks has, or where it cannot be read."""
    path = folder / _name(world)
    if not path.is_file():
        sizes = sorted({int(each.stem.rpartition("-")[2]) for each in folder.glob(PATTERN)})
        ranks = ", ".join(str(each) for each in sizes) or "no"
        raise DataError(
            f"the state of an 8-bit optimizer is of each rank's own shard: of {ranks} processes, not of {world.size}",
            where=str(folder),
            hint=f"resume with {ranks} processes" if sizes else "delete it",
        )
    try:
        states = torch.load(path, map_location=world.device, weights_only=True)
        for part, state in zip(optimizers.parts, states, strict=True):
            part.load_state_dict(cast("Mapping[str, object]", state))  # type: ignore[arg-type]  # a dict, as it was saved
            _page_again(part)
    except (OSError, RuntimeError, ValueError, LookupError, EOFError, TypeError, UnpicklingError) as error:
        if is_out_of_memory(error):
            raise
        raise DataError(f"the optimizer's state cannot be read: {error}", where=str(path), hint="delete it") from error


def _page_again(optimizer: torch.optim.Optimizer) -> None:
    """Give a paged optimizer its loaded moments in paged memory, which loading does not."""
    if not getattr(optimizer, "is_paged", False):
        return
    for parameter, state in optimizer.state.items():
        for name in ("state1", "state2"):
            if name in state:
                paged = optimizer.get_state_buffer(parameter, dtype=state[name].dtype)  # type: ignore[attr-defined]  # bitsandbytes
                paged.copy_(state[name])
                state[name] = paged


def _name(world: World) -> str:
    return f"optimizer-{world.rank:05d}-of-{world.size:05d}.pt"
