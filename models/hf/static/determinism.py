"""`--deterministic`: one prompt a batch, and only kernels that always add up in the same order.

An answer then depends on its prompt, the model, the device and the versions of the software (on a CPU, on the number of
threads too); in any dtype, it does not depend on other prompts, the batch size, or where an interrupted run resumes.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
"""cuBLAS promises the same results only with a workspace of its own; it reads this when it is first used."""


@contextmanager
def deterministic() -> Iterator[None]:
    """Let torch refuse kernels whose results vary, and choose none by a measurement; restored afterwards."""
    import torch  # noqa: PLC0415 - heavy

    os.environ.setdefault(WORKSPACE, ":4096:8")
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
