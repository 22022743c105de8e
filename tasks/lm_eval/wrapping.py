"""A task of lm-eval's behind the protocol of ours: documents are examples, instances requests, metrics go by name."""

import importlib.metadata
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from xlingual import DataFile, DataSource, Example, Examples, Prompt, Task, TaskSpec
from xlingual.errors import DataError, UsageError
from xlingual.identity import Json, content_hash
from xlingual.languages import LANGUAGES
from xlingual.records import Choice, Form, Message, Origin, Request, Response, Role, Statistics

from .finding import HarnessInstance, HarnessTask, hide_progress
from .values import aggregation_name, measure

FAMILY = "lm-eval"
SEED = 1234
"""lm-eval's own, of the choice of demonstrations."""
DEFAULT_TOKENS = 256
"""lm-eval's own limit where a task sets none."""
NO_LANGUAGE = "und"
"""The code of ISO 639 for a language that is not known."""
KINDS = ("generate_until", "loglikelihood", "loglikelihood_rolling", "multiple_choice")
LIMITS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")


@dataclass(slots=True, kw_only=True)
class LmEvalTask:
    """A task of lm-eval's; its documents are read when they are asked for."""

    spec: TaskSpec
    inner: HarnessTask
    names: Mapping[tuple[str, str], str]
    """Our name of each of lm-eval's metrics under each of its filters."""
    asked: dict[str, list[HarnessInstance]] = field(default_factory=dict)
    """The instances of each example."""

    def examples(self, split: str, _data_source: DataSource) -> Examples:
        """Return the documents of the split that lm-eval evaluates."""
        if split != self.spec.split:
            hint = f"leave --split out: lm-eval evaluates its {self.spec.split!r} documents"
            raise UsageError(f"lm-eval chooses the split of its tasks, not {split!r}", where="--split", hint=hint)
        if not self.asked:
            with hide_progress():
                self.inner.build_all_requests()
            for instance in self.inner.instances:
                self.asked.setdefault(str(instance.doc_id), []).append(instance)
            for instances in self.asked.values():
                instances.sort(key=lambda each: each.idx)
        rows = tuple(self._example(name, instances) for name, instances in self.asked.items())
        return Examples(rows=rows, files=(self._file(rows),))

    def prompt(self, example: Example) -> Prompt:
        """Return the words of the request, for those who want to see them; `request` is what is asked."""
        words = "".join(message.text for message in self.request(example).messages)
        return Prompt(instruction=words, before="", passage="", after="")

    def request(self, example: Example) -> Request:
        """Return what lm-eval would ask of a document, as one request."""
        instances = self.asked[example.id]
        first = instances[0]
        if first.request_type == "generate_until":
            stop, most = _settings(self.spec.name, first)
            messages = _messages(str(first.arguments[0]))
            return Request(key="", form=Form.TEXT, messages=messages, stop=stop, max_new_tokens=most)
        pairs = [_pair(instance) for instance in instances]
        contexts = {before for before, _ in pairs}
        shared = contexts.pop() if len(contexts) == 1 else ""
        choices = tuple(Choice(text=text, before="" if shared else before) for before, text in pairs)
        return Request(key="", form=Form.TEXT, messages=_messages(shared), stop=(), max_new_tokens=0, choices=choices)

    def judge(self, example: Example, response: Response) -> Mapping[str, Statistics]:
        """Return what lm-eval's own filters and metrics make of an answer."""
        instances = self.asked[example.id]
        repeats = self.inner.get_config("repeats")
        for instance, answer in zip(instances, _answers(instances, response), strict=True):
            instance.resps = [answer] * (repeats if isinstance(repeats, int) else 1)
        found: dict[str, Statistics] = {}
        for filters in self.inner._filters:
            filters.apply(instances)
            results = [instance.filtered_resps[filters.name] for instance in instances]
            for metric, value in self.inner.process_results(instances[0].doc, results).items():
                name = self.names.get((metric, filters.name))
                statistics = None if name is None else measure(name.split(":")[2], value)
                if name is not None and statistics is not None:
                    found[name] = statistics
        return found

    def _example(self, name: str, instances: list[HarnessInstance]) -> Example:
        document = instances[0].doc
        choices = tuple(self.inner.doc_to_choice(document)) if self.inner.OUTPUT_TYPE == "multiple_choice" else None
        return Example(
            id=name,
            language=self.spec.language,
            group=name,
            cluster=name,
            fields={"document": content_hash(_plain(document))},
            targets=_targets(self.inner.doc_to_target(document), choices),
            choices=choices,
        )

    def _file(self, rows: tuple[Example, ...]) -> DataFile:
        path, kwargs = (self.inner.get_config(key) for key in ("dataset_path", "dataset_kwargs"))
        is_local = isinstance(kwargs, Mapping) and "data_files" in kwargs
        return DataFile(
            name=self.spec.name,
            origin=Origin.LOCAL if is_local else Origin.HUB,
            path=str(path),
            revision=None,
            sha256=content_hash([row.fields["document"] for row in rows]),
        )


