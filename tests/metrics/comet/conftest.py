"""The tiny checkpoints, converted once a session."""

from pathlib import Path

import pytest

from xlingual.metrics.comet.conversion import Conversion, convert

from .tiny_checkpoint import VARIANTS, make_checkpoint, make_encoder


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("comet") / "encoder")


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory, encoder: Path) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    return {each.name: make_checkpoint(folder / each.name, each, encoder) for each in VARIANTS}


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory, encoder: Path, checkpoints: dict[str, Path]) -> Path:
    """Return the folder of converted models, one folder a variant."""
    folder = tmp_path_factory.mktemp("converted")
    for name, path in checkpoints.items():
        convert(conversion_of(name, path, encoder), folder / name)
    return folder


def conversion_of(name: str, checkpoint: Path, encoder: Path) -> Conversion:
    """Return how a tiny checkpoint is converted: under the name of the published one that it resembles."""
    return Conversion(
        name=name.partition("-")[0],
        checkpoint=checkpoint,
        hparams=checkpoint.parents[1] / "hparams.yaml",
        encoder=encoder,
        unpublished=True,
    )


@pytest.fixture
def models(converted: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the metrics find the tiny models."""
    monkeypatch.setenv("XLINGUAL_COMET_DIR", str(converted))
    return converted
