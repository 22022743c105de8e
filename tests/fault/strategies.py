"""What hypothesis puts into files: bytes, damaged files, and JSON whose values are of another kind."""

import copy
import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

PIECES = (
    b"\x00", b"\xff", b"\xef\xbb\xbf", b"\r", b"\n", b'"', b"\\", b"{", b"}", b"[" * 200, b"]", b",", b":", b"NaN",
    b"1e999", b"-0", b"9" * 400, b"\\ud800", b"\xe2\x80\xa8", b"null", b"true", b"[[", b"]]", b"=", b"'''", b"#", b"\t",
    b"\x1b[2J",
)  # fmt: skip
VALUES: tuple[object, ...] = (
    None, True, False, 0, -1, 2**63, 10**400, 0.5, -1e308, "", " ", "x", "\ud800", "\u202e", "a\nb", "../../x", [], {},
    [[]],     [None], {"": None}, {"key": 1},
)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """Draw a file that is one of `seeds` after a few cuts, copies and pieces put in, or bytes of no kind."""
    if draw(st.integers(0, 4)) == 0:
        return draw(st.binary(max_size=200))
    data = draw(st.sampled_from(list(seeds)))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, max(0, len(data) - 1)))
        end = min(len(data), start + draw(st.integers(0, 40)))
        piece = draw(st.sampled_from([b"", data[start:end] * 2, *PIECES]))
        data = data[:start] + piece + data[end:]
    return data


@st.composite
def mistyped(draw: st.DrawFn, seed: Any) -> str:  # noqa: ANN401 - JSON
    """Draw JSON that is `seed` but for one or two values, which are of another kind, missing, or unknown keys."""
    document = copy.deepcopy(seed)
    for _ in range(draw(st.integers(1, 2))):
        places = list(_places(document))
        if not places:
            break
        holder, key = draw(st.sampled_from(places))
        change = draw(st.integers(0, 9))
        if change == 0:
            del holder[key]
        elif change == 1 and isinstance(holder, dict):
            holder["no such key"] = draw(st.sampled_from(VALUES))
        else:
            holder[key] = copy.deepcopy(draw(st.sampled_from(VALUES)))
    return json.dumps(document)


def _places(value: Any) -> list[tuple[Any, Any]]:  # noqa: ANN401 - JSON
    """Return every value within `value`, by what holds it and its key there."""
    keys: list[Any] = (
        list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    )
    found = [(value, key) for key in keys]
    for key in keys:
        found += _places(value[key])
    return found
