"""The answers that are judged: read from the folders of finished runs, as their metrics saw them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from ..errors import DataError, UsageError
from ..files import read_json, read_json_lines
from ..files.json_file import CHANGED
from ..identity import Json
from ..planning import parse_limit
from ..prompt import ALPACA_WITH_INPUT, ALPACA_WITHOUT_INPUT
from ..records import RunRecord, Statistics
from ..serial import from_json
from ..store import walk_runs

JUDGED_PREFIX = "judge_"
"""Begins the families of judged results, which are not judged again."""
RESULTS = "results"
LIMITED = "results-limit-"


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedAnswer:
    """One answer of a run."""

    id: str
    repeat: int
    """From 0, where questions were asked several times."""
    group: str
    cluster: str
    targets: tuple[str, ...]
    asked: str
    """What the model was asked, without a wrapper."""
    text: str | None
    """Without thinking, and only what was extracted where a task extracts; None: there is no answer."""
    statistics: Mapping[str, Statistics | None]
    """By metric, as the run was scored."""
    messages: Json
    """What the model was asked, as the run has it."""

    @property
    def name(self) -> str:
        """The id, with the repeat where it is not the first; no two answers of a run share it."""
        plain = self.id.replace("~", "~~")
        return f"{plain}~{self.repeat}" if self.repeat else plain


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedRun:
    """A finished run, or a limited one."""

    folder: Path
    record: RunRecord
    answers: tuple[JudgedAnswer, ...]
    licence: str | None

    @property
    def name(self) -> str:
        """Model and task, for messages."""
        return f"{self.record.model.name} on {self.record.label}"


def find_runs(words: Sequence[str], tasks: Sequence[str] = ()) -> tuple[list[JudgedRun], list[str]]:
    """Return the runs in the folders that `words` name, and a note for each that cannot be judged.

    `tasks` are globs over task names; (): all. Of a folder with a whole and with limited runs the whole one is taken,
    else the limited one with most examples. Raises UsageError where nothing is left, DataError for a broken file.
    """
    paths = list(dict.fromkeys(path for word in words for path in _results(Path(word))))
    found, notes = [], []
    for path in paths:
        record = from_json(RunRecord, read_json(path), where=str(path))
        name = record.protocol.task
        if name.startswith(JUDGED_PREFIX) or (tasks and not any(_fits(name, each) for each in tasks)):
            continue
        if record.protocol.max_new_tokens == 0:
            notes.append(
                f"{record.model.name} on {record.label} chooses among given answers, which no judge is needed for"
            )
            continue
        found.append(read_run(path, record))
    if not found:
        where = ", ".join(words)
        raise UsageError(
            "no run here has answers to judge", where=where, hint=next(iter(notes), "xlingual eval makes one")
        )
    return found, notes


def _fits(task: str, pattern: str) -> bool:
    return fnmatchcase(task, pattern) or task.partition("/")[0] == pattern


def _results(root: Path) -> Iterator[Path]:
    """Yield the results file of every run below `root`, one a folder."""
    if root.is_file() and root.name.startswith(RESULTS) and root.suffix == ".json":
        yield root
        return
    if not root.is_dir():
        raise UsageError("no such folder of a run", where=str(root), hint="name a folder that xlingual eval wrote")
    folders: dict[Path, list[Path]] = {}
    for path in walk_runs(root):
        if path.name == f"{RESULTS}.json" or (path.name.startswith(LIMITED) and path.suffix == ".json"):
            folders.setdefault(path.parent, []).append(path)
    for paths in folders.values():
        yield max(paths, key=_size)


def _size(path: Path) -> tuple[int, str]:
    """Return what ranks results of one folder: the whole run, then the number of examples."""
    if path.name == f"{RESULTS}.json":
        return 1 << 62, ""
    first, _, last = path.stem.removeprefix(LIMITED).partition("-")
    return (int(last) - int(first) if first.isdigit() and last.isdigit() else -1), path.name


def read_run(path: Path, record: RunRecord) -> JudgedRun:
    """Read the samples of a run beside its results; DataError naming the file and the line that is none."""
    samples = path.with_name(f"samples{path.stem.removeprefix(RESULTS)}.jsonl")
    if not samples.is_file():
        raise DataError("there are no samples", where=str(samples), hint="run the same xlingual eval again")
    lines = read_json_lines(samples)
    seen: dict[str, int] = {}
    answers = []
    for number, line in enumerate(lines, start=1):
        answer = _read_answer(line, f"{samples}:{number}", record.template, seen)
        answers.append(answer)
    repeats = record.protocol.repeats or 1
    if twice := next((each.id for each in answers if each.repeat >= repeats), None):
        raise DataError(f"the example {twice!r} stands on too many lines", where=str(samples), hint=CHANGED)
    if len(answers) != record.protocol.n * repeats:
        raise DataError(f"holds {len(answers)} samples of {record.protocol.n}", where=str(samples), hint=CHANGED)
    return JudgedRun(folder=path.parent, record=record, answers=tuple(answers), licence=_licence(path.parent))


def _read_answer(line: Mapping[str, Json], where: str, template: str, seen: dict[str, int]) -> JudgedAnswer:
    match line:
        case {"id": str(name), "cluster": str(cluster), "statistics": dict(statistics), "messages": list(messages)}:
            repeat = seen.get(name, -1) + 1
            seen[name] = repeat
        case _:
            raise DataError("not a line of samples", where=where, hint=CHANGED)
    targets, group = line.get("targets"), line.get("group")
    return JudgedAnswer(
        id=name,
        repeat=repeat,
        group=group if isinstance(group, str) else cluster,
        cluster=cluster,
        targets=tuple(str(each) for each in targets) if isinstance(targets, list) else (),
        asked=_asked(messages, template, where),
        text=_text(line),
        statistics={metric: _numbers(values, where) for metric, values in statistics.items()},
        messages=messages,
    )


def _text(line: Mapping[str, Json]) -> str | None:
    if line.get("failure") is not None or line.get("unfinished_thinking") is True:
        return None
    text = line.get("scored", line.get("answer"))
    if text is None and "scored" in line:
        return ""  # there was nothing to extract, which metrics see as an empty answer
    return text if isinstance(text, str) else None


def _numbers(values: Json, where: str) -> Statistics | None:
    if values is None:
        return None
    if not isinstance(values, list):
        raise DataError("statistics are no list", where=where, hint=CHANGED)
    return tuple(from_json(float, each, where=where) for each in values)


def _asked(messages: Sequence[Json], template: str, where: str) -> str:
    """Return the last message of the user, without the wrapper of the Alpaca template."""
    for message in reversed(messages):
        match message:
            case {"role": "user", "text": str(text)}:
                return _unwrapped(text) if template == "alpaca" else text.strip()
    raise DataError("has no message of a user", where=where, hint=CHANGED)


def _unwrapped(text: str) -> str:
    for wrapper in (ALPACA_WITH_INPUT, ALPACA_WITHOUT_INPUT):
        head, _, rest = wrapper.partition("{instruction}")
        middle, _, tail = rest.rpartition("{input}") if "{input}" in rest else ("", "", rest)
        if head in text and text.endswith(tail):
            inner = text[text.index(head) + len(head) : len(text) - len(tail)]
            return inner.replace(middle, "\n\n", 1).strip() if middle else inner.strip()
    return text.strip()


def _licence(folder: Path) -> str | None:
    path = folder / "run.json"
    if not path.is_file():
        return None
    match read_json(path):
        case {"task": {"licence": str(licence)}}:
            return licence
    return None


def require_golds(run: JudgedRun) -> None:
    """Raise UsageError for a run of questions that have no accepted answer, where the judge is to be shown one."""
    name = next((each.id for each in run.answers if not each.targets), None)
    if name is not None:
        hint = "--kind pairwise, or --prompt correctness-xllama"
        raise UsageError(f"{name!r} has no accepted answer", where=run.name, hint=hint)


def find_opponent(run: JudgedRun, others: Sequence[JudgedRun]) -> JudgedRun:
    """Return the run among `others` that was asked the same; UsageError where there is none, or more than one."""
    task = run.record.label
    same = [each for each in others if each.record.label == task and _ids(each) >= _ids(run)]
    if not same:
        has = ", ".join(dict.fromkeys(each.record.label for each in others))
        what = f"has no run of {task} with all the examples of {run.name}"
        raise UsageError(what, where="--against", hint=f"it has {has}")
    if len(same) > 1:
        names = ", ".join(each.folder.name for each in same)
        raise UsageError(f"has {len(same)} runs of {task}: {names}", where="--against", hint="name one run folder")
    if same[0].folder.resolve() == run.folder.resolve():
        raise UsageError(f"{run.name} against itself", where="--against", hint="name the run of another model")
    if same[0].record.protocol.data != run.record.protocol.data:
        raise DataError("the examples are not the same in both runs", where=task, hint="evaluate both on one file")
    return same[0]


def _ids(run: JudgedRun) -> set[str]:
    return {each.name for each in run.answers}


def first_answers(run: JudgedRun, count: int) -> JudgedRun:
    """Return a run as if it had asked only the first `count` of its examples; the run itself where it has no more."""
    protocol = run.record.protocol
    if count >= protocol.n:
        return run
    try:
        start = parse_limit(protocol.limit).first if protocol.limit else 1
    except UsageError:
        raise DataError(f"the limit is {protocol.limit!r}", where=run.name, hint=CHANGED) from None
    kept = set(list(dict.fromkeys(each.id for each in run.answers))[:count])
    limited = replace(protocol, n=count, limit=f"{start}-{start + count - 1}")
    answers = tuple(each for each in run.answers if each.id in kept)
    return replace(run, record=replace(run.record, protocol=limited), answers=answers)
