"""Broken plugins: each ends with one line that names the file, and with exit code 3; none is silent, none "a bug"."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from .conftest import METRIC, MODEL, TASK, Bench

Change = tuple[str, str]
BUG = re.compile(r"this is a bug|Traceback")
TASKS: Sequence[tuple[str, Sequence[Change], str]] = (
    # at import
    ("syntax", [("def task(language):", "def task(language:")], r"cities.py:15: SyntaxError: "),
    ("indentation", [("    yield task(\"vi\")", "   yield task(\"vi\")")], r"cities.py:12: IndentationError: "),
    ("null-byte", [("import xlingual as xl", "import xlingual as xl\0")], r"cities.py.*null bytes"),
    ("raises", [("ROWS = ", "1 / 0\nROWS = ")], r"cities.py:5: ZeroDivisionError: division by zero"),
    ("no-package", [("import xlingual as xl", "import nowhere_to_be_found\nimport xlingual as xl")],
     r"cities.py:3: ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
    ("exits", [("ROWS = ", "raise SystemExit(0)\nROWS = ")], r"cities.py:5: SystemExit: 0"),
    ("interrupts", [("ROWS = ", "raise KeyboardInterrupt\nROWS = ")], r"cities.py:5: KeyboardInterrupt"),
    ("own-error", [("ROWS = ", "raise xl.XlingualError('odd')\nROWS = ")], r"cities.py:5: XlingualError: odd"),
    ("other-name", [('register_task("cities")', 'register_task("towns")')], r"cities.py: .*registers no task family"),
    ("takes-xquad", [('register_task("cities")', 'register_task("xquad")')], r"cities.py: .*registers no task family"),
    ("no-decorator", [('@xl.register_task("cities")\n', "")], r"cities.py: .*registers no task family"),
    ("own-metric-of-ours", [("ROWS = ", '@xl.register_metric("squad_f1")\ndef f():\n    return 1\n\n\nROWS = ')],
     r"cities.py: the metric 'squad_f1' is xlingual.metrics's own"),
    ("one-name-twice", [("def task(", '@xl.register_task("cities")\ndef others():\n    yield None\n\n\ndef task(')],
     r"cities.py: the task family 'cities' is registered twice"),
    # the family
    ("yields-none", [('    yield task("en")\n    yield task("vi")', "    pass")],
     r"cities.py:8: task family cities: must yield tasks, got None"),
    ("yields-nothing", [('    yield task("en")\n    yield task("vi")', "    yield from ()")],
     r"cities.py:8: task family cities: yields no task"),
    ("yields-spec", [('    yield task("vi")', '    yield task("vi").spec')],
     r"cities.py:8: task family cities: yields no task, got a TaskSpec"),
    ("generator-raises", [('    yield task("vi")', "    raise KeyError('vi')")],
     r"cities.py:12: task family cities: KeyError: 'vi'"),
    ("recursion", [('    yield task("vi")', "    yield from cities()")],
     r"cities.py:\d+: task family cities: RecursionError"),
    ("twice", [('yield task("vi")', 'yield task("en")')], r"cities.py:8: .*yields the task cities/en twice"),
    ("other-family", [('f"cities/{language}"', 'f"towns/{language}"')], r"'towns/en' is not of the family 'cities'"),
    ("no-variant", [('f"cities/{language}"', '"cities"')], r"the name 'cities' is not FAMILY/VARIANT"),
    ("unsafe-name", [('f"cities/{language}"', 'f"cities/{language}/../x"')], r"'cities/en/../x' holds '/'"),
    ("glob-name", [('f"cities/{language}"', 'f"cities/{language}*"')], r"'cities/en\*' holds '\*'"),
    ("default-text", [('register_task("cities")', 'register_task("cities", default="en")')],
     r"cities.py:8: task family cities: default and scope must be tuples of texts"),
    # the spec
    ("spec-lacks", [('        licence="CC0",\n', "")], r"cities.py:\d+: task family cities: TypeError: .*'licence'"),
    ("spec-none", [("spec=spec, read", "spec=None, read")], r"yields no task, got a GenerationTask"),
    ("metrics-none", [('metrics=("squad_f1",)', "metrics=()")], r"task cities/en: metrics is empty"),
    ("metrics-text", [('metrics=("squad_f1",)', 'metrics="squad_f1"')],
     r"metrics must be a tuple of texts, got the text 'squad_f1'"),
    ("metrics-wrong", [('metrics=("squad_f1",)', 'metrics=("squad_f2",)')],
     r"task cities/en: metrics: no such metric: 'squad_f2'"),
    ("language", [("        language=language,", '        language="ent",')],
     r"task cities/en: language: no such language: 'ent'"),
    ("tokens", [("max_new_tokens=8", "max_new_tokens=8.5")],
     r"max_new_tokens must be a whole number, got the number 8.5"),
    ("tokens-below", [("max_new_tokens=8", "max_new_tokens=-1")], r"max_new_tokens must be 0 or more"),
    ("tokens-huge", [("max_new_tokens=8", "max_new_tokens=10**30")], r"max_new_tokens must be 0 or more, and below"),
    ("not-of-choices", [('("squad_f1",)', '("accuracy",)')], r"the metric accuracy scores choices, and there are none"),
    ("of-choices", [("return xl.GenerationTask(", "return xl.ChoiceTask("), ("max_new_tokens=8", "max_new_tokens=0"),
                    ("targets=(gold,)", 'targets=(gold,), choices=(gold, "x")')],
     r"none of the metrics scores choices"),
    ("version", [('version="1"', "version=1")], r"version must be a text, got the number 1"),
    ("stop-text", [('split="test",', 'split="test",\n        stop="\\n",')],
     r"stop must be a tuple of texts or None, got the text"),
    ("stop-empty", [('split="test",', 'split="test",\n        stop=("",),')], r"stop holds an empty text"),
    ("split", [('split="test"', 'split="../x"')], r"split: no split can be called '../x'"),
    ("splits", [('split="test",', 'split="test",\n        splits=("dev",),')],
     r"split 'test' is not among its splits"),
    # the examples
    ("read-raises", [("    def read(split, source):\n", "    def read(split, source):\n        {}[split]\n")],
     r"cities.py:17: task cities/en, split test: KeyError: 'test'"),
    ("read-data-error", [("    def read(split, source):\n", "    def read(split, source):\n        refuse()\n"),
                         ("ROWS = ", "from xlingual.errors import DataError\n\n\n"
                          "def refuse():\n    raise DataError('no cities')\n\n\nROWS = ")],
     r"cities.py:9: task cities/en, split test: no cities"),
    ("read-none", [("return xl.Examples(rows=tuple(", "return list(tuple(")], r"cities.py:\d+: .*TypeError"),
    ("rows-list", [("rows=tuple(row(language, *each) for each in ROWS)", "rows=[]")],
     r"rows must be a tuple, got a list"),
    ("rows-dicts", [("row(language, *each) for each", "dict(id=each[0]) for each")],
     r"cities.py:16: task cities/en: example number 1: a row must be an Example, got a dict"),
    ("extract-word", [("max_new_tokens=8", 'max_new_tokens=8, extract="last_numbr"')],
     r"task cities/en: extract: 'last_numbr' extracts nothing"),
    ("extract-pattern", [("max_new_tokens=8", 'max_new_tokens=8, extract="regex:("')],
     r"task cities/en: extract: 'regex:\(' is no regular expression"),
    ("generator-exit", [("        return xl.Prompt(", "        raise GeneratorExit\n        return xl.Prompt(")],
     r"cities.py:20: task cities/en, example 'fr': GeneratorExit"),
    ("repeat-metric", [('metrics=("squad_f1",)', 'metrics=("squad_em", "pass@2")')],
     r"task cities/en: metrics: pass@2 is of several answers"),
    ("files-text", [("files=()", 'files="x.json"')], r"files must be a tuple, got the text 'x.json'"),
    ("targets-text", [("targets=(gold,)", "targets=gold")],
     r"cities.py:16: task cities/en: example 'fr': targets must be a tuple of texts, got the text 'Paris'"),
    ("targets-none", [("targets=(gold,)", "targets=()")], r"example 'fr': targets is empty"),
    ("targets-numbers", [("targets=(gold,)", "targets=(17,)")],
     r"example 'fr': targets must be a tuple of texts, got a t"),
    ("blank", [("targets=(gold,)", 'targets=(gold, "")')], r"example 'fr': targets holds '': a blank text is found in"),
    ("zero-width", [("targets=(gold,)", 'targets=("\\u200b\\u00a0\\u200d",)')], r"example 'fr': targets holds '"),
    ("ids", [("id=key,", 'id="one",')], r"task cities/en: example 'one' comes twice, as number 1 and 2"),
    ("id-number", [("id=key,", "id=17,")], r"example number 1: id must be a text, got the number 17"),
    ("row-language", [("language=language, group", 'language="fr", group')],
     r"example 'fr': language is 'fr', the task answers in 'en'"),
    ("fields", [('{"question": key}', '{"question": 3}')], r"fields must be a mapping of texts to texts"),
    ("cluster", [("cluster=key", "cluster=None")], r"example 'fr': cluster must be a text, got None"),
    ("choices", [("targets=(gold,)", 'targets=(gold,), choices="AB"')], r"choices must be a tuple of texts or None"),
    ("no-choices", [("max_new_tokens=8", "max_new_tokens=0")], r"example 'fr': max_new_tokens is 0"),
    # the prompts
    ("ask-raises", [('example.fields["question"]', 'example.fields["frage"]')],
     r"cities.py:20: task cities/en, example 'fr': KeyError: 'frage'"),
    ("ask-text", [("return xl.Prompt(instruction=", "return str(")], r"task cities/en, example 'fr': "),
    ("ask-number", [('after=example.fields["question"]', "after=17")],
     r"task cities/en, example 'fr': after must be a text, got the number 17"),
    ("half-a-character", [('instruction="Capital?"', 'instruction="\\ud83d"')],
     r"example 'fr': the prompt holds half a"),
    ("blank-prompt", [('instruction="Capital?"', 'instruction=" "'), ('example.fields["question"]', '"\\u200b"')],
     r"example 'fr': the prompt is blank"),
    ("ask-none", [("        return xl.Prompt(", "        xl.Prompt(")],
     r"example 'fr': prompt must be a Prompt, got None"),
    ("ask-missing", [("ask=ask", "ask=None")],
     r"cities.py.*example 'fr': TypeError: 'NoneType' object is not callable"),
    ("strange-words", [("        return xl.Prompt(", "        raise Odd\n        return xl.Prompt("),
                       ("ROWS = ", "class Odd(Exception):\n    def __str__(self):\n        return 1 / 0\n\n\nROWS = ")],
     r"example 'fr': Odd: \(its words cannot be shown\)"),
)  # fmt: skip
MODELS: Sequence[tuple[str, Sequence[Change], str]] = (
    ("syntax", [("class Talker:", "class Talker")], r"talker.py:12: SyntaxError"),
    ("exits", [("class Talker:", "exit()\n\n\nclass Talker:")], r"talker.py:12: (SystemExit|NameError)"),
    ("opens-none", [("return Talker()", "pass")], r"talker.py:6: model 'talker': must return a Model, got None"),
    ("opens-text", [("return Talker()", "return 'x'")],
     r"must return a Model, got the text 'x', which has no count_tok"),
    ("open-raises", [("return Talker()", "return [][0]")], r"talker.py:9: model 'talker': IndexError"),
    ("spec-type", [("fingerprint=\"talker 1\"", "fingerprint=1")], r"fingerprint must be a text, got the number 1"),
    ("spec-blank", [("fingerprint=\"talker 1\"", "fingerprint=''")], r"spec.fingerprint must not be blank"),
    ("template", [('template="raw"', 'template="vicuna"')], r"spec.template must be one of alpaca, chat, raw"),
    ("counts", [("[1 for request in requests]", "[1]")], r"count_tokens must return a whole number for each of 24"),
    ("counts-below", [("[1 for", "[-1 for")], r"count_tokens must return a whole number for each of 24"),
    ("opener", [("def open_talker(name, options)", "def open_talker(name)")],
     r"talker.py:6: model 'talker': TypeError"),
    ("likelihood", [('text="one"', "text=None, likelihoods=()")], r"0 likelihoods for 0 choices"),
    ("counts-raise", [("[1 for request in requests]", "1 / 0")], r"talker.py:19: model 'talker': ZeroDivisionError"),
    ("answers-none", [("            yield response(request.key)", "            pass")],
     r"talker.py:21: model 'talker': answer must yield Responses, got None"),
    ("answers-texts", [("yield response(request.key)", "yield 'one'")],
     r"an answer must be a Response, got the text 'o"),
    ("two-parts", [('text="one", failure=None', 'text="one", failure=xl.Failure(kind="x", message="y")')],
     r"an answer must have one of text, failure, likelihoods; it has text and failure"),
    ("no-part", [('text="one"', "text=None")], r"it has none"),
    ("text-type", [('text="one"', "text=1")], r"text must be a text or None, got the number 1"),
    ("finish", [("finish=None", 'finish="eos"')], r"finish must be a Finish"),
    ("unknown-key", [("yield response(request.key)", 'yield response("x")')],
     r"answers what was not asked: the key 'x'"),
    ("twice", [("yield response(request.key)", "yield response(request.key)\n            yield response(request.key)")],
     r"answers a request twice"),
    ("early", [("yield response(request.key)", "yield response(request.key)\n            return")],
     r"talker.py:21: model 'talker': answer ended after 1 of 24 requests"),
    ("late", [("yield response(request.key)", "yield response(request.key)\n            request.nothing")],
     r"talker.py:24: model 'talker', 1 of 24 answered: AttributeError"),
    ("close", [("        pass", "        raise OSError('gone')")], r"talker.py:26: model 'talker': OSError: gone"),
)  # fmt: skip
METRICS: Sequence[tuple[str, Sequence[Change], str]] = (
    ("syntax", [("import xlingual as xl", "import xlingual as")], r"words.py:3: SyntaxError"),
    ("returns-none", [("return xl.MeanMetric(", "xl.MeanMetric(")], r"words.py:6: .*NoneType is no Metric"),
    ("raises", [("return xl.MeanMetric(", "1 / 0; return xl.MeanMetric(")],
     r"words.py:9: metric words: ZeroDivisionError"),
    ("other-name", [('name="words"', 'name="word"')], r"is registered as 'words' and calls itself 'word'"),
    *(
        (f"scale-{each}", [("scale=1.0", f"scale={each}")], r"words.py:6: metric words: scale must be a finite number")
        for each in ("0.0", 'float("nan")', 'float("inf")', '"1"', "True")
    ),
    ("direction", [("higher_is_better=False", 'higher_is_better="no"')], r"higher_is_better must be True or False"),
    ("bounds", [("bounds=(0.0, None)", "bounds=(1.0, 0.0)")], r"bounds must be two numbers"),
    ("signature", [('return "mean:words|1"', "return None")],
     r"words.py:23: metric words: signature must return a text"),
    ("signature-raises", [('return "mean:words|1"', "return {}[language]")],
     r"words.py:24: metric words: KeyError: 'en'"),
    ("judge-raises", [("return len(text.split())", "return response.likelihoods[0]")],
     r"words.py:20: metric words, example '[^']+': TypeError: 'NoneType' object is not subscriptable"),
    ("judge-nan", [("return len(text.split())", 'return float("nan")')],
     r"words.py:19: metric words, example '[^']+': must measure a tuple of finite numbers"),
    ("judge-text", [("return len(text.split())", "return text")],
     r"words.py.*metric words, example '[^']+': ValueError"),
    *(
        (f"judge-{name}", [("return len(text.split())", f"return {value}")],
         r"words.py:19: metric words, example '[^']+': (ValueError|TypeError|OverflowError|must measure)")
        for name, value in (
            ("number-in-a-text", '"0.5"'), ("bytes", 'b"1"'), ("list", "[1]"), ("generator", "(1 for _ in text)"),
            ("complex", "1j"), ("infinity", 'float("inf")'), ("huge", "10**400"), ("mapping", "{}"),
            ("array", '__import__("numpy").array([0.5])'),
        )
    ),
    ("out-of-bounds", [("bounds=(0.0, None)", "bounds=(0.0, 0.5)")],
     r"the score 1 is outside of its bounds \(0.0, 0.5\)"),
    ("percent", [("        scale=1.0,\n        bounds=(0.0, None),\n", ""), ("len(text.split())", "len(text)")],
     r"is outside of its bounds \(0.0, 100.0\)"),
)  # fmt: skip
BOARDS: Sequence[tuple[str, str, str]] = (
    ("syntax", "name = ", r"mine.toml:1"),
    ("key", 'name = "mine"\ntitel = "x"', r"mine.toml:2: unknown key 'titel'"),
    ("name", 'name = "yours"\ntitle = "x"\ndescription = "x"\ntasks = ["*/*"]', r"mine.toml:1: the name 'yours'"),
    ("lacks", 'name = "mine"\ntitle = "x"\ndescription = "x"', r"mine.toml.*tasks"),
)


def check(error: str, code: int, stderr: str, pattern: str) -> None:
    assert code in (2, 3), stderr
    assert not BUG.search(stderr), stderr
    assert re.search(pattern, error), error
    assert len(stderr.splitlines()) <= 3, stderr


def test_what_is_broken_below_is_whole(bench: Bench, tmp_path: Path) -> None:
    bench.write("tasks/cities.py", TASK, ('("squad_f1",)', '("words", "squad_f1")'))
    bench.write("models/talker.py", MODEL)
    bench.write("metrics/words.py", METRIC)
    finished = bench.run("eval", "-m", "talker", "-t", "cities", "-o", str(tmp_path / "runs"))
    assert finished.code == 0, finished.stderr
    assert "| talker | cities/vi | 2 | 1.0 | 0.0 |" in finished.stdout


@pytest.mark.parametrize(("changes", "pattern"), [each[1:] for each in TASKS], ids=[each[0] for each in TASKS])
def test_a_broken_task(changes: Sequence[Change], pattern: str, bench: Bench, tmp_path: Path) -> None:
    bench.write("tasks/cities.py", TASK, *changes)
    finished = bench.run(
        "eval", "-m", "oracle", "-t", "xquad/en,cities", "--data", "sample", "-o", str(tmp_path / "runs")
    )
    check(finished.error, finished.code, finished.stderr, pattern)
    assert not (tmp_path / "runs").exists()
    assert bench.run("tasks", "xquad").code == 0
    checked = bench.run("tasks", "--check", "mine/tasks/cities.py", "--data", "sample")
    assert checked.code in (2, 3), checked.stdout
    assert re.search(pattern, checked.stderr), checked.stderr


@pytest.mark.parametrize(("changes", "pattern"), [each[1:] for each in MODELS], ids=[each[0] for each in MODELS])
def test_a_broken_model(changes: Sequence[Change], pattern: str, bench: Bench, tmp_path: Path) -> None:
    bench.write("models/talker.py", MODEL, *changes)
    words = ("eval", "-t", "xquad/en", "--data", "sample", "-o", str(tmp_path / "runs"), "--progress", "none")
    finished = bench.run(*words, "-m", "talker")
    if finished.code == 0:  # tokens are counted by a dry run alone, where there is no window
        finished = bench.run(*words, "-m", "talker", "--dry-run")
    check(finished.error, finished.code, finished.stderr, pattern)
    assert bench.run(*words, "-m", "echo").code == 0


@pytest.mark.parametrize(("changes", "pattern"), [each[1:] for each in METRICS], ids=[each[0] for each in METRICS])
def test_a_broken_metric(changes: Sequence[Change], pattern: str, bench: Bench, tmp_path: Path) -> None:
    bench.write("tasks/cities.py", TASK, ('("squad_f1",)', '("words", "squad_f1")'))
    bench.write("metrics/words.py", METRIC, *changes)
    words = ("-t", "cities", "-o", str(tmp_path / "runs"), "--progress", "none")
    finished = bench.run("eval", "-m", "oracle", *words)
    check(finished.error, finished.code, finished.stderr, pattern)
    assert (
        bench.run("eval", "-m", "oracle", "-t", "xquad/en", "--data", "sample", "-o", str(tmp_path / "runs")).code == 0
    )


@pytest.mark.parametrize(("text", "pattern"), [each[1:] for each in BOARDS], ids=[each[0] for each in BOARDS])
def test_a_broken_board(text: str, pattern: str, bench: Bench, tmp_path: Path) -> None:
    bench.write("leaderboards/mine.toml", text)
    (tmp_path / "runs").mkdir()
    finished = bench.run("board", str(tmp_path / "runs"), "--board", "mine")
    check(finished.error, finished.code, finished.stderr, pattern)
    assert bench.run("board", str(tmp_path / "runs"), "--board", "sample").code == 0