def wrap(inner: HarnessTask, shots: int | None) -> Task:
    """Return `inner` as a task of ours; UsageError for what cannot be run here."""
    name = inner.task_name
    where = f"{FAMILY}:{name}"
    kind = str(inner.OUTPUT_TYPE)
    if kind not in KINDS:
        raise UsageError(f"its output type {kind!r} is none of {', '.join(KINDS)}", where=where)
    if getattr(inner, "MULTIMODAL", False):
        raise UsageError("the task shows images or plays sounds; only texts are asked here", where=where)
    if getattr(inner, "UNSAFE_CODE", False):
        raise UsageError("the task runs the code that models write, which is not done here", where=where)
    given = inner.get_config("num_fewshot")
    if shots is not None and shots != given and given == 0:
        raise UsageError("the task is set to no demonstrations", where=where, hint=f"use {FAMILY}:{name}")
    count = shots if shots is not None else given if isinstance(given, int) else 0
    inner.set_config("num_fewshot", count)
    inner.set_fewshot_seed(SEED)
    names = _names(inner)
    if not names:
        raise UsageError("the task has no metrics", where=where)
    generates = kind == "generate_until"
    spec = TaskSpec(
        name=f"{FAMILY}/{name}" + ("" if shots is None else f"@{shots}"),
        language=_language(name),
        prompt_language=_language(name),
        metrics=tuple(names.values()),
        version=f"lm-eval {importlib.metadata.version('lm_eval')}: {inner.VERSION}, {count} shots",
        split=str(inner.get_config("test_split") or inner.get_config("validation_split") or "test"),
        max_new_tokens=_limit(inner.get_config("generation_kwargs")) if generates else 0,
        licence="that of the data set",
        citation=f"task {name} of lm-eval",
    )
    return LmEvalTask(spec=spec, inner=inner, names=names)


def _names(inner: HarnessTask) -> dict[tuple[str, str], str]:
    found = {}
    for filters in inner._filters:
        for metric, function in inner.aggregation().items():
            label = metric if filters.name == "none" else f"{metric},{filters.name}"
            lower = "" if inner.higher_is_better().get(metric, True) else ":lower"
            name = f"lm-eval:{label.replace(':', '-')}:{aggregation_name(function)}{lower}"
            found[(metric, filters.name)] = name
    return found


def _language(name: str) -> str:
    """Return the language that the last part of a task's name is the code of: xnli_zh is Chinese."""
    _, *rest = re.split(r"[_-]", name)
    return rest[-1] if rest and rest[-1] in LANGUAGES else NO_LANGUAGE


def _limit(settings: object) -> int:
    given = settings if isinstance(settings, Mapping) else {}
    return next((int(given[key]) for key in LIMITS if given.get(key) is not None), DEFAULT_TOKENS)


def _settings(name: str, instance: HarnessInstance) -> tuple[tuple[str, ...], int]:
    """Return stop strings and limit of a generation; UsageError where it is not greedy."""
    settings = instance.arguments[1]
    given = settings if isinstance(settings, Mapping) else {}
    if given.get("do_sample") or (given.get("do_sample") is None and (given.get("temperature") or 0.0) > 0.0):
        raise UsageError("the task samples its answers; answers here are greedy", where=name)
    until = given.get("until") or []
    return tuple([until] if isinstance(until, str) else [str(each) for each in until if each]), _limit(given)


def _messages(context: str) -> tuple[Message, ...]:
    return (Message(role=Role.USER, text=context),) if context else ()


def _pair(instance: HarnessInstance) -> tuple[str, str]:
    """Return what stands before a scored text, and the text."""
    texts = [str(each) for each in instance.arguments]
    return ("", texts[0]) if instance.request_type == "loglikelihood_rolling" else (texts[0], texts[1])


def _answers(instances: list[HarnessInstance], response: Response) -> list[object]:
    """Return the answer to each instance in lm-eval's form."""
    if response.text is not None:
        text = response.text
        for stop in _settings("", instances[0])[0]:  # lm-eval's rule: wherever it stands
            text = text.partition(stop)[0]
        return [text]
    likelihoods = response.likelihoods or ()
    if instances[0].request_type == "loglikelihood_rolling":
        return [each.logarithm for each in likelihoods]
    return [(each.logarithm, bool(each.is_greedy)) for each in likelihoods]


def _targets(target: object, choices: tuple[str, ...] | None) -> tuple[str, ...]:
    several = list(target) if isinstance(target, list | tuple) else [target]
    texts = []
    for each in several:
        is_number = isinstance(each, int) and choices is not None and 0 <= each < len(choices)
        texts.append(choices[each] if is_number and choices is not None and isinstance(each, int) else str(each))
    return tuple(texts) or ("",)


def _plain(value: object) -> Json:
    """Return a document as JSON data; what JSON cannot hold is named by its representation."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return value.hex()
    raise DataError(f"a document holds a {type(value).__name__}", where=FAMILY)
