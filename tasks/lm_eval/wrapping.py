"""A task of lm-eval's behind the protocol of ours: documents are examples, instances requests, metrics go by name."""

import importlib.metadata
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from xlingual import DataFile, DataSource, Example, Examples, Prompt, Task, TaskSpec
from xlingual.errors import DataError, UsageError
from xlingual.identity import Json, content_hash
from xlingual.languages import LANGUAGES
from xlingual.lm_eval.generation import read_generation
from xlingual.records import Choice, Form, Message, Origin, Request, Response, Role, Statistics, TaskGroup

from .chats import Chat, ChatSettings, record_chat
from .faults import faults_of
from .finding import HarnessInstance, HarnessTask, hide_progress
from .grouping import FAMILY, our_name
from .values import aggregation_name, measure

SEED = 1234
"""lm-eval's own, of the choice of demonstrations."""
NO_LANGUAGE = "und"
"""The code of ISO 639 for a language that is not known."""
KINDS = ("generate_until", "loglikelihood", "loglikelihood_rolling", "multiple_choice")


@dataclass(slots=True, kw_only=True)
class LmEvalTask:
    """A task of lm-eval's; its documents are read when they are asked for."""

    spec: TaskSpec
    inner: HarnessTask
    names: Mapping[tuple[str, str], str]
    """Our name of each of lm-eval's metrics under each of its filters."""
    groups: tuple[TaskGroup, ...] = ()
    """The groups that it was chosen with."""
    chat: ChatSettings = field(default_factory=ChatSettings)
    asked: dict[str, list[HarnessInstance]] = field(default_factory=dict)
    """The instances of each example."""

    def examples(self, split: str, _data_source: DataSource) -> Examples:
        """Return the documents of the split that lm-eval evaluates; UsageError for any other split."""
        if split != self.spec.split:
            hint = f"leave --split out: lm-eval evaluates its {self.spec.split!r} documents"
            raise UsageError(f"lm-eval chooses the split of its tasks, not {split!r}", where="--split", hint=hint)
        if not self.asked:
            with faults_of(self.spec.name, "the questions cannot be made"), hide_progress():
                self._build()
        rows = []
        for name, instances in self.asked.items():
            with faults_of(f"{self.spec.name}, document {name}", "what is right cannot be told"):
                rows.append(self._example(name, instances))
        return Examples(rows=tuple(rows), files=(self._file(tuple(rows)),))

    def with_chat(self, *, template: bool, as_turns: bool, system: str | None) -> Task:
        """Return the task asked by lm-eval's `apply_chat_template`, `fewshot_as_multiturn` and `system_instruction`."""
        return replace(self, chat=ChatSettings(template=template, as_turns=as_turns, system=system), asked={})

    def prompt(self, example: Example) -> Prompt:
        """Return the words of the request, for those who want to see them; `request` is what is asked."""
        words = "".join(message.text for message in self.request(example).messages)
        return Prompt(instruction=words, before="", passage="", after="")

    def request(self, example: Example) -> Request:
        """Return what lm-eval would ask of a document, as one request.

        UsageError for choices after texts of their own that are to be put as a chat.
        """
        instances = self.asked[example.id]
        first = instances[0]
        if first.request_type == "generate_until":
            form, messages = _messages(first.arguments[0])
            settings = read_generation(first.arguments[1], self.spec.name)
            return Request(key="", form=form, messages=messages, stop=settings.stop, max_new_tokens=settings.most)
        pairs = [_pair(instance) for instance in instances]
        contexts = {before for before, _ in pairs}
        if len(contexts) > 1 and any(isinstance(each, Chat) for each in contexts):
            what = "each choice stands after a text of its own, which cannot be put as a chat"
            raise UsageError(what, where=self.spec.name, hint="leave the chat template out")
        shared = pairs[0][0] if len(contexts) == 1 else ""
        choices = tuple(Choice(text=text, before="" if shared else before) for before, text in pairs)
        form, messages = _messages(shared)
        return Request(key="", form=form, messages=messages, stop=(), max_new_tokens=0, choices=choices)

    def judge(self, example: Example, response: Response) -> Mapping[str, Statistics]:
        """Return what lm-eval's own filters and metrics make of an answer; DataError where they cannot."""
        with faults_of(f"{self.spec.name}, document {example.id}", "the answer cannot be scored"):
            return self._measure(self.asked[example.id], response)

    def _build(self) -> None:
        """Have lm-eval make its instances, with the same demonstrations however often it is done."""
        self.inner.set_fewshot_seed(SEED)
        self.inner.build_all_requests(
            system_instruction=self.chat.system,
            apply_chat_template=self.chat.template,
            fewshot_as_multiturn=self.chat.as_turns,
            chat_template=record_chat if self.chat.template else None,
        )
        for instance in self.inner.instances:
            self.asked.setdefault(str(instance.doc_id), []).append(instance)
        for instances in self.asked.values():
            instances.sort(key=lambda each: each.idx)

    def _measure(self, instances: list[HarnessInstance], response: Response) -> Mapping[str, Statistics]:
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


