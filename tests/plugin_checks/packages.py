"""Installed packages with entry points, for tests."""

from collections.abc import Mapping
from pathlib import Path


def install(folder: Path, *points: str, name: str = "wordpack", files: Mapping[str, str] | None = None) -> None:
    """Make a package known, in a folder of `sys.path`, that has these entry points and files."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("\n".join(["[xlingual]", *points]) + "\n", encoding="utf-8")
    for file, text in {"__init__.py": "", **(files or {})}.items():
        path = folder / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
