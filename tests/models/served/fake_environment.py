"""An environment that seems to have vLLM in it."""

import sys
from pathlib import Path


def make_environment(folder: Path, version: str = "0.33.0") -> Path:
    """Make what looks like an environment with vLLM in it, and return its interpreter."""
    package = folder / "packages" / "vllm" / "entrypoints" / "cli"
    package.mkdir(parents=True)
    (package / "main.py").write_text(Path(__file__).with_name("fake_vllm.py").read_text(encoding="utf-8"), "utf-8")
    metadata = folder / "packages" / f"vllm-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n", encoding="utf-8")
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{folder}/packages" exec "{sys.executable}" "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    return python
