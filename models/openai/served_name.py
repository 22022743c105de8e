"""The name that a server's answers bear: recorded, shown where it is another one, and watched for a change."""

from collections.abc import Callable
from dataclasses import dataclass, field

from xlingual.errors import ModelError

from .completion import Completion

MAX_MARKS = 5
"""Of the system fingerprints that are recorded: OpenAI's machines have many."""


@dataclass(slots=True, kw_only=True)
class ServedName:
    """Which model the answers of one server say that they are from."""

    asked: str
    own: str | None
    """The server's own name for it, where the handshake has told."""
    strict: bool
    """Whether the server has one model, so that answers of another name are of another model."""
    where: str
    note: Callable[[str], None]
    seen: list[str] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)

    @property
    def details(self) -> dict[str, str]:
        """What a result says of it."""
        names = [name for name in self.seen if name != self.asked]
        found = {"server's name": ", ".join(names)} if names else {}
        return found | ({"system fingerprint": ", ".join(self.marks)} if self.marks else {})

    def check(self, answer: Completion) -> None:
        """Look at an answer; raises ModelError where it comes from another model than those before it."""
        mark, name = answer.system_fingerprint, answer.model
        if mark is not None and mark not in self.marks and len(self.marks) < MAX_MARKS:
            self.marks.append(mark)
        if name is None or name in self.seen:
            return
        before = [*self.seen, *([self.own] if self.own is not None and not self.seen else [])]
        if before and name not in (self.own, self.asked):
            what = f"answers now come from the model {name!r}, those before came from {before[-1]!r}"
            if self.strict:
                hint = "the same command again gives the new model a run of its own"
                raise ModelError(what, where=self.where, hint=hint)
            self.note(what)
        elif name != self.asked and self.own is None:
            self.note(f"the server calls the model {name!r}")
        self.seen.append(name)
