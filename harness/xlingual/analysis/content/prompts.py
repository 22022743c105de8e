r"""What a model was given, read back from the prompt that it was sent.

    "段落: 灯塔提醒船只...\n问题: 谁设计的？\n答案: "      passage "灯塔提醒船只...", question "谁设计的？"

Answers are stored with their prompts, but without the fields that these were made of. The task itself is asked for the
prompt of an example whose fields are marks; what stands between the marks finds the fields in every other prompt. So
no data are needed, for any task that puts its fields into its prompts as they are.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ...errors import XlingualError
from ...plugin import RewordableTask, SelfScoredTask, Task
from ...records import Example, Prompt, RunRecord
from ...selection import select_tasks

_OPEN, _CLOSE = "\ue0f0", "\ue0f1"
"""Around the name of a field; private characters that no text of ours has."""
_MARK = re.compile(f"{_OPEN}([^{_CLOSE}]+){_CLOSE}")
_ALPACA_INPUT, _ALPACA_END = "### Input:\n", "\n\n### Response:"


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenTexts:
    """What an answer may have copied from; None where the task has no such text or the prompt does not show it."""

    passage: str | None = None
    """What a question is on, as much of it as was sent."""
    question: str | None = None
    source: str | None = None
    """What is to be translated."""
    instruction: str | None = None


NOTHING = GivenTexts()


@dataclass(frozen=True, slots=True)
class PromptReader:
    """Finds the fields of examples in the prompts of one run."""

    pattern: re.Pattern[str] | None
    """None: the task is not here, or does not put its fields into its prompts as they are."""
    passage: str | None
    translates: bool
    instruction: str | None

    @classmethod
    def of(cls, record: RunRecord) -> "PromptReader":
        """Return what reads the prompts of a run; one that finds nothing where its task cannot be asked."""
        try:
            task = _find_task(record)
            prompt = None if isinstance(task, SelfScoredTask) else task.prompt(_marked_example(task))
        except (XlingualError, ValueError, KeyError):
            return cls(None, None, False, None)
        if prompt is None:
            return cls(None, None, False, None)
        found = _MARK.fullmatch(prompt.passage)
        shots_in_text = record.protocol.shots > 0 and (record.template != "chat" or bool(record.protocol.shots_as_text))
        pattern = _pattern(prompt, shots_in_text=shots_in_text)
        instruction = None if _MARK.search(prompt.instruction) else prompt.instruction or None
        return cls(pattern, found[1] if found else None, task.spec.source_language is not None, instruction)

    def read(self, messages: Sequence[str]) -> GivenTexts:
        """Return what the last of the user's `messages` gave; NOTHING where it does not look like the task's."""
        found = self.pattern.search(messages[-1]) if self.pattern is not None and messages else None
        if found is None:
            return NOTHING
        fields = {name: text for name, text in found.groupdict().items() if text is not None}
        names = {name: bytes.fromhex(name[1:]).decode("utf-8") for name in fields}
        passages = [text for name, text in fields.items() if names[name] == self.passage]
        others = [text for name, text in fields.items() if names[name] != self.passage]
        asked = others[0] if len(others) == 1 else None
        if self.translates:
            return GivenTexts(source=None if passages else asked, instruction=self.instruction)
        passage = passages[0] if passages else None
        return GivenTexts(passage=passage, question=asked, instruction=self.instruction)


def _find_task(record: RunRecord) -> Task:
    protocol = record.protocol
    task = select_tasks([protocol.task], [])[0]
    if (protocol.prompt_language or protocol.variant) and isinstance(task, RewordableTask):
        return task.reword(prompt_language=protocol.prompt_language, variant=protocol.variant)
    return task


class _Marks(Mapping[str, str]):
    """Fields of an example that has every field, each a mark; a mapping of ours, since no dict has every key."""

    def __getitem__(self, name: str) -> str:
        return f"{_OPEN}{name}{_CLOSE}"

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _marked_example(task: Task) -> Example:
    return Example(
        id="marks", language=task.spec.language, group="marks", cluster="marks", fields=_Marks(), targets=("",)
    )


def _pattern(prompt: Prompt, *, shots_in_text: bool) -> re.Pattern[str] | None:
    """Return what finds the fields in a prompt; the last place where it fits counts, behind all demonstrations."""
    pieces = _MARK.split(prompt.input)
    literals, names = pieces[0::2], pieces[1::2]
    if not names or len(set(names)) != len(names) or any(not each for each in literals[1:-1]):
        return None
    start = re.escape(literals[0]) if literals[0] else _beginnings(prompt.instruction, shots_in_text=shots_in_text)
    # A text that a model continues loses the space behind its last colon.
    end = re.escape(literals[-1].rstrip()) or rf"(?={re.escape(_ALPACA_END)}|\s*\Z)"
    between = [*map(re.escape, literals[1:-1]), end]
    fields = "".join(f"(?P<f{name.encode().hex()}>.*?){text}" for name, text in zip(names, between, strict=True))
    return re.compile(f"(?s:.*){start}(?s:{fields})")


def _beginnings(instruction: str, *, shots_in_text: bool) -> str:
    """Return what a first field without a label stands behind."""
    heads = [re.escape(f"{instruction}\n\n")] if instruction else []
    heads += [re.escape(_ALPACA_INPUT)] + ([r"\n\n"] if shots_in_text else [])
    return f"(?:{'|'.join(heads)}|\\A)"
