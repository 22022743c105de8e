"""Whole runs of a sharded model on two devices that are not there, in a process of its own; prints them as JSON."""

import json
import sys
from dataclasses import replace
from typing import Any

import accelerate.big_modeling
import torch
from tests.models.hf.paged import other_device
from tests.models.hf.paged.machines import part

from xlingual.plugin import ModelOptions
from xlingual.records import Choice, Form, Message, Request, Response, Role
from xlingual.registry import MODELS
from xlingual.sampling import Sampling

TEXTS = ("The fox", "The fox jumps", "Warszawa", "The quick brown fox jumps over the lazy dog. " * 2, "jumps over")
DEVICES = f"{other_device.NAME}:0,{other_device.NAME}:1"


def requests(*, are_drawn: bool) -> list[Request]:
    """Return texts to continue, greedily and perhaps drawn, and choices to score."""
    found = []
    for number, text in enumerate(TEXTS):
        message = Message(role=Role.USER, text=text)
        plain = Request(key=f"{number}", form=Form.TEXT, messages=(message,), stop=("z",), max_new_tokens=9)
        drawn = Sampling(temperature=0.8, top_p=0.9, top_k=30, seed=number)
        choices = tuple(Choice(before=" ", text=each) for each in ("the river", "a dog that runs"))
        found += [plain, replace(plain, key=f"{number} scored", choices=choices, max_new_tokens=0)]
        found += [replace(plain, key=f"{number} drawn", sampling=drawn)] if are_drawn else []
    return found


def told(found: list[Response]) -> dict[str, Any]:
    """Return what the responses say."""
    return {
        each.key: [each.text, each.tokens, str(each.finish), str(each.failure)]
        + [[round(one.logarithm, 3), one.is_greedy] for one in each.likelihoods or ()]
        for each in found
    }


def suit_torch() -> None:
    """Let torch do without what a device that is not there cannot: `torch.tensor` there, and inference mode.

    In that mode operations are seen whole, and a transfer is not seen as one.
    """
    make = torch.tensor

    def tensor(*given: Any, device: Any = None, **named: Any) -> torch.Tensor:  # noqa: ANN401 - as of torch
        made = make(*given, **named)
        return made if device is None else made.to(device)

    torch.tensor = tensor
    torch.inference_mode = torch.no_grad  # type: ignore[assignment,misc]
    # accelerate knows tied weights by their addresses, and the tensors of these devices have none.
    accelerate.big_modeling.find_tied_parameters = lambda _model: []


def main(folder: str, engine: str) -> None:
    """Answer everything by one model on the CPU, and by the same one on two devices."""
    paged: Any = part("paged.engine")
    paged.MAX_PAGES = 40
    whole: Any = MODELS.get("hf")(folder, ModelOptions(device="cpu", engine=engine))
    # Static batches index by lists to draw, which the devices that are not there do not know.
    asked = requests(are_drawn=engine == "paged")
    expected = told(list(whole.answer(asked)))
    machine = other_device.start()
    suit_torch()
    notes: list[str] = []
    with machine:
        sharded: Any = MODELS.get("hf")(folder, ModelOptions(device=DEVICES, shard=True, engine=engine))
        sharded.on_note(notes.append)
        # Loading and transformers' `generate` may wait for the device; a step of the paged engine may not.
        machine.may_wait = True
        before = sharded.spec
        loaded = sharded._load()
        if engine == "paged":
            sharded.loaded = sharded._try_engines()
            machine.may_wait = False
        machine.between = 0
        found = told(list(sharded.answer(asked)))
        devices = sorted({str(each.device) for each in loaded.model.parameters()})
        pages = (
            [] if sharded.loaded.paged is None else [str(each.keys.device) for each in sharded.loaded.paged.pool.layers]
        )
        said = sharded.spec.details
        sharded.close()
    sys.stdout.write(json.dumps({
        "equal": found == expected, "found": found, "expected": expected, "devices": devices, "pages": pages,
        "between": machine.between, "notes": notes, "details": said, "after": sharded.spec.details,
        "same fingerprint": sharded.spec.fingerprint == whole.spec.fingerprint, "before": before.details["placement"],
        "failures": sorted({each[3] for each in found.values()}),
    }))  # fmt: skip


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*sys.argv[1:])
