"""The Task that a declaration makes of one language."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import UsageError
from ..extraction import JOINT
from ..languages import LANGUAGES
from ..plugin import OWN_VARIANT, ChoiceTask, DataSource, GenerationTask, Task
from ..records import Example, Examples, Prompt, TaskSpec
from ..text import did_you_mean
from .declaration import Declaration, Wording
from .rows import declaration_words, read_examples
from .template import TextTemplate

_SPECIAL = re.compile(r"[.^$*+?{}\[\]|()\\]")
"""What means something in a pattern."""
_BRACED = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredTask:
    """A task of a TOML file, which can be asked in other words: see `plugin.RewordableTask`."""

    spec: TaskSpec
    declaration: Declaration
    inner: GenerationTask | ChoiceTask
    """What reads and asks."""

    def examples(self, split: str, data_source: DataSource) -> Examples:
        """Read a split, in the order of its file; UsageError for a split that there is not."""
        return self.inner.examples(split, data_source)

    def prompt(self, example: Example) -> Prompt:
        """Say what to ask for `example`."""
        return self.inner.prompt(example)

    def prompt_languages(self) -> tuple[str, ...]:
        """Return the codes of the languages that there are words of, its own first."""
        own = own_prompt_language(self.declaration, self.spec.language)
        worded = self.declaration.prompt_words if _uses_words(self.declaration) else ()
        written = [code for each in self.declaration.wordings.values() for code in each if code]
        return tuple(dict.fromkeys([own, *worded, *written]))

    def variants(self) -> tuple[str, ...]:
        """Return the names of its wordings, its own first."""
        return tuple(name or OWN_VARIANT for name in self.declaration.wordings)

    def reword(self, *, prompt_language: str | None, variant: str | None) -> Task:
        """Return the task in other words; UsageError for a language or a variant that there is not."""
        language = prompt_language or self.prompt_languages()[0]
        if language not in self.prompt_languages():
            what = f"{self.spec.name} has no words in {language!r}"
            raise UsageError(what, where="--prompt-language", hint=f"one of {', '.join(self.prompt_languages())}")
        name = variant or OWN_VARIANT
        if name not in self.variants():
            hint = did_you_mean(name, self.variants())
            raise UsageError(f"{self.spec.name} has no variant {name!r}", where="--variants", hint=hint)
        return make_task(self.declaration, self.spec.language, prompt_language=language, variant=name)


def make_task(
    declaration: Declaration, language: str, *, prompt_language: str | None = None, variant: str = OWN_VARIANT
) -> DeclaredTask:
    """Return the task of one language, asked in its own words or those of `prompt_language`."""
    asked_in = prompt_language or own_prompt_language(declaration, language)
    wordings = declaration.wordings["" if variant == OWN_VARIANT else variant]
    asker = _Asker(declaration, language, asked_in, wordings.get(asked_in) or wordings[""])
    spec = _spec(declaration, language, asker, variant)

    def read(split: str, data_source: DataSource) -> Examples:
        if split not in declaration.splits:
            hint = did_you_mean(split, declaration.splits)
            raise UsageError(f"{spec.name} has no split {split!r}", where="--split", hint=hint)
        return read_examples(declaration, language, split, data_source)

    kind = GenerationTask if declaration.max_new_tokens else ChoiceTask
    return DeclaredTask(spec=spec, declaration=declaration, inner=kind(spec=spec, read=read, ask=asker.ask))


@dataclass(frozen=True, slots=True)
class _Asker:
    declaration: Declaration
    language: str
    asked_in: str
    wording: Wording

    def ask(self, example: Example) -> Prompt:
        """Say what to ask: the passage, where there is one, apart from what stands around it."""
        passage = self.declaration.passage
        halves = self.wording.input.split(passage) if passage is not None else None
        before, after = halves if halves is not None else (TextTemplate(()), self.wording.input)
        return Prompt(
            instruction=self._fill(self.wording.instruction, example),
            before=self._fill(before, example),
            passage=example.fields[passage] if passage is not None and halves is not None else "",
            after=self._fill(after, example),
        )

    @property
    def words(self) -> Mapping[str, str]:
        """Those of the language that is asked in."""
        return self.declaration.prompt_words.get(self.asked_in, {})

    def _fill(self, template: TextTemplate, example: Example) -> str:
        words, shared = self.words, example.shared or {}

        def value(name: str) -> str:
            if name in words:
                return words[name]
            if name == "language_name":
                return LANGUAGES[self.language].name
            text = example.fields[name] if name in example.fields else shared[name]
            worded = self.declaration.worded_fields.get(name)
            return text if worded is None else worded[text].fill(words.__getitem__)

        return template.fill(value)


def _spec(declaration: Declaration, language: str, asker: _Asker, variant: str) -> TaskSpec:
    def filled(template: TextTemplate) -> str:
        return template.fill(asker.words.__getitem__)

    return TaskSpec(
        name=f"{declaration.name}/{language}",
        language=language,
        prompt_language=asker.asked_in,
        metrics=declaration.metrics,
        version=declaration.version,
        split=declaration.split,
        shot_split=declaration.shot_split,
        max_new_tokens=declaration.max_new_tokens,
        licence=declaration.licence,
        citation=declaration.citation,
        description=declaration.description,
        splits=tuple(declaration.splits),
        asked_in=None if asker.asked_in == own_prompt_language(declaration, language) else asker.asked_in,
        variant=None if variant == OWN_VARIANT else variant,
        system=None if declaration.system is None else filled(declaration.system),
        stop=None if declaration.stop is None else tuple(filled(each) for each in declaration.stop),
        sampling=declaration.sampling,
        repeats=declaration.repeats,
        extract=_extract(declaration, asker.words),
    )


def _extract(declaration: Declaration, words: Mapping[str, str]) -> str | None:
    """Return the word of extraction with `{name}` of a word filled in; braces of a pattern (`\\d{2}`) stay.

    Words are texts in patterns, too: the brackets of "Answer (short):" make no group.
    """
    if declaration.extract is None:
        return None
    steps = []
    for each in declaration.extract.split(JOINT):
        is_pattern = each.strip().startswith(("regex:", "last_regex:"))
        texts = {name: _SPECIAL.sub(r"\\\g<0>", word) if is_pattern else word for name, word in words.items()}
        # All at once: a word may itself hold a name in braces, which is a text.
        steps.append(_BRACED.sub(lambda found, texts=texts: texts.get(found[1], found[0]), each))  # type: ignore[misc]
    return JOINT.join(steps)


def _uses_words(declaration: Declaration) -> bool:
    wordings = [wording for each in declaration.wordings.values() for wording in each.values()]
    names = {name for each in wordings for part in (each.instruction, each.input) for name in part.names}
    names |= {name for texts in declaration.worded_fields.values() for text in texts.values() for name in text.names}
    return bool(names & declaration_words(declaration))


def own_prompt_language(declaration: Declaration, language: str) -> str:
    """Return the language that a task is asked in where the user chooses none."""
    return declaration.asked_in or declaration.languages[language].words_of