def wrap(inner: HarnessTask, shots: int | None, groups: tuple[TaskGroup, ...]) -> Task:
    """Return `inner` as a task of ours, chosen with `groups`; UsageError for what cannot be run here."""
    name = inner.task_name
    where = f"{FAMILY}:{name}"
    kind = str(inner.OUTPUT_TYPE)
    if kind not in KINDS:
        raise UsageError(f"its output type {kind!r} is none of {', '.join(KINDS)}", where=where)
    if getattr(inner, "MULTIMODAL", False):
        raise UsageError("the task shows images or plays sounds; only texts are asked here", where=where)
    if getattr(inner, "UNSAFE_CODE", False):
        raise UsageError("the task runs the code that models write, which is not done here", where=where)
    if unknown := [metric for metric, function in _functions(inner).items() if function is None]:
        hint = "is it spelled right, and is the package that it needs installed?"
        raise DataError(f"lm-eval cannot find the metric {unknown[0]!r}", where=where, hint=hint)
    given = inner.get_config("num_fewshot")
    if shots is not None and shots != given and given == 0:
        raise UsageError("the task is set to no demonstrations", where=where, hint=f"use {FAMILY}:{name}")
    count = shots if shots is not None else given if isinstance(given, int) else 0
    inner.set_config("num_fewshot", count)
    inner.set_fewshot_seed(SEED)
    names = _names(inner)
    if not names:
        raise UsageError("the task has no metrics", where=where)
    settings = read_generation(inner.get_config("generation_kwargs"), where) if kind == "generate_until" else None
    repeats = inner.get_config("repeats")
    if settings is not None and settings.sampling is not None and isinstance(repeats, int) and repeats > 1:
        raise UsageError(f"the task puts {repeats} drawn answers together, which is not done here", where=where)
    spec = TaskSpec(
        name=our_name(name, shots),
        language=_language(name),
        prompt_language=_language(name),
        metrics=tuple(names.values()),
        version=f"lm-eval {importlib.metadata.version('lm_eval')}: {inner.VERSION}, {count} shots",
        split=str(inner.get_config("test_split") or inner.get_config("validation_split") or "test"),
        max_new_tokens=0 if settings is None else settings.most,
        licence="that of the data set",
        citation=f"task {name} of lm-eval",
        sampling=None if settings is None else settings.sampling,
    )
    return LmEvalTask(spec=spec, inner=inner, names=names, groups=groups)


def _functions(inner: HarnessTask) -> Mapping[str, object]:
    """Return the function of each metric; nothing where the task measures its answers by a function for all."""
    found = getattr(inner, "_metric_fn_list", None)
    return found if isinstance(found, Mapping) and inner.get_config("process_results") is None else {}


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


def _messages(context: object) -> tuple[Form, tuple[Message, ...]]:
    if isinstance(context, Chat):
        return Form.CHAT, context.messages
    text = str(context)
    return Form.TEXT, (Message(role=Role.USER, text=text),) if text else ()


def _pair(instance: HarnessInstance) -> tuple[str, str]:
    """Return what stands before a scored text, and the text."""
    texts = [each if isinstance(each, str) else str(each) for each in instance.arguments]
    return ("", texts[0]) if instance.request_type == "loglikelihood_rolling" else (texts[0], texts[1])


def _answers(instances: list[HarnessInstance], response: Response) -> list[object]:
    """Return the answer to each instance in lm-eval's form."""
    if response.text is not None:
        text = response.text
        for stop in read_generation(instances[0].arguments[1], "").stop:  # lm-eval's rule: wherever it stands
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
