"""What `make xllama` runs: `xlingual xllama` with the words of make."""

import shlex
import sys
from collections.abc import Mapping

from .make_words import make_word, run_made


def build_arguments(environment: Mapping[str, str]) -> list[str]:
    """Return the arguments of `xlingual` for the values of SCALE, BASE, LANGS, DATA, LIMIT, OUT and ARGS."""
    arguments = ["xllama"]
    for name in ("SCALE", "BASE", "LANGS", "DATA", "LIMIT", "OUT"):
        if value := make_word(environment, name):
            arguments += [f"--{name.lower()}", value]
    return [*arguments, *shlex.split(make_word(environment, "ARGS"))]


if __name__ == "__main__":
    sys.exit(run_made(build_arguments))
