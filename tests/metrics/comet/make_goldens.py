"""Writes goldens.json: what unbabel-comet 2.2.7 says of the tiny checkpoints. Run it in an environment of its own.

    python -m tests.metrics.comet.make_goldens     # from the checkout; pip install unbabel-comet==2.2.7 'setuptools<82'

The scores of batches of 1, 8 and 32 must agree to 1e-6 there, too; those of 8 are written.
"""

import json
import sys
import tempfile
from pathlib import Path

from comet import load_from_checkpoint

from .tiny_checkpoint import SEGMENTS, VARIANTS, make_checkpoint, make_encoder

BATCHES = (8, 1, 32)
ROWS = [{"src": source, "mt": hypothesis, "ref": reference} for source, hypothesis, reference in SEGMENTS]


def score(path: Path) -> list[float]:
    """Return the scores of all segments by the checkpoint at `path`."""
    model = load_from_checkpoint(str(path), local_files_only=True)
    found: list[list[float]] = [
        model.predict(ROWS, batch_size=size, gpus=0, progress_bar=False).scores for size in BATCHES
    ]
    widest = max(abs(one - other) for scores in found[1:] for one, other in zip(found[0], scores, strict=True))
    sys.stdout.write(
        f"{path.parents[1].name}: {min(found[0]):.3f} to {max(found[0]):.3f}, batches differ by {widest:.1e}\n"
    )
    if widest > 1e-6:
        raise SystemExit("the scores depend on the batch size")
    return found[0]


def main() -> None:
    """Score every variant and write the table beside this file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        encoder = make_encoder(folder / "encoder")
        table = {each.name: score(make_checkpoint(folder / each.name, each, encoder)) for each in VARIANTS}
    text = json.dumps({"by": "unbabel-comet 2.2.7", "scores": table}, indent=1)
    (Path(__file__).parent / "goldens.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
