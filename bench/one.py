"""One measurement in a process of its own, so that its peak memory is its own. Prints a JSON document.

python -m bench.one '{"way": "hflm:16", "workload": "en", ...}'
"""

import json
import resource
import sys
import time
import warnings
from pathlib import Path

from xlingual.identity import Json
from xlingual.plugin import ModelOptions
from xlingual.selection import open_model

from .floor import count_weights, count_work
from .ways import WAYS, Loaded, part, verify_model
from .workloads import HELD_OUT, WORKLOADS, requests_of, slice_of


def measure(order: dict[str, str | None]) -> Json:
    """Answer the requests of a workload in one way; loading is not counted, and the engine's verification apart."""
    import torch

    way, _, rows = str(order["way"]).partition(":")
    [workload] = [each for each in (*WORKLOADS, *HELD_OUT) if each.name == order["workload"]]
    choice = ModelOptions(device=order["device"], dtype=order["dtype"], offline=True)
    opened = open_model(str(order["model"]), choice)
    data = Path(order["data"]) if order["data"] else None
    requests = requests_of(workload, opened, data, slice_of(str(order["way"]), workload.count))
    description = getattr(opened, "inner", opened).description  # type: ignore[union-attr]  # of the backend hf
    loaded = Loaded(description=description, engine=part("checkpoint.loading").load(description, choice))
    torch.set_num_threads(int(order["threads"] or torch.get_num_threads()))
    weights = count_weights(loaded)
    ready = time.perf_counter()
    if way == "xlingual":
        loaded = verify_model(loaded, requests)
    ready = time.perf_counter() - ready
    wall, busy = time.perf_counter(), time.process_time()
    answers = WAYS[way](loaded, requests, int(rows or 0))
    wall, busy = time.perf_counter() - wall, time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if description.device.startswith("cuda"):
        peak = torch.cuda.max_memory_allocated() / 2**30
    return {
        "ready": ready,
        "wall": wall,
        "processor": busy,
        "peak": peak,
        # Keys tell the model apart, dtype and all; places do not, so that runs of any dtype can be compared.
        "answers": {str(place): answers.get(each.key) for place, each in enumerate(requests)},
        "work": count_work(loaded, weights, requests, answers) if way == "xlingual" else None,
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.stdout.write("\n" + json.dumps(measure(json.loads(sys.argv[1]))) + "\n")
