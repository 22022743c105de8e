"""Whether the prompts of a run are those of its task, and its keys those of its prompts.

    results.json: demonstrations are not those of the data
    samples.jsonl:7: key is not that of its messages and the protocol

A key in the journal is a hash of model, messages and settings. So a prompt that was changed afterwards has another key,
and so have all prompts of a run whose settings or fingerprint were.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..errors import XlingualError
from ..example_hash import hash_prompts
from ..identity import Json, content_hash
from ..plugin import SelfScoredTask, Task
from ..prompt import RAW_STOP, TRANSLATION, request_key
from ..records import Choice, Demonstration, Example, Form, Message, Request, RunRecord, Translation
from ..sampling import Sampling
from ..serial import from_json
from ..thinking import ThinkingMode
from .findings import RunFindings

MOST_NAMED = 5
"""Lines that are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedQuestions:
    """What a run was asked, as task and data have it here."""

    task: Task
    evaluated: Sequence[Example]
    """All that could have been asked: with a limit, more than were."""
    shots: Sequence[Demonstration]


def check_questions(
    record: RunRecord, samples: Sequence[Mapping[str, Json]], asked: AskedQuestions, name: str, found: RunFindings
) -> None:
    """Add to `found` what of demonstrations, prompts and keys does not follow; `name` is that of the samples file.

    Tasks that word their own requests, those of lm-eval, are asked for their demonstrations only.
    """
    file = name.replace("samples", "results").replace(".jsonl", ".json")
    if tuple(record.demonstrations) != tuple(shot.id for shot in asked.shots):
        found.edits.append(f"{file}: demonstrations are not those of the data")
    if isinstance(asked.task, SelfScoredTask):
        found.notes.append(f"{name}: the task words its own requests: messages and keys were not compared")
        return
    _check_prompts(record, asked, file, found)
    _check_keys(record, samples, asked.task, name, found)


def _check_prompts(record: RunRecord, asked: AskedQuestions, file: str, found: RunFindings) -> None:
    task, protocol = asked.task, record.protocol
    try:
        prompts = hash_prompts([task.prompt(example) for example in asked.evaluated], asked.shots)
    except XlingualError as error:
        found.doubts.append(f"{file}: protocol.prompts: {error!s}".partition("\n")[0])
        return
    if prompts != protocol.prompts:
        what = f"the prompts here have the hash {prompts[:8]}, those of the run {protocol.prompts[:8]}"
        found.doubts.append(f"{file}: protocol.prompts: {what}")


def _check_keys(
    record: RunRecord, samples: Sequence[Mapping[str, Json]], task: Task, name: str, found: RunFindings
) -> None:
    """Compare the keys with those that messages and protocol give, in the one of a few ways that most lines agree with.

    Which way a run was asked, whether thinking was asked for by the model's own tuning, is written nowhere else.
    """
    ways = [_keys(record, samples, task, thinking) for thinking in _thinking_modes(record)]
    wrong = [
        [place for place, (sample, key) in enumerate(zip(samples, keys, strict=True), 1) if sample.get("key") != key]
        for keys in ways
    ]
    fewest = min(wrong, key=len, default=[])
    if fewest and len(fewest) == len(samples):
        found.edits.append(f"{name}: no key is that of the model's fingerprint, its messages and the protocol")
        return
    found.edits.extend(
        f"{name}:{place}: key is not that of its messages and the protocol" for place in fewest[:MOST_NAMED]
    )
    if len(fewest) > MOST_NAMED:
        found.edits.append(f"and {len(fewest) - MOST_NAMED} lines more")


def _thinking_modes(record: RunRecord) -> list[ThinkingMode | None]:
    return list(dict.fromkeys([record.protocol.thinking, record.model.tuned_thinking, None]))


def _keys(
    record: RunRecord, samples: Sequence[Mapping[str, Json]], task: Task, thinking: ThinkingMode | None
) -> Iterator[str | None]:
    """Yield the key of each line, None where its messages cannot be read; a question asked again has one of its own."""
    seen: Counter[str] = Counter()
    for sample in samples:
        try:
            key = request_key(record.model, _request(record, sample, task, thinking))
        except XlingualError:
            yield None
            continue
        repeat = seen[key]
        seen[key] += 1
        yield content_hash([key, repeat]) if repeat else key


def _request(record: RunRecord, sample: Mapping[str, Json], task: Task, thinking: ThinkingMode | None) -> Request:
    """Return the request of a line of samples; DataError where it holds none."""
    protocol, spec = record.protocol, task.spec
    choices, sampling = sample.get("choices"), sample.get("sampling")
    generates = choices is None
    stop = protocol.stop if protocol.stop is not None else RAW_STOP if record.template == "raw" else ()
    translates = record.template == TRANSLATION and spec.source_language is not None
    return Request(
        key="",
        form=Form.CHAT if record.template == "chat" else Form.TEXT,
        messages=from_json(tuple[Message, ...], sample.get("messages"), where="messages"),
        stop=stop if generates else (),
        max_new_tokens=protocol.max_new_tokens if generates else 0,
        choices=None if generates else from_json(tuple[Choice, ...], choices, where="choices"),
        sampling=None if sampling is None else from_json(Sampling, sampling, where="sampling"),
        thinking=thinking if generates else None,
        max_thinking_tokens=protocol.max_thinking_tokens if generates else None,
        translation=Translation(source=spec.source_language or "", target=spec.language) if translates else None,
    )
