"""Acceptance rates of prompt-lookup drafts, by the length of the n-gram before them: what `PRIOR_ACCEPTANCE` holds.

    python -m bench.fit_drafts [--data DIR] [--count 48]

The prompts are none of a benchmark's: sentences of Tatoeba to translate, tasks of Alpaca that come with a text, and
questions on the paragraphs below. Every match is drafted, `DRAFT` tokens long, so that each rate is of all matches and
not of those alone that the settings in force would try. Drafts change no answer. It takes three minutes on two cores,
and printed this, with the draft tokens that were judged in brackets:

    tokens of the n-gram      1           2          3          4          6          7          8
    translate            0.56 (515)  0.86 (29)  0.78 (18)  0.88 (8)   0.89 (97)  0.96 (27)  0.96 (308)
    instruct             0.40 (772)  0.56 (132) 0.20 (10)  0.71 (14)  0.90 (108) 0.82 (22)  0.95 (269)
    read                 0.36 (230)  0.68 (37)  0.00 (0)   1.00 (4)   0.86 (22)  0.40 (5)   0.96 (52)
    all                  0.45 (1517) 0.63 (198) 0.57 (28)  0.81 (26)  0.89 (227) 0.85 (54)  0.96 (629)

An n-gram of five tokens stood before none: a draft that is accepted takes a match of two or three to six or more.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from xlingual.plugin import ModelOptions
from xlingual.records import Form, Message, Request, Role
from xlingual.selection import open_model

from .ways import Loaded, part

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
DRAFT = 4
"""Tokens of a draft beside others; `MIN_SHARED_DRAFT` of the engine."""
ROWS = 16
"""Sequences at once."""
SURE = 1e6
"""Trials that are believed to have been accepted, so that every match is drafted."""
NEW = {"translate": 64, "instruct": 64, "read": 48}
"""Tokens of an answer."""
PASSAGES = {
    "The bakery in Mill Lane opened in 1987, when Ruth Okafor bought an old oven from a ship that was "
    "taken apart in the harbour. She baked rye bread for the dock workers and, on Saturdays, plum cakes "
    "for their children. Her son Daniel runs it today with four employees; the oven is still in use, and "
    "the recipe for the rye bread is kept in a tin box.": (
        "Who bought the oven?", "When did the bakery open?", "What is kept in a tin box?",
        "What was baked on Saturdays?", "How many employees does Daniel have?", "Where did the oven come from?"),
    "Lake Arvin lies at a height of 640 metres and freezes from December to March. Its water comes from "
    "two brooks, the Senn and the Little Senn, and leaves it over a dam that was built in 1911 to drive a "
    "saw mill. Since the mill closed in 1974, the dam has been used to hold back the flood of spring. "
    "Pike, perch and trout live in the lake.": (
        "How high does the lake lie?", "Which brooks feed the lake?", "When was the dam built?",
        "Which fish live there?", "What is the dam used for since 1974?", "When does the lake freeze?"),
    "In the library's reading room, a lamp with a green shade stands on each of its 32 desks. The room "
    "was planned by the architect Ines Falk, who wanted readers to hear nothing but the turning of pages: "
    "the floor is of cork, the doors are lined with felt, and the clock has no bell. A rule from 1926, "
    "still in force, forbids pencils harder than 2B.": (
        "How many desks are there?", "Who planned the room?", "What is the floor made of?",
        "Why has the clock no bell?", "Which pencils are forbidden?", "What stands on each desk?"),
}  # fmt: skip
"""Written for this script."""


def main() -> None:
    """Answer the prompts of each kind, and print the rates of each and of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--count", type=int, default=48, help="prompts of a kind")
    options = parser.parse_args()
    choice = ModelOptions(offline=True)
    opened: Any = open_model(options.model, choice)
    description = getattr(opened, "inner", opened).description
    engine = part("packed.verification").try_packed(part("checkpoint.loading").load(description, choice))
    loaded = Loaded(description=description, engine=engine)
    kinds = {"translate": translations(options.data), "instruct": instructions(options.data), "read": readings()}
    counts = {name: count(loaded, list(islice(each, options.count))) for name, each in kinds.items()}
    for name, (judged, hits) in counts.items():
        sys.stdout.write(f"{name:10}" + show(judged, hits) + "\n")
    judged, hits = (
        [sum(each) for each in zip(*part_of, strict=True)] for part_of in zip(*counts.values(), strict=True)
    )
    sys.stdout.write("all       " + show(judged, hits) + "\n")


def show(judged: list[float], hits: list[float]) -> str:
    """Return the rates of one kind, each with the number of draft tokens behind it."""
    return "".join(f"{hit / max(1.0, of):6.2f} ({of:5.0f})" for of, hit in zip(judged, hits, strict=True))


def count(loaded: Loaded, requests: list[Request]) -> tuple[list[float], list[float]]:
    """Return the draft tokens that were judged, and those that were accepted, by the length of the n-gram before."""
    lookup: Any = part("packed.prompt_lookup")
    scheduler: Any = part("packed.scheduler")
    lengths = len(lookup.PRIOR_ACCEPTANCE)
    tally = lookup.PromptLookup(proposed=[SURE] * lengths, accepted=[SURE] * lengths)
    lookup.ACCEPTANCE_WINDOW, scheduler.PromptLookup = 2 * SURE, lambda **_settings: tally
    prompts = part("tokens.rendering").render(loaded.description.tokenizer, requests, loaded.description.vocabulary)
    for response in scheduler.generate_packed(loaded.engine, prompts, part("limits").RowLimit(rows=ROWS)):
        if response.failure is not None:
            sys.exit(f"no answer: {response.failure.message}")
    return [each - SURE for each in tally.proposed], [each - SURE for each in tally.accepted]


def ask(kind: str, number: int, text: str) -> Request:
    """Return the request of a prompt, by the chat template of the model."""
    message = Message(role=Role.USER, text=text)
    stop = () if kind == "instruct" else ("\n",)
    return Request(key=f"{kind} {number}", form=Form.CHAT, messages=(message,), stop=stop, max_new_tokens=NEW[kind])


def translations(data: Path) -> Iterator[Request]:
    """Yield sentences of Tatoeba to translate."""
    found = sorted((data / "parallel" / "tatoeba" / "deu-eng").glob("*.eng"))
    sentences = [line for path in found for line in path.read_text(encoding="utf-8").splitlines() if len(line) > 40]
    for number, sentence in enumerate(sentences):
        yield ask("translate", number, f"Translate the following sentence from English to German.\n{sentence}")


def instructions(data: Path) -> Iterator[Request]:
    """Yield tasks of Alpaca that come with a text of some length."""
    rows = json.loads((data / "alpaca" / "alpaca_data.en.json").read_text(encoding="utf-8"))
    texts = [f"{row['instruction']}\n\n{row['input']}" for row in rows if 100 < len(row["input"]) < 600]
    yield from (ask("instruct", number, text) for number, text in enumerate(texts[::37]))


def readings() -> Iterator[Request]:
    """Yield questions on the passages."""
    found = [(passage, question) for passage, questions in PASSAGES.items() for question in questions]
    for number, (passage, question) in enumerate(found):
        yield ask("read", number, f"Read the passage and answer the question.\n\n{passage}\n\nQuestion: {question}")


if __name__ == "__main__":
    main()
