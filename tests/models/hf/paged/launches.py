"""Kernels that a piece of work would launch on a GPU, counted by the operations that torch dispatches on a CPU.

To be used under `no_grad`: under `inference_mode` composite operations would be seen whole.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

NO_LAUNCH = ("aten._unsafe_view", "aten.empty", "aten.new_empty", "aten.lift_fresh", "aten.detach", "prim.device")
SYNCS = ("aten._local_scalar_dense", "aten.nonzero", "aten.equal")
"""The host would wait for these."""
PRICES = {"aten.index_put_": 2, "aten.index_put": 2, "aten.sort": 3, "aten.topk": 3}
"""What is more than one kernel."""


class Launches(TorchDispatchMode):  # type: ignore[no-untyped-call]  # of torch
    """Counts kernels by operation."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # of torch
        self.by_name: Counter[str] = Counter()
        self.syncs: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401 - of torch
        name = str(func.overloadpacket)
        if name in SYNCS:
            self.syncs[name] += 1
        elif not name.startswith(NO_LAUNCH) and not _is_view(func):
            self.by_name[name] += PRICES.get(name, 1)
        return func(*args, **(kwargs or {}))

    @property
    def total(self) -> int:
        """All kernels."""
        return sum(self.by_name.values())


def _is_view(func: Any) -> bool:  # noqa: ANN401 - of torch
    returned = func._schema.returns
    return bool(returned) and all(each.alias_info is not None and not each.alias_info.is_write for each in returned)


def count(work: Callable[[], object]) -> Launches:
    """Return the kernels of a piece of work."""
    with torch.no_grad(), Launches() as seen:
        work()
    found: Launches = seen
    return found
