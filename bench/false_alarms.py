"""How often `off_target` calls a reference of Flores-101 another language: the table of metrics/false_alarms.py.

python -m bench.false_alarms ../shared/data/flores101
"""

import sys
from pathlib import Path

from xlingual.languages import LANGUAGES
from xlingual.metrics.off_target import judge_language


def false_alarms(lines: list[str], language: str) -> float:
    """Return the share of judged lines that are called wrong, in per cent."""
    judged = [verdict for line in lines if (verdict := judge_language(line, language)) is not None]
    return 100 * sum(judged) / len(judged) if judged else 0.0


def main(folder: Path) -> None:
    """Print the table."""
    for code, row in LANGUAGES.items():
        lines = (folder / "devtest" / f"{row.flores}.devtest").read_text(encoding="utf-8").splitlines()
        rate = false_alarms(lines, code) if row.lid is not None else 0.0
        if rate >= 0.05:
            print(f'    "{code}": {rate:.1f},')


if __name__ == "__main__":
    main(Path(sys.argv[1]))
