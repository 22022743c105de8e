"""What is found of a run while it is verified."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RunFindings:
    """Lists that the checks add to; each line begins with the file, then the line or field."""

    edits: list[str] = field(default_factory=list)
    """What does not follow from the rest."""
    doubts: list[str] = field(default_factory=list)
    """What could not be checked, so that nobody can tell."""
    notes: list[str] = field(default_factory=list)
    """What a reader should know of a run that is verified all the same."""
