"""Ranks of the trainings of tests, each a process of its own, forked from one that has imported torch already.

Reads a JSON object a line. {"ranks": 2, "folder": ..., "base": ..., "settings": {...}} starts a training and is
answered with the pids of its ranks; {"wait": PID} is answered with the exit code of that process, or -SIGNAL.
"""

import contextlib
import json
import os
import signal
import socket
import sys
import traceback
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import transformers.models.llama.modeling_llama  # noqa: F401 - before the forks

from xlingual.errors import Interrupted, XlingualError
from xlingual.serial import from_json, to_json
from xlingual.training import checkpoints, held_out, loop
from xlingual.training.observing import SilentTrainingObserver, StepReport, Throughput
from xlingual.training.parallel import init_distributed
from xlingual.training.settings import TrainingJob, TrainSettings
from xlingual.tune.records import EncodedRows, MixPlan

with contextlib.suppress(ImportError):
    import peft  # noqa: F401 - before the forks

STAND_IN = Path(__file__).with_name("stand_in")
"""Folder of a package with the interface of bitsandbytes, for machines that do not have it."""


def run_rank(message: dict[str, Any], rank: int, port: int) -> int:
    """Train on one rank; return 0, or 128 + the signal that stopped it."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(message["ranks"])}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    folder, base, settings = Path(message["folder"]), Path(message["base"]), dict(message["settings"])
    signal_in_step, die_in_save = settings.pop("signal_in_step", None), settings.pop("die_in_save", None)
    if settings.pop("stand_in", False) and find_spec("bitsandbytes") is None:
        sys.path.append(str(STAND_IN))
    die_in_evaluation = settings.pop("die_in_evaluation", None)
    plan = from_json(MixPlan, json.loads((folder / "plan.json").read_text(encoding="utf-8")))
    with np.load(folder / "rows.npz") as arrays:
        rows = EncodedRows(**arrays)
    evaluated = None
    if (folder / "held_out.npz").exists():
        with np.load(folder / "held_out.npz") as arrays:
            evaluated = EncodedRows(**arrays)
    chosen = TrainSettings(**{"pack_length": 64, "checkpoint_every": 3, "log_every": 1, **settings})
    job = TrainingJob(
        plan=plan, rows=rows, weights=base, tokenizer=base, folder=folder, settings=chosen, held_out=evaluated
    )
    received: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: received.append(number))

    def stop() -> int | None:
        return received[0] if received else None

    if signal_in_step is not None and signal_in_step[0] == rank:
        _signal_in_step(signal_in_step[1], signal_in_step[2])
    if die_in_save is not None:
        _die_in_save(die_in_save)
    if die_in_evaluation is not None:
        _die_in_evaluation(die_in_evaluation)
    sizes = _record_batches()
    try:
        with init_distributed("cpu", chosen.dtype) as world:
            loop.train(job, world, _Recorder(folder), stop)
    except Interrupted as error:
        return 128 + error.signal_number
    except XlingualError as error:
        return error.exit_code
    (folder / f"batches-{rank}.json").write_text(json.dumps(sizes), encoding="utf-8")
    return 0


def _record_batches() -> list[int]:
    """Return a list that the tokens of every batch of this rank are added to, padding included."""
    name = "build_batch"
    build = getattr(loop, name)
    sizes: list[int] = []

    def build_and_record(*arguments: object) -> object:
        batch = build(*arguments)
        sizes.append(batch.input_ids.numel())
        return batch

    setattr(loop, name, build_and_record)
    return sizes


class _Recorder(SilentTrainingObserver):
    """Writes the packs of every log line to `packs.jsonl`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "packs.jsonl"

    def logged(self, reports: Sequence[StepReport], throughput: Throughput) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(to_json(throughput.packs)) + "\n")


def _signal_in_step(step: int, number: int) -> None:
    """Send this process a signal between the backward pass of `step` and the optimizer."""
    name = "clip_gradients"
    clip = getattr(loop, name)
    calls = iter(range(1, step + 1))

    def clip_and_signal(*arguments: object) -> object:
        if next(calls, None) == step:
            os.kill(os.getpid(), number)
        return clip(*arguments)

    setattr(loop, name, clip_and_signal)


def _die_in_save(step: int) -> None:
    """Kill this process when everything of the checkpoint of `step` is written but its marker."""
    name = "write_atomically"
    write = getattr(checkpoints, name)

    def write_or_die(path: Path, text: str) -> None:
        if path.name == checkpoints.MARKER and path.parent.name.endswith(f"{step:08d}"):
            os.kill(os.getpid(), signal.SIGKILL)
        write(path, text)

    setattr(checkpoints, name, write_or_die)


def _die_in_evaluation(number: int) -> None:
    """Kill this process in the middle of its evaluation `number`, counted from 1: before its second micro-batch."""
    name, build_name = "held_out_loss", "build_batch"
    evaluate, build = getattr(loop, name), getattr(held_out, build_name)
    evaluations = iter(range(1, number + 1))

    def build_or_die(*arguments: object) -> object:
        if next(batches, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return build(*arguments)

    def evaluate_or_die(*arguments: object) -> object:
        if next(evaluations, None) == number:
            setattr(held_out, build_name, build_or_die)
        return evaluate(*arguments)

    batches = iter(range(1))
    setattr(loop, name, evaluate_or_die)


def start(message: dict[str, Any]) -> list[int]:
    """Fork the ranks of a training; return their pids."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    pids = []
    for rank in range(message["ranks"]):
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                warnings.simplefilter("error")
                code = run_rank(message, rank, port)
            except BaseException:  # noqa: BLE001 - the end of the process
                traceback.print_exc()
            sys.stderr.flush()
            os._exit(code)
        pids.append(pid)
    return pids


def serve() -> None:
    """Answer every line of stdin."""
    for line in sys.stdin:
        message = json.loads(line)
        if "wait" in message:
            answer: object = os.waitstatus_to_exitcode(os.waitpid(message["wait"], 0)[1])
        else:
            answer = start(message)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
    os._exit(0)  # without the seconds that torch takes to shut down
