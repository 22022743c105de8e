"""What came out of a fault, in words: made of the recorded facts and of nothing else."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from .server import QUESTIONS

Facts = Mapping[str, object]


def _number(facts: Facts, name: str) -> int:
    return cast(int, facts[name])


def _code(code: object) -> str:
    if code is None:
        return "no end within the time given"
    number = cast(int, code)
    return f"exit {number}" if number <= 128 else f"exit {number}, signal {number - 128}"


def _result(facts: Facts, before: str = "") -> str:
    """Say what the tool shows as a result."""
    n, score = facts[f"{before}n"], facts[f"{before}score"]
    if not facts[f"{before}results"] or n is None:
        return "no result"
    value = _score(cast(float | None, score))
    name = "result" if facts[f"{before}whole"] else "result, marked as not whole,"
    return f"a {name} of {n} of {QUESTIONS} answers, {value}"


def _again(facts: Facts) -> str:
    """Say what a resumed run asked again."""
    done, repeated = _number(facts, "finished"), _number(facts, "repeated")
    return f"{repeated or 'none'} of {done} finished answers asked again"


def _resumed(facts: Facts) -> str:
    return f"{_again(facts)}; {_code(facts['code'])}; {_result(facts)}"


def _full_disk(facts: Facts) -> str:
    shown = "a result is shown" if facts["results when full"] else "no result"
    said = "the full disk is named" if facts["said"] else "the full disk is not named"
    return f"while full: {_code(facts['code when full'])}, {shown}, {said}; with room: {_resumed(facts)}"


def _damage(facts: Facts) -> str:
    if facts["store"] is None:
        return f"no file holds answers after Ctrl-C; {_resumed(facts)}"
    codes, said, n, scores, repeated = (
        cast(Sequence[float | None], facts[name]) for name in ("code", "said", "n", "score", "repeated")
    )
    kinds = []
    for code, is_said, count, score, again in zip(codes, said, n, scores, repeated, strict=True):
        result = "no result" if count is None else f"a result of {count:.0f} of {QUESTIONS} answers, {_score(score)}"
        named = "named" if is_said else "not named"
        kinds.append(f"{_code(code)}, {named}, {again or 'none'} asked again, {result}")
    counts = Counter(kinds)
    return "; ".join(f"{count} of {len(kinds)} places: {kind}" for kind, count in counts.items())


def _score(score: float | None) -> str:
    return "no score" if score is None else f"score {score:.1f}"


def _edited(facts: Facts) -> str:
    readers = _number(facts, "readers")
    if not readers:
        commands = ", ".join(f"`{name}`" for name in cast(Sequence[str], facts["commands of the program"]))
        return f"its commands ({commands}) do not read a result again"
    telling = _number(facts, "readers that say so")
    codes = ", ".join(str(each) for each in cast(Sequence[int], facts["codes"]))
    says = "says" if telling == 1 else "say"
    return f"{telling or 'none'} of {readers} commands that read results {says} that it was edited (exit {codes})"


def _template(facts: Facts) -> str:
    last = f"; last line: `{facts['last line']}`" if facts["code"] else ""
    return f"{_code(facts['code'])}; {_result(facts)}{last}"


def _two(facts: Facts) -> str:
    first, second = cast(Sequence[int], facts["codes"])
    repeated = _number(facts, "repeated")
    return (
        f"exit {first} and {second}; {facts['asked']} requests for {QUESTIONS} questions, {repeated or 'none'} of them "
        f"repeated; {_number(facts, 'results')} result file{'s' if facts['results'] != 1 else ''}"
    )


def _closed(facts: Facts) -> str:
    return f"{_code(facts['code'])}; {facts['asked']} of {QUESTIONS} questions asked; {_result(facts)}"


def _password(facts: Facts) -> str:
    files = cast(Sequence[str], facts["in files"])
    screen = "on the screen: yes" if facts["on the screen"] else "on the screen: no"
    return f"{screen}; in files: {', '.join(f'`{name}`' for name in files) if files else 'no'}"


def _early(facts: Facts) -> str:
    codes = ", ".join(str(each) for each in cast(Sequence[int], facts["codes"]))
    return f"exit {codes}; {_number(facts, 'tracebacks') or 'no'} traceback{'' if facts['tracebacks'] == 1 else 's'}"


def _server(facts: Facts) -> str:
    return f"first {_code(facts['first code'])}, {_result(facts, 'first ')}; then {_resumed(facts)}"


def _cut(facts: Facts) -> str:
    fields = cast(Sequence[str], facts["fields"])
    return "in its records: " + (", ".join(f"`{name}`" for name in fields) if fields else "no field tells")


def _nesting(facts: Facts) -> str:
    how = "a traceback" if facts["traceback"] else "no traceback"
    return f"{_code(facts['code'])}, {how}; last line: `{facts['last line']}`"


WORDS: dict[str, Callable[[Facts], str]] = {
    "kill": _resumed,
    "full disk": _full_disk,
    "damage": _damage,
    "edited": _edited,
    "template": _template,
    "two at once": _two,
    "closed output": _closed,
    "password": _password,
    "early Ctrl-C": _early,
    "server errors": _server,
    "cut answers": _cut,
    "nesting": _nesting,
}


def words_of(fault: str, facts: Facts) -> str:
    """Return the sentence for the page."""
    if "not measured" in facts:
        return f"not measured: {facts['not measured']}"
    return WORDS[fault](facts)
