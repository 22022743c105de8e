"""The memory that cgroups leave, read from trees of files as Linux lays them out."""

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

GIB = 2**30
NO_LIMIT_V1 = 9223372036854771712
"""What v1 says where there is no limit."""


def part(name: str) -> Any:  # noqa: ANN401 - a module of the plugin, which is none of the public names
    return importlib.import_module(f"xlingual.plugins.models.hf.{name}")


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with 64 GiB, 60 of them free."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=60 * GIB, total=64 * GIB))


def write(root: Path, files: dict[str, object]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n", encoding="ascii")
    return root


CASES: dict[str, tuple[dict[str, object], float, float]] = {
    "no cgroups at all": ({}, 60, 64),
    "v2, no limit": (
        {
            "proc/self/cgroup": "0::/user.slice",
            "sys/fs/cgroup/user.slice/memory.max": "max",
            "sys/fs/cgroup/user.slice/memory.current": 3 * GIB,
        },
        60,
        64,
    ),
    "v2, a container in a namespace of its own": (
        {"proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": 8 * GIB, "sys/fs/cgroup/memory.current": 3 * GIB},
        5,
        8,
    ),
    "v2, a container that sees the path of its host": (
        {
            "proc/self/cgroup": "0::/system.slice/docker-abc.scope",
            "sys/fs/cgroup/memory.max": 8 * GIB,
            "sys/fs/cgroup/memory.current": 3 * GIB,
        },
        5,
        8,
    ),
    "v2, a group outside of the namespace": (
        {"proc/self/cgroup": "0::/../..", "sys/fs/cgroup/memory.max": 8 * GIB, "sys/fs/cgroup/memory.current": GIB},
        7,
        8,
    ),
    "v2, what the kernel would drop is free": (
        {
            "proc/self/cgroup": "0::/",
            "sys/fs/cgroup/memory.max": 8 * GIB,
            "sys/fs/cgroup/memory.current": 7 * GIB,
            "sys/fs/cgroup/memory.stat": f"anon {3 * GIB}\nactive_file {GIB}\ninactive_file {3 * GIB}",
        },
        4,
        8,
    ),
    "v2, the group above allows less than that below": (
        {
            "proc/self/cgroup": "0::/pod/container",
            "sys/fs/cgroup/pod/container/memory.max": 32 * GIB,
            "sys/fs/cgroup/pod/container/memory.current": 2 * GIB,
            "sys/fs/cgroup/pod/memory.max": 10 * GIB,
            "sys/fs/cgroup/pod/memory.current": 9 * GIB,
        },
        1,
        10,
    ),
    "v2, a group that is over its limit": (
        {"proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": 2 * GIB, "sys/fs/cgroup/memory.current": 3 * GIB},
        0,
        2,
    ),
    "v2, more allowed than there is": (
        {"proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": 999 * GIB, "sys/fs/cgroup/memory.current": GIB},
        60,
        64,
    ),
    "v1": (
        {
            "proc/self/cgroup": "5:devices:/x\n4:memory:/docker/abc\n0::/",
            "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": 6 * GIB,
            "sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes": 5 * GIB,
            "sys/fs/cgroup/memory/docker/abc/memory.stat": f"inactive_file 1\ntotal_inactive_file {2 * GIB}",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": NO_LIMIT_V1,
            "sys/fs/cgroup/memory/memory.usage_in_bytes": 5 * GIB,
        },
        3,
        6,
    ),
    "v1, several controllers in one": (
        {
            "proc/self/cgroup": "3:cpu,memory:/",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": 6 * GIB,
            "sys/fs/cgroup/memory/memory.usage_in_bytes": 4 * GIB,
        },
        2,
        6,
    ),
    "v1, no limit": (
        {
            "proc/self/cgroup": "4:memory:/",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": NO_LIMIT_V1,
            "sys/fs/cgroup/memory/memory.usage_in_bytes": 5 * GIB,
        },
        60,
        64,
    ),
    "files that say nothing": (
        {
            "proc/self/cgroup": "nonsense\n\n0::/",
            "sys/fs/cgroup/memory.max": "",
            "sys/fs/cgroup/memory.current": "-1",
            "sys/fs/cgroup/memory.stat": "inactive_file",
        },
        60,
        64,
    ),
    "a limit, and a use that nobody knows": ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": 8 * GIB}, 8, 8),
    "numbers that are none": (
        {
            "proc/self/cgroup": "0::/a",
            "sys/fs/cgroup/a/memory.max": "9" * 5000,
            "sys/fs/cgroup/memory.max": 8 * GIB,
            "sys/fs/cgroup/memory.current": 3 * GIB,
            "sys/fs/cgroup/memory.stat": f"  \ninactive_file \n \nanon\ninactive_file {'9' * 5000}",
        },
        5,
        8,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_memory_that_is_left(tmp_path: Path, name: str) -> None:
    files, available, total = CASES[name]
    root = write(tmp_path, files)
    assert part("cgroup").available_bytes(root) == available * GIB
    assert part("cgroup").total_bytes(root) == total * GIB


def test_the_budget_of_a_cpu_is_that_of_the_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = CASES["v2, a container in a namespace of its own"][0]
    assert part("limits").free_bytes("cpu") <= 60 * GIB
    monkeypatch.setattr(part("cgroup"), "ROOT", write(tmp_path, files))
    assert part("limits").free_bytes("cpu") == 5 * GIB
