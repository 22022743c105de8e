"""How questions are put, by the task or by the user: system message, sampling, repeats, thinking, what is extracted.

    mgsm/th asks for chains of thought, greedily          the task's own
    --temperature 0.6 --top-p 0.95 --repeats 4            the user's: four answers to each question, drawn
    --sampling model                                      as the model's generation_config recommends

All of it is part of a run's protocol: two runs that differ in it have two folders and are not ranked together.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from .errors import UsageError
from .extraction import require_word
from .plugin import RewordableTask, Task
from .records import ModelSpec, Protocol, TaskSpec
from .sampling import Sampling
from .thinking import ThinkingMode

TASK, GREEDY, MODEL = SAMPLING_SOURCES = ("task", "greedy", "model")
NATIVE = "native"
ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingChoice:
    """What the user says about sampling; None: nothing."""

    source: str = TASK
    """What the parameters that are not given are taken from: the task, the model's configuration, or nowhere."""
    temperature: float | None = None
    """0: greedy, whatever the source says."""
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionSettings:
    """What the user says about how questions are put; None: as the task has it."""

    system: str | None = None
    prompt_language: str | None = None
    """Of the instruction: a code, or "native" for the language that is asked in."""
    variants: tuple[str, ...] = ()
    """Names of wordings, each asked; "all" stands for all that a task has; (): its first."""
    shots_as_text: bool = False
    """Demonstrations stand in the one message of a chat, not in turns of their own."""
    sampling: SamplingChoice = field(default_factory=SamplingChoice)
    repeats: int | None = None
    thinking: ThinkingMode | None = None
    max_thinking_tokens: int | None = None
    extract: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionProtocol:
    """How the questions of one task are put to one model, settled; fields as in `records.Protocol`."""

    system: str | None
    sampling: Sampling | None
    """None: greedy."""
    sampling_source: str | None
    repeats: int | None
    thinking: ThinkingMode | None
    max_thinking_tokens: int | None
    extract: str | None

    def added_to(self, protocol: Protocol) -> Protocol:
        """Return `protocol` with what is settled here."""
        return replace(
            protocol,
            system=self.system,
            sampling=None if self.sampling_source else self.sampling,
            sampling_source=self.sampling_source,
            sample_seed=self.sampling.seed if self.sampling_source and self.sampling else None,
            repeats=self.repeats,
            thinking=self.thinking,
            max_thinking_tokens=self.max_thinking_tokens,
            extract=self.extract,
        )


def settle_question(spec: TaskSpec, model: ModelSpec, settings: QuestionSettings) -> QuestionProtocol:
    """Return what holds for a task and a model; nothing of generation for a task of choices, which generates nothing.

    Raises UsageError for settings that contradict each other.
    """
    system = settings.system if settings.system is not None else spec.system
    if not spec.max_new_tokens:
        return QuestionProtocol(
            system=system or None,
            sampling=None,
            sampling_source=None,
            repeats=None,
            thinking=None,
            max_thinking_tokens=None,
            extract=None,
        )
    if settings.extract is not None:
        require_word(settings.extract)
    sampling = _settle_sampling(spec, model, settings.sampling)
    repeats = settings.repeats or spec.repeats or 1
    if repeats > 1 and sampling is None:
        hint = "give --temperature, or --sampling model for what the model recommends"
        raise UsageError(f"{repeats} greedy answers are one answer {repeats} times", where="--repeats", hint=hint)
    return QuestionProtocol(
        system=system or None,
        sampling=sampling,
        sampling_source=MODEL if _is_models_own(settings.sampling) else None,
        repeats=repeats if repeats > 1 else None,
        thinking=settings.thinking,
        max_thinking_tokens=settings.max_thinking_tokens,
        extract=settings.extract if settings.extract is not None else spec.extract,
    )


def sampling_notes(
    spec: TaskSpec, model: ModelSpec, choice: SamplingChoice, settled: QuestionProtocol
) -> Iterator[str]:
    """Yield what a user who asked for the model's own sampling should know: it may recommend none."""
    if choice.source == MODEL and model.sampling is None and spec.max_new_tokens:
        left = "its answers are greedy" if settled.sampling is None else "only what is given of them holds"
        yield f"--sampling model: {model.name} recommends no parameters of sampling, so {left}"


def _is_models_own(choice: SamplingChoice) -> bool:
    given = (choice.temperature, choice.top_p, choice.top_k, choice.min_p)
    return choice.source == MODEL and all(each is None for each in given)


def _settle_sampling(spec: TaskSpec, model: ModelSpec, choice: SamplingChoice) -> Sampling | None:
    sampling = {TASK: spec.sampling, MODEL: model.sampling, GREEDY: None}[choice.source]
    if choice.temperature == 0:
        sampling = None
    elif choice.temperature is not None:
        sampling = replace(sampling or Sampling(temperature=1.0), temperature=choice.temperature)
    for name in ("top_p", "top_k", "min_p"):
        value = getattr(choice, name)
        if value is None:
            continue
        if sampling is None:
            option = f"--{name.replace('_', '-')}"
            raise UsageError("answers are greedy here", where=option, hint="give a --temperature above 0 as well")
        sampling = replace(sampling, **{name: value})
    if sampling is None or choice.seed is None:
        return sampling
    return replace(sampling, seed=choice.seed)


def word_tasks(tasks: Sequence[Task], settings: QuestionSettings) -> list[Task]:
    """Return `tasks` in the language and in each of the wordings that the user chose.

    Raises UsageError where a task does not have them; of "all" it has what it has.
    """
    return [worded for task in tasks for worded in _wordings(task, settings)]


def _wordings(task: Task, settings: QuestionSettings) -> Iterator[Task]:
    spec = task.spec
    language = settings.prompt_language
    if language == NATIVE:
        language = spec.language if spec.source_language is None else None
    if language == spec.prompt_language:
        language = None
    if not isinstance(task, RewordableTask):
        if language is not None:
            raise UsageError(f"{spec.name} has one wording", where="--prompt-language", hint="leave the option out")
        if any(each != ALL for each in settings.variants):
            raise UsageError(f"{spec.name} has one wording", where="--variants", hint="leave the option out")
        yield task
        return
    known, languages = task.variants(), task.prompt_languages()
    if language is not None and language not in languages:
        what = f"{spec.name} has no instruction in {language}"
        raise UsageError(what, where="--prompt-language", hint=f"it has {', '.join(languages)}")
    names = list(dict.fromkeys(name for each in settings.variants for name in (known if each == ALL else (each,))))
    for name in names:
        if name not in known:
            what = f"{spec.name} has no wording {name!r}"
            raise UsageError(what, where="--variants", hint=f"it has {', '.join(known)}")
    if language is None and not names:
        yield task
    elif not names:
        yield task.reword(prompt_language=language, variant=None)
    for name in names:
        yield task.reword(prompt_language=language, variant=name)
