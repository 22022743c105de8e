"""AdamW whose moments are whole numbers of 8 bits with a scale for each block of 256, as bitsandbytes lays them out."""

from collections.abc import Callable, Iterable
from typing import Any

import torch

BLOCK = 256
LEAST = 4096
"""Parameters of fewer weights keep their moments in float32."""
WRAPPED = "__bnb_optimizer_quant_state__"


def _pack(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    flat = torch.nn.functional.pad(values.flatten(), (0, -values.numel() % BLOCK)).view(-1, BLOCK)
    scales = flat.abs().amax(1).clamp(min=1e-30)
    parts = flat / scales[:, None]
    codes = (parts.sign() * (parts.abs().sqrt() * 127).ceil()).to(torch.int8).view(torch.uint8)  # only 0 becomes 0
    return codes.flatten()[: values.numel()].view(values.shape), scales


def _unpack(codes: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    values = codes.flatten().view(torch.int8).float() / 127
    return (values * values.abs() * scales.repeat_interleave(BLOCK)[: values.numel()]).view(codes.shape)


class AdamW8bit(torch.optim.Optimizer):
    is_paged = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)

    def _update(self, parameter: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        is_small = parameter.numel() < LEAST
        state["step"] = state.get("step", 0) + 1
        moments = []
        for number, (beta, new) in enumerate(zip(group["betas"], (gradient, gradient**2), strict=True), 1):
            old = torch.zeros_like(parameter)
            if f"state{number}" in state:
                codes = state[f"state{number}"]
                old = codes if is_small else _unpack(codes, state[f"absmax{number}"])
            moment = beta * old + (1 - beta) * new
            moments.append(moment / (1 - beta ** state["step"]))
            if is_small:
                state[f"state{number}"] = moment
            else:
                state[f"state{number}"], state[f"absmax{number}"] = _pack(moment)
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.sub_(group["lr"] * moments[0] / (moments[1].clamp(min=0).sqrt() + group["eps"]))

    def state_dict(self) -> dict[str, Any]:
        whole = super().state_dict()
        whole["state"] = {key: {"step": each["step"], WRAPPED: _moments(each)} for key, each in whole["state"].items()}
        return whole

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        parameters = [each for group in self.param_groups for each in group["params"]]
        for key, each in state_dict["state"].items():
            self.state[parameters[key]] = {"step": each["step"], **each[WRAPPED]}


def _moments(state: dict[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in state.items() if name != "step"}


class PagedAdamW8bit(AdamW8bit):
    is_paged = True
