"""requirements.lock: the versions of constraints.txt, each with hashes, and no address."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PIN = re.compile(r"^([A-Za-z0-9_.-]+)==([^ \\\n]+)", re.MULTILINE)
WITHOUT = {"torch", "heliport", "tzdata"}
"""torch has other hashes for CPU and CUDA; the others are of an extra and of another system."""


def pins(name: str) -> dict[str, str]:
    found = PIN.findall((ROOT / name).read_text(encoding="utf-8"))
    return {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in found}


def test_lock_and_constraints_agree() -> None:
    lock, constraints = pins("requirements.lock"), pins("constraints.txt")
    lock.pop("setuptools")
    assert set(constraints) - set(lock) == WITHOUT
    assert {name: (version, constraints.get(name)) for name, version in lock.items()} == {
        name: (version, version) for name, version in lock.items()
    }


def test_every_pin_has_hashes_and_no_address() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    for block in re.split(r"(?m)^(?=[A-Za-z0-9])", text)[1:]:
        assert re.fullmatch(r"\S+ \\\n(    --hash=sha256:[0-9a-f]{64}( \\)?\n)+", block), block[:80]
    assert not re.search(r"://|index|find-links", text)
