"""Devices that are not there: their tensors say "npu:0" or "npu:1" and hold numbers on the CPU.

What a GPU would punish is an error here: the host waiting for a value, an operation over tensors of two devices, and
reading a device's tensor from the host by anything but a copy. The name of the backend holds for the whole process, so
this is for processes of their own.
"""

from collections import Counter
from collections.abc import Collection
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "npu"
WAITS = ("aten::_local_scalar_dense", "aten::nonzero", "aten::equal", "aten::masked_select")
TRANSFERS = ("aten::copy_", "aten::_to_copy")


class Remote(torch.Tensor):
    """A tensor of the device."""

    numbers: torch.Tensor

    @staticmethod
    def __new__(cls: "type[Remote]", numbers: torch.Tensor, index: int = 0) -> "Remote":
        made: Remote = torch.Tensor._make_wrapper_subclass(
            cls, numbers.size(), dtype=numbers.dtype, device=torch.device(NAME, index), strides=numbers.stride(),
            storage_offset=numbers.storage_offset(),
        )  # fmt: skip
        made.numbers = numbers
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]  # noqa: ANN401 - torch calls it so
        return Machine.current.run(func, args, kwargs or {})


class Machine(TorchDispatchMode):  # type: ignore[no-untyped-call]  # of torch
    """Runs what touches the device, and keeps the rules."""

    current: "Machine"

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # of torch
        Machine.current = self
        self.transfers: Counter[str] = Counter()
        self.may_wait = False
        """Whether the host may wait for the device: transformers' `generate` does at every step."""
        self.between = 0
        """Transfers from one device to the other."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401 - of torch
        kwargs = kwargs or {}
        leaves, _ = tree_flatten((args, kwargs))
        is_asked = kwargs.get("device") is not None and torch.device(kwargs["device"]).type == NAME
        if is_asked or any(isinstance(each, Remote) for each in leaves):
            return self.run(func, args, kwargs)
        return func(*args, **kwargs)

    def run(self, func: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401 - of torch
        """Run an operation on the numbers."""
        name = func._schema.name
        leaves, _ = tree_flatten((args, kwargs))
        tensors = [each for each in leaves if isinstance(each, torch.Tensor)]
        remote = [each for each in tensors if isinstance(each, Remote)]
        if remote and name in WAITS and not self.may_wait:
            raise RuntimeError(f"the host waits for the device: {name}")
        target = None if kwargs.get("device") is None else torch.device(kwargs["device"])
        result_remote = bool(remote) if target is None else target.type == NAME
        index = next((each.device.index for each in remote), 0) if target is None else target.index or 0
        if name in TRANSFERS:
            sides = "".join("d" if isinstance(each, Remote) else "h" for each in tensors)
            self.transfers[sides if name == "aten::copy_" else f"{sides}{'d' if result_remote else 'h'}"] += 1
            self.between += result_remote and any(each.device.index != index for each in remote)
        elif remote and (
            any(each.dim() for each in tensors if not isinstance(each, Remote))
            or len({each.device.index for each in remote}) > 1
        ):
            raise RuntimeError(f"tensors of two devices: {name}")
        plain = tree_map_only(Remote, lambda each: each.numbers, ([*args], kwargs))
        if target is not None:
            plain[1]["device"] = torch.device("cpu")
        if name == "aten::histc":  # of integers on a GPU only
            plain[0][0], kept = plain[0][0].float(), plain[0][0].dtype
            found = func(*plain[0], **plain[1]).to(kept)
        else:
            found = func(*plain[0], **plain[1])
        known = {id(each.numbers): each for each in remote}
        if name == "aten::copy_":
            return args[0]
        if not result_remote:
            return found
        return tree_map_only(
            torch.Tensor, lambda each: known[id(each)] if id(each) in known else Remote(each, index), found
        )


def start() -> Machine:
    """Rename the backend, and return the machine; to be entered as a context."""
    _setup_privateuseone_for_python_backend(NAME)
    return Machine()


def move(model: Any, second: Collection[str] = ()) -> None:  # noqa: ANN401 - a module
    """Move the parameters and buffers of a model to the first device, of the modules named `second` to the other."""
    for path, module in model.named_modules():
        index = int(any(f"{path}.".startswith(f"{each}.") for each in second))
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = torch.nn.Parameter(Remote(parameter.detach(), index), requires_grad=False)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = Remote(buffer, index)
