"""The recipes of the experiment: what is compared differs in the mix, and in nothing else."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

ENGLISH = "english"
LANGUAGES = ("zh", "vi")
INSTRUCTIONS = "mix"
MOST = 5000
"""Rows of each Alpaca that mixes are drawn from: planning reads all of them, several times."""

_HEAD = """name = "{name}"
description = "{description}"
base = {base}
template = "alpaca"
seed = {seed}
length = 256
on_long = "drop"
"""
_TAIL = """
[method]
kind = "lora"
rank = 16
alpha = 32.0

[schedule]
epochs = 1
rows_per_step = 16
learning_rate = 1e-3
warmup = 0.1
weight_decay = 0.0
clip = 1.0
norm = "token"
"""
_SOURCE = """
[sources.{name}]
reader = "{reader}"
path = "{path}"
{place} = "{where}"
use = "{use}"
"""
_NEWS = "parallel/wmt-newstest/eng-zho/newstest2018.{en:eng,zh:zho}"
_TATOEBA = "parallel/tatoeba/eng-vie/tatoeba-test-v2021-08-07.{en:eng,vi:vie}"


@dataclass(frozen=True, slots=True)
class Source:
    """A part of a mix."""

    name: str
    reader: str
    path: str
    where: str
    """A language, or a direction."""
    use: str
    max_epochs: int = 1


def sources_of(language: str, rows: int) -> list[Source]:
    """Return the parts of the mix of a language, or of English alone; `rows` are those of the last one."""
    use = f"{rows} rows"
    english = Source("alpaca-en", "alpaca", f"{INSTRUCTIONS}/en.jsonl", "en", "400 rows")
    if language == "zh":
        own = Source("alpaca-zh", "alpaca", f"{INSTRUCTIONS}/zh.jsonl", "zh", "400 rows")
        return [english, own, Source("news", "parallel", _NEWS, "en-zh", use)]
    if language == "vi":
        own = Source("lima-vi", "alpaca", f"{INSTRUCTIONS}/vi.jsonl", "vi", "all")
        # All 2,500 sentences are not enough for the default of supervised tokens: some are learnt twice.
        return [english, own, Source("sentences", "parallel", _TATOEBA, "en-vi", use, max_epochs=2)]
    return [replace(english, use=use)]


def write_recipe(folder: Path, language: str, seed: int, base: str, rows: int) -> Path:
    """Write the recipe of a language and a seed, named "coit-zh-1" or "english-1"; return its file."""
    name = f"{language if language == ENGLISH else f'coit-{language}'}-{seed}"
    kind = "instructions in English" if language == ENGLISH else f"CoIT in {language}"
    parts = [_HEAD.format(name=name, description=kind, base=json.dumps(base), seed=seed)]
    for each in sources_of(language, rows):
        place = "direction" if each.reader == "parallel" else "language"
        parts.append(_SOURCE.format(**asdict(each), place=place))
        if each.max_epochs > 1:
            parts.append(f"max_epochs = {each.max_epochs}\n")
    path = folder / f"{name}.toml"
    path.write_text("".join([*parts, _TAIL]), encoding="utf-8")
    return path


def make_data(data: Path, folder: Path) -> None:
    """Make a data folder with all of `data` by links, and the instructions that the mixes are drawn from.

    These are the first MOST rows of Alpaca in English and Chinese, and the first turns of LIMA in Vietnamese.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for each in sorted(data.absolute().iterdir()):
        link = folder / each.name
        if each.is_dir() and not link.is_symlink():
            link.symlink_to(each, target_is_directory=True)
    folder = folder / INSTRUCTIONS
    folder.mkdir(exist_ok=True)
    for language in ("en", "zh"):
        rows = json.loads((data / "alpaca" / f"alpaca_data.{language}.json").read_text(encoding="utf-8"))[:MOST]
        _write(folder / f"{language}.jsonl", rows)
    turns = sorted(set(_first_turns(data / "more" / "alpaca-x" / "vi-lima")))
    _write(folder / "vi.jsonl", [{"instruction": asked, "input": "", "output": said} for asked, said in turns])


def _write(file: Path, rows: Sequence[object]) -> None:
    file.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), encoding="utf-8")


def _first_turns(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.glob("*.json")):
        for row in json.loads(path.read_text(encoding="utf-8")):
            asked, said = ((row.get(each) or [None])[0] for each in ("prompt", "response"))
            if asked and said:
                yield asked.strip(), said.strip()
