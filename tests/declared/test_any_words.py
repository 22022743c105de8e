"""Words of a language in what is extracted are texts, whatever signs they hold: brackets, braces, names in braces."""

import json
import random

from xlingual.extraction import extract_answer

from .conftest import Declare

SIGNS = [*"ab{}[](). *+?|^$\\-#&~:é答：", "{b}", *["{c}"] * 9, "\\d"]
CODES = ("en", "de", "fr", "hi", "zh", "ar", "tr", "sw", "ru", "th", "ko", "el")


def test_words_match_themselves(declare: Declare) -> None:
    drawn = random.Random(20261126)
    for how, said in (("regex:{b} (\\d+)", "x {} 42 y"), ("after:{b}", "x {} 42")):
        words = {code: f"{''.join(drawn.choices(SIGNS, k=drawn.randint(1, 8))).strip()}." for code in CODES}
        rows = "".join(f'{code} = {{ a = "Z", b = {json.dumps(word)}, c = "Z" }}\n' for code, word in words.items())
        text = (
            f'description = "d"\nlicence = "CC0"\ncitation = "none"\nversion = "1"\nfiles = "a.jsonl"\n'
            f'prompt = "{{question}} {{b}}"\nextract = {json.dumps(how)}\n[languages]\n{rows}'
        )
        for code, task in declare(text=text).items():
            word = task.spec.extract
            assert word is not None
            assert extract_answer(word, code, said.replace("{}", words[code])) == "42", (word, words[code])
