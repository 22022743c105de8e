"""What `make tune` runs: `xlingual tune run` with the words of make, through the environment as in `make eval`.

The whole model of an adapter is written, too, for `make eval` to take.
Nothing set is x-LLaMA in small; a recipe in small trains on the packaged sample unless DATA says otherwise.
"""

import shlex
import sys
from collections.abc import Mapping
from functools import partial

from .make_words import make_word, run_made

DEMO = "x-llama-zh-mini"
SMALL = "-mini"
"""Ends the names of recipes whose paths are those of the packaged sample."""


def build_arguments(environment: Mapping[str, str]) -> list[str]:
    """Return the arguments of `xlingual` for the values of RECIPE, BASE, DATA, OUT and ARGS."""
    word = partial(make_word, environment)
    recipe = word("RECIPE") or DEMO
    data = word("DATA") or ("sample" if recipe.endswith(SMALL) else "")
    arguments = ["tune", "run", "--merge", "--out", word("OUT") or "runs"]
    for option, value in (("--base", word("BASE")), ("--data", data)):
        arguments += [option, value] if value else []
    return [*arguments, *shlex.split(word("ARGS")), "--", recipe]


if __name__ == "__main__":
    sys.exit(run_made(build_arguments))
