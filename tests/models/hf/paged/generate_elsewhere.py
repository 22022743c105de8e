"""Whole generations on the device that is not there, in a process of its own; prints what it did as JSON."""

import json
import sys
from dataclasses import replace
from typing import Any

import torch
from tests.models.hf.paged import other_device
from tests.models.hf.paged.machines import (
    Reference,
    answer,
    check,
    make_loaded,
    make_model,
    part,
    random_prompts,
)

from xlingual.sampling import Sampling


def main(architecture: str) -> None:
    """Answer prompts twice, and compare with `generate` on the CPU."""
    model = make_model(architecture)
    reference = Reference(make_loaded(model))
    prompts = random_prompts(3, 10)
    drawn = [
        replace(each, request=replace(each.request, sampling=Sampling(temperature=0.8, top_p=0.9, top_k=30, seed=seed)))
        for seed, each in enumerate(prompts)
    ]
    for each in prompts:
        reference.answer(each)
    options = part("paged.engine").PagedOptions
    small = options(page_size=8, pages=24, graphs=True, max_tokens=64)
    here = replace(reference.loaded, paged=part("paged.engine").open_engine(model, "cpu", small))
    expected = answer(here, drawn, 6)
    machine = other_device.start()
    with torch.no_grad(), machine:
        other_device.move(model)
        there = replace(reference.loaded, device=other_device.NAME)
        loaded = replace(there, paged=part("paged.engine").open_engine(model, other_device.NAME, small))
        machine.transfers.clear()
        steps: list[int] = []
        launch = type(loaded.paged).launch

        def watch(self: Any, plan: Any) -> Any:  # noqa: ANN401 - of the plugin
            steps.append(plan.number)
            return launch(self, plan)

        type(loaded.paged).launch = watch
        found = answer(loaded, prompts, 6)
        again = answer(loaded, drawn, 6)
        transfers = dict(machine.transfers)
        refused = []
        for wrong in (lambda: bool(loaded.paged.newest[0]), lambda: loaded.paged.newest + torch.ones(7)):
            try:
                wrong()
            except RuntimeError as error:
                refused.append(str(error).partition(":")[0])
    check(reference, prompts, found)
    sys.stdout.write(json.dumps({
        "draws": again == expected, "steps": len(steps), "in": transfers.get("dh", 0), "out": transfers.get("hd", 0),
        "moved otherwise": {name: times for name, times in transfers.items() if name not in ("dh", "hd", "dd", "ddd")},
        "graphs": len(loaded.paged.graphs), "refused": refused,
    }))  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1])
