"""Real benchmark files, which lie beside the checkout and not in it: tests that want them are skipped without."""

from pathlib import Path

import pytest

REAL = Path(__file__).resolve().parents[2] / "shared" / "data"


def real_file(*parts: str) -> Path:
    """Return the path of a real file, or skip the test that asks for it."""
    path = REAL.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"the real data are not beside this checkout ({'/'.join(parts)})")
    return path
