"""LaTeX exports go through a TeX, where there is one: no name stops it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from .hostile import HOSTILE
from .test_export import export, two_models, with_name

TEX = shutil.which("xelatex")
FRAME = "\\documentclass{{article}}\n\\usepackage{{booktabs}}\n\\begin{{document}}\n{}\n\\end{{document}}\n"
NAMES = (*HOSTILE, "中文模型", "نموذج عربي", "हिन्दी", "Ελληνικά ₂ π ∞ 🙂")


@pytest.mark.skipif(TEX is None, reason="no xelatex here")
def test_no_name_stops_a_tex(tmp_path: Path) -> None:
    assert TEX is not None
    parts = [export("latex", *two_models()), *(export("latex", with_name(name)) for name in NAMES)]
    for number, part in enumerate(parts):
        (tmp_path / f"board{number}.tex").write_text(part, encoding="utf-8")
    page = "\n\\clearpage\n".join(f"\\input{{board{number}}}" for number in range(len(parts)))
    (tmp_path / "page.tex").write_text(FRAME.format(page), encoding="utf-8")
    command = [TEX, "-halt-on-error", "-interaction=nonstopmode", "-no-shell-escape", "page.tex"]
    made = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False, timeout=180
    )
    assert made.returncode == 0, made.stdout[-2000:]
    pages = re.search(r"Output written on page\.pdf \((\d+) pages", made.stdout)
    assert pages is not None
    assert int(pages[1]) >= len(parts)
