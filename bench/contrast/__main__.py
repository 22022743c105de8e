"""The same faults against xlingual, lm-eval and inspect_ai, each through its own command line: what comes out?

    python -m bench.contrast --tool xlingual --write
    python -m bench.contrast --tool lm-eval --write
    python -m bench.contrast --tool inspect --python ENVIRONMENT/bin/python --write
    python -m bench.contrast --tool lm-eval --faults kill "full disk"     # prints what it finds

A model on 127.0.0.1 answers 12 questions, one at a time; no network is needed. What is recorded holds no date, no path
and no port. `--write` keeps it in `bench/contrast/recorded`, from which `make docs` makes a table of
`docs/reliability.md`. A full disk is a file system of 96 MB that only root can mount: else that row is "not measured".
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .faults import FAULTS, Bench
from .inspect_tool import Inspect
from .lm_eval_tool import LmEval
from .places import Place, Tool
from .titles import TITLES
from .words import words_of
from .xlingual_tool import Xlingual

RECORDED = Path(__file__).with_name("recorded")
TOOLS: dict[str, Callable[[str], Tool]] = {"xlingual": Xlingual, "lm-eval": LmEval, "inspect": Inspect}


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="bench.contrast", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tool", required=True, choices=list(TOOLS))
    parser.add_argument("--python", default=sys.executable, help="of the environment that the tool is installed in")
    parser.add_argument("--faults", nargs="+", choices=list(FAULTS), default=list(FAULTS))
    parser.add_argument("--retell", action="store_true", help="only put into words anew what is recorded")
    parser.add_argument("--write", action="store_true", help="keep what is found, in place of what was found before")
    parser.add_argument("--keep", type=Path, help="leave the folders of the runs here")
    return parser.parse_args()


def measure(tool: Tool, fault: str, root: Path) -> dict[str, object]:
    """Do one fault to one tool."""
    place = Place(root=root)
    place.prepare()
    tool.prepare(place)
    bench = Bench(tool=tool, place=place, commands=[])
    if fault == "full disk" and shutil.which("mount") is None:
        facts: dict[str, object] = {"not measured": "needs mount"}
    else:
        facts = dict(FAULTS[fault](bench))
    return {"title": TITLES[fault], "commands": bench.commands, "facts": facts, "words": words_of(fault, facts)}


def read(path: Path) -> dict[str, Any]:
    """Return what is recorded of a tool so far; another process may measure other faults meanwhile."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"faults": {}}
    return found


def keep(path: Path, found: dict[str, Any]) -> None:
    """Write what was found of a tool, in the order of the page."""
    ordered = {name: found["faults"][name] for name in FAULTS if name in found["faults"]}
    text = json.dumps({**found, "faults": ordered}, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def main() -> None:
    """Measure, and print or keep what was found."""
    options = parse()
    tool = TOOLS[options.tool](options.python)
    path = RECORDED / f"{options.tool}.json"
    found = {"tool": tool.name, "version": tool.version(), "faults": read(path)["faults"]}
    if options.retell:
        for fault, one in found["faults"].items():
            one.update(title=TITLES[fault], words=words_of(fault, one["facts"]))
        keep(path, found)
        return
    root = options.keep or Path(tempfile.mkdtemp(prefix="contrast-"))
    root.mkdir(parents=True, exist_ok=True)
    for number, fault in enumerate(options.faults):
        one = measure(tool, fault, Path(tempfile.mkdtemp(prefix=f"{number}-", dir=root)))
        print(f"{fault}: {one['words']}\n  {json.dumps(one['facts'])}", flush=True)
        if options.write:
            keep(path, {**found, "faults": {**read(path)["faults"], fault: one}})
    if not options.keep:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
