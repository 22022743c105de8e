"""What is wrong in a declaration is named with its line, before anything is read or asked."""

import pytest

from xlingual.errors import DataError
from xlingual.extraction import extract_answer

from .conftest import Declare

CHOICES = 'choices = { texts = ["{a}", "{b}"], labels = "AB" }\nanswer = { column = "seas", kind = "index" }'
LABELLED = 'prompt = { input = "{river} {options} " }'
PROMPT = 'prompt = { instruction = "{task}", input = "{label} {river}\\n{answer_label} " }'


@pytest.mark.parametrize(
    ("old", "new", "line", "what", "hint"),
    [
        ('shots = "dev"', 'shot = "dev"', 6, "unknown key 'shot'", "did you mean shots"),
        ('licence = "CC0"\n', "", None, "key 'licence' is missing", "it must be a text"),
        ('version = "1"', "version = 1", 4, "'version' must be a text, got 1", ""),
        ("{label} {river}", "{label {river}", 8, "'input' has a single '{'", "names stand in braces"),
        ("{label} {river}", "{label.upper()} {river}", 8, "'input' has '{label.upper()}' is no name", "names stand"),
        ("{label} {river}", "{label[0]} {river}", 8, "'input' has '{label[0]}' is no name", "names stand"),
        ("{label} {river}", "{label!r} {river}", 8, "'input' has '{label!r}' is no name", "names stand"),
        ("{label} {river}", "{label} {rivr", 8, "'input' has a single '{'", "names stand in braces"),
        ("{label} {river}", "{label}", 8, "names nothing of the data", "columns stand in braces"),
        ('answer = "seas"', 'answer = "seas"\nvariants.x = "{label} "', 10, "names nothing of the data", "columns"),
        ("{label} {river}", "{} {river}", 8, "'input' has '{}' is no name", "names stand"),
        ("{label} {river}", "}} {river} }", 8, "'input' has a single '}'", "names stand"),
        ("de = {", "xx = {", 12, "no such language: 'xx'", ""),
        ("de = {", "English = {", 12, "the language 'en' is there twice", ""),
        (', answer_label = "Meer:"', "", 12, "'de' has no word 'answer_label', which 'en' has", ""),
        (', answer_label = "Meer:"', ', answerlabel = "M"', 11, "'en' has no word 'answerlabel', which", "did you"),
        ('de = { task = "Nenne das Meer.", label = "Fluss:", answer_label = "Meer:" }', 'de = "fr"', 12,
         "'de' takes the words of 'fr', which has none of its own", "known: en"),
        ('shots = "dev"', 'shots = "dev"\nsplits.test.file = "x"', 7, "unknown key 'file'", "did you mean files"),
        ('shots = "dev"', 'shots = "dew"\nsplits.dev.files = "x"', 6, "there is no split 'dew'", "did you mean dev"),
        ('files = "rivers/{language}.{split}.jsonl"\n', "", None, "does not say where the rows of 'test' are", "such"),
        ('files = "', 'hub = "org/name@main"\nfiles = "', 5, "'org/name@main' is not ORG/NAME@COMMIT", "COMMIT is"),
        ('files = "', 'url = "https://x.org/a.tsv"\nfiles = "', 5, "what is at this address may change", "name a"),
        ('files = "', 'url = "http://x.org/a.tsv"\nfiles = "', 5, "'http://x.org/a.tsv' is no https address", ""),
        ('files = "', 'sha256 = "12"\nfiles = "', 5, "'sha256' must be 64 hex digits", ""),
        ('files = "', 'format = "xlsx"\nfiles = "', 5, "'format' is 'xlsx'", "one of jsonl"),
        ('files = "', 'columns = ["a", "a"]\nfiles = "', 5, "two of 'columns' are the same", ""),
        ('answer = "seas"', 'answer = { column = "seas", kind = "number2" }', 9, "'kind' is 'number2'", "one of text"),
        ('answer = "seas"', 'answer = { column = "seas", kind = "index" }', 9,
         "an answer of kind 'index' needs choices", ""),
        ('answer = "seas"', 'answer = { column = "seas", first = 1 }', 9, "'first' is of an index", ""),
        ('answer = "seas"', 'answer = { column = "seas", kind = "value" }', 9, "the kind 'value' and the list of", ""),
        ('answer = "seas"', 'answer = { kind = "text" }', 9, "key 'column' is missing", ""),
        ('answer = "seas"', 'answer = "seas"\nextract = "last_numbr"', 10, "'last_numbr' extracts nothing", "did you"),
        ('answer = "seas"', 'answer = "seas"\nmax_new_tokens = 0', 10, "'max_new_tokens' must be at least 1", ""),
        ('answer = "seas"', 'answer = "seas"\nstop = ""', 10, "'stop' must be a text or a list of texts", ""),
        ('answer = "seas"', 'answer = "seas"\nstop = "\\n{river}"', 10, "{river} is no word of the languages", "known"),
        ('answer = "seas"', 'answer = "seas"\nsampling = { top_p = 0.5 }', 10, "key 'temperature' is missing", "with"),
        ('answer = "seas"', 'answer = "seas"\nsampling = { temperature = 0 }', 10, "'temperature' must be above 0", ""),
        ('answer = "seas"', 'answer = "seas"\npassage = "passage"', 10, "no prompt has {passage}", ""),
        ('answer = "seas"', 'answer = "seas"\nfields.label = "river"', 10, "'label' is the name of a field", "rename"),
        ('answer = "seas"', 'answer = "seas"\nvariants.own = "x"', 10, "a variant cannot be called 'own'", "that"),
        ('answer = "seas"', 'answer = "seas"\nwords.en = { task = "x" }', 10, "'en' is among the languages", "its"),
        ('id = "{id}"', 'fields.x = { column = "sea", of = "en" }', 7, "a column of another language", "such"),
        ('id = "{id}"', 'fields.x = { colum = "sea" }', 7, "unknown key 'colum'", "did you mean column"),
        ('answer = "seas"', 'choices = { texts = ["a", "b"], labels = "AA" }', 9, "needs two different labels", "such"),
        ('answer = "seas"', 'choices = ["a", "a"]', 9, "two of 'choices' are the same", ""),
        ('answer = "seas"', CHOICES, 8, "choices with labels must be shown: no prompt has {options}", ""),
        ('answer = "seas"', CHOICES + "\nrepeats = 2", 8, "choices with labels must be shown", ""),
        (PROMPT + '\nanswer = "seas"', LABELLED, 8, "{options} needs choices with labels", "choices = {"),
        (PROMPT + '\nanswer = "seas"', f"{LABELLED}\n{CHOICES}\nrepeats = 2", 11, "'repeats' is of no use where", ""),
        ("id = ", "rows = []\nid = ", 7, "must be tables of texts, numbers and lists", ""),
        ("{label} {river}", "{label} {river", 8, "'input' has a single '{'", ""),
        ("id = ", 'quoted = "yes"\nid = ', 7, "'quoted' must be true or false, got 'yes'", ""),
        ("id = ", 'fields.x = { column = "a", lower_first = 1 }\nid = ', 7, "'lower_first' must be true or false", ""),
        ("id = ", 'fields.x = { column = "a", of = "fr" }\nid = ', 7, "takes a column of 'fr', which is not", "known"),
        ('answer = "seas"', 'answer = { column = "a", of = "fr" }', 9, "takes a column of 'fr', which is not", "known"),
        ("id = ", 'extract = "after:{lable}"\nid = ', 7, "{lable} is no word of the languages", "did you mean label"),
        ("id = ", 'extract = "last_number > after:{x}"\nid = ', 7, "{x} is no word of the languages", "known"),
        ("id = ", 'shared = ["rivr"]\nid = ', 7, "no prompt has {rivr}", "did you mean river"),
        ("id = ", 'variants."a,b" = "{river} "\nid = ', 7, "a variant cannot be called 'a,b'", "--variants takes"),
        ("id = ", 'variants.all = "{river} "\nid = ', 7, "a variant cannot be called 'all'", "--variants takes"),
        ("id = ", 'member = "x"\nid = ', 7, "'member' is of what a url gives", "leave it out"),
        ("id = ", f'sha256 = "{"0" * 64}"\nid = ', 7, "'sha256' is of what a url gives", "leave it out"),
        ("id = ", "rows = [{ id = 1, river = nan, seas = 1 }]\nid = ", 7, "must be tables of texts, numbers", ""),
        ('de = { task = "Nenne das Meer.", label = "Fluss:", answer_label = "Meer:" }', 'de = "de"', 12,
         "'de' takes the words of 'de', which has none of its own", "did you mean en"),
    ],
)  # fmt: skip
def test_faults(old: str, new: str, line: int | None, what: str, hint: str, declare: Declare) -> None:
    with pytest.raises(DataError) as caught:
        declare((old, new))
    assert caught.value.what.startswith(what)
    assert caught.value.where.endswith("rivers.toml" + (f":{line}" if line else ""))
    assert caught.value.hint.startswith(hint)


def test_braces_of_a_pattern_are_its_own(declare: Declare) -> None:
    task = declare(('answer = "seas"', "answer = \"seas\"\nextract = 'regex:\\p{Lu}\\w{3}'"))["en"]
    assert task.spec.extract == "regex:\\p{Lu}\\w{3}"


def test_words_are_texts_in_patterns(declare: Declare) -> None:
    changes = [
        ('answer_label = "Sea:"', 'answer_label = "Sea (short):"'),
        ('answer = "seas"', 'answer = "seas"\nextract = "regex:{answer_label} (\\\\w+) > after:{answer_label}"'),
    ]
    task = declare(*changes)["en"]
    assert task.spec.extract == r"regex:Sea \(short\): (\w+) > after:Sea (short):"
    assert extract_answer(task.spec.extract.partition(" > ")[0], "en", "Sea (short): Baltic") == "Baltic"
