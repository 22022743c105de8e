"""How often `off_target` calls a reference of Flores-101 another language: the tables of metrics/false_alarms.py.

    python -m bench.false_alarms ../shared/data/flores101

heliport must be installed for its table.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from xlingual.languages import LANGUAGES
from xlingual.metrics.language_identifiers import Identifier, heliport, lid_176
from xlingual.metrics.off_target import judge_language


def false_alarms(lines: Sequence[str], language: str, identifier: Identifier) -> tuple[float, float]:
    """Return the share of judged lines that are called wrong, and the share that is judged, in per cent."""
    judged = [verdict for line in lines if (verdict := judge_language(line, language, identifier)) is not None]
    return 100 * sum(judged) / len(judged) if judged else 0.0, 100 * len(judged) / len(lines)


def main(folder: Path, identifiers: Sequence[Callable[[str], Identifier | None]] = (lid_176, heliport)) -> None:
    """Print both tables."""
    for find in identifiers:
        for code, row in LANGUAGES.items():
            identifier = find(code)
            if identifier is None or not identifier.installed:
                continue
            lines = (folder / "devtest" / f"{row.flores}.devtest").read_text(encoding="utf-8").splitlines()
            rate, judged = false_alarms(lines, code, identifier)
            if rate >= 0.05 or judged < 90:
                print(f'    "{code}": {rate:.1f},  # {identifier.name}, {judged:.0f}% judged')


if __name__ == "__main__":
    main(Path(sys.argv[1]))
