"""From a checkpoint to our files: only the published bytes, only settings that are implemented, and no code is run."""

import collections
import json
import os
import pickle
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import sentencepiece
import torch

from xlingual.errors import DataError, EnvironmentFault, ModelError, XlingualError
from xlingual.files import hash_file, read_json
from xlingual.metrics.comet.conversion import Conversion, convert
from xlingual.metrics.comet.model_record import RECORD, TOKENIZER, WEIGHTS, CometRecord
from xlingual.metrics.comet.published import PUBLISHED
from xlingual.serial import from_json

from .conftest import conversion_of
from .test_scorer import GOLDENS, ROWS, open_scorer
from .tiny_checkpoint import make_encoder

Content = dict[str, object]


@pytest.fixture
def comet22(checkpoints: dict[str, Path], encoder: Path) -> Conversion:
    return conversion_of("comet22", checkpoints["comet22"], encoder)


@pytest.fixture
def change(comet22: Conversion, tmp_path: Path) -> Callable[[Callable[[Content], object]], Conversion]:
    """Return what writes a changed copy of the checkpoint and says how to convert it."""

    def write(edit: Callable[[Content], object]) -> Conversion:
        content = torch.load(comet22.checkpoint, weights_only=True)
        edit(content)
        path = tmp_path / "changed.ckpt"
        torch.save(content, path)
        return replace(comet22, checkpoint=path)

    return write


def test_the_record_says_what_the_weights_are(comet22: Conversion, tmp_path: Path) -> None:
    record = convert(comet22, tmp_path / "new" / "out")
    folder = tmp_path / "new" / "out"
    assert from_json(CometRecord, read_json(folder / RECORD)) == record
    assert sorted(path.name for path in folder.iterdir()) == [RECORD, WEIGHTS, TOKENIZER]
    assert record.checkpoint_sha256 == hash_file(comet22.checkpoint)
    assert record.weights_sha256 == hash_file(folder / WEIGHTS)
    assert record.tokenizer_sha256 == hash_file(folder / TOKENIZER)
    assert (record.repository, record.revision, record.licence) == (None, None, None)
    assert (record.transformation, record.layer_norm, record.unified) == ("sparsemax", False, False)
    assert record.encoder.longest_text == 62


def test_converting_twice_gives_the_same_bytes(comet22: Conversion, tmp_path: Path) -> None:
    assert convert(comet22, tmp_path / "one") == convert(comet22, tmp_path / "two")
    assert convert(comet22, tmp_path / "one") == convert(comet22, tmp_path / "two")


def test_the_longest_text_of_the_published_models_is_510_tokens(comet22: Conversion, tmp_path: Path) -> None:
    shape = convert(comet22, tmp_path).encoder
    published = replace(shape, positions=514)
    assert (published.longest_text, published.longest_input) == (510, 512)


def test_another_checkpoint_than_the_published_one_is_refused(comet22: Conversion, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"its SHA-256 is .*, that of Unbabel/wmt22-comet-da is e213091c"):
        convert(replace(comet22, unpublished=False), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_published_checkpoint_is_known_by_its_hash(
    comet22: Conversion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = PUBLISHED["comet22"]
    pinned = replace(model, checkpoint=replace(model.checkpoint, sha256=hash_file(comet22.checkpoint)))
    monkeypatch.setitem(PUBLISHED, "comet22", pinned)
    record = convert(replace(comet22, unpublished=False), tmp_path)
    assert (record.repository, record.revision, record.licence) == (model.repository, model.revision, "Apache-2.0")


def test_a_kiwi_is_no_comet22(checkpoints: dict[str, Path], encoder: Path, tmp_path: Path) -> None:
    kiwi = conversion_of("cometkiwi22", checkpoints["cometkiwi22"], encoder)
    with pytest.raises(ModelError, match="comet22 is a regression_metric"):
        convert(replace(kiwi, name="comet22"), tmp_path)


SETTINGS = {
    "pool": "max",
    "layer": 24,
    "encoder_model": "BERT",
    "layer_norm": "yes",
    "hidden_sizes": [],
    "activations": "Softplus",
    "final_activation": "Softplus",
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_that_are_not_implemented_are_refused(
    change: Callable[[Callable[[Content], object]], Conversion], tmp_path: Path, name: str
) -> None:
    def edit(content: Content) -> None:
        settings = content["hyper_parameters"]
        assert isinstance(settings, dict)
        settings[name] = SETTINGS[name]

    with pytest.raises(ModelError, match=rf"hyper_parameters\.{name}"):
        convert(change(edit), tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("estimator.ff.3.weight", None, "estimator.1.weight is missing"),
        ("estimator.ff.0.weight", torch.zeros(24, 32), r"estimator.0.weight has shape \(24, 32\), not \(24, 192\)"),
        ("layerwise_attention.gamma", torch.ones(1, dtype=torch.int64), "holds torch.int64"),
        ("estimator.ff.9.weight", torch.zeros(1), "estimator.3.weight is not known"),
        ("encoder.model.encoder.layer.3.output.dense.bias", torch.zeros(32), "is not known"),
        ("estimator.projector.weight", torch.zeros(1), "the tensor estimator.projector.weight is not known"),
        ("estimator.ff.x.weight", torch.zeros(1), "is not known"),
        ("layerwise_attention.scalar_parameters.1", None, "mix.scalars has shape"),
    ],
)
def test_tensors_that_do_not_fit_are_named(
    change: Callable[[Callable[[Content], object]], Conversion],
    tmp_path: Path,
    name: str,
    tensor: torch.Tensor | None,
    message: str,
) -> None:
    def edit(content: Content) -> None:
        state = content["state_dict"]
        assert isinstance(state, dict)
        state.pop(name, None)
        if tensor is not None:
            state[name] = tensor

    with pytest.raises(ModelError, match=message):
        convert(change(edit), tmp_path / "out")


class Payload:
    """Would make a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("place", ["callbacks", "state_dict", "hyper_parameters"])
def test_code_in_a_checkpoint_is_not_run(comet22: Conversion, tmp_path: Path, place: str) -> None:
    content = torch.load(comet22.checkpoint, weights_only=True)
    content[place] = {"x": Payload(tmp_path / "harm")}
    path = tmp_path / "bad.ckpt"
    torch.save(content, path)
    with pytest.raises(ModelError, match=r"would run code: posix\.mkdir"):
        convert(replace(comet22, checkpoint=path), tmp_path / "out")
    assert not (tmp_path / "harm").exists()


def test_classes_of_the_trainer_are_empty_ones(comet22: Conversion, tmp_path: Path) -> None:
    """A checkpoint of an older PyTorch Lightning names its callbacks by their classes; nothing is imported."""
    module = ModuleType("pytorch_lightning.callbacks.early_stopping")
    stopping = type("EarlyStopping", (), {"__module__": module.__name__, "__init__": lambda self: None})
    module.EarlyStopping = stopping  # type: ignore[attr-defined]  # a module made on the spot
    content = torch.load(comet22.checkpoint, weights_only=True)
    content["callbacks"] = {stopping: {"best": 1.0}, "state": stopping()}
    path = tmp_path / "older.ckpt"
    names = ("pytorch_lightning", "pytorch_lightning.callbacks", module.__name__)
    sys.modules.update(dict.fromkeys(names, module))
    try:
        torch.save(content, path)
    finally:
        for name in names:
            del sys.modules[name]
    convert(replace(comet22, checkpoint=path), tmp_path / "out")
    assert open_scorer(tmp_path / "out").score(ROWS) == pytest.approx(GOLDENS["comet22"], abs=1e-6)


def test_tensors_that_no_score_depends_on_are_left_out(
    change: Callable[[Callable[[Content], object]], Conversion], tmp_path: Path
) -> None:
    def edit(content: Content) -> None:
        state = content["state_dict"]
        assert isinstance(state, dict)
        state["hidden2tag.weight"] = torch.zeros(3, 32)
        state["encoder.model.embeddings.position_ids"] = torch.arange(66)[None]
        state["encoder.model.pooler.dense.weight"] = torch.zeros(32, 32)
        state["wordloss.weight"] = torch.zeros(3)

    convert(change(edit), tmp_path / "out")
    assert open_scorer(tmp_path / "out").score(ROWS) == pytest.approx(GOLDENS["comet22"], abs=1e-6)


def _write(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


BAD_FILES: dict[str, Callable[[Path], object]] = {
    "empty": _write(b""),
    "text": _write(b"version https://git-lfs.github.com/spec/v1\n"),
    "pickle": _write(pickle.dumps({"state_dict": {}})),
    "cut zip": _write(b"PK\x03\x04" + bytes(200)),
    "list": lambda path: torch.save([1, 2], path),
    "no state": lambda path: torch.save({"hyper_parameters": {}}, path),
    "no tensors": lambda path: torch.save({"hyper_parameters": {}, "state_dict": {"a": 1}}, path),
    "no settings": lambda path: torch.save({"state_dict": collections.OrderedDict()}, path),
    "nothing": lambda path: None,
    "folder": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_file_that_is_no_checkpoint_is_named(comet22: Conversion, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "bad.ckpt"
    BAD_FILES[kind](path)
    with pytest.raises(XlingualError) as caught:
        convert(replace(comet22, checkpoint=path), tmp_path / "out")
    assert "bad.ckpt" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code in (2, 3)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hparams.yaml", "- a\n"),
        ("hparams.yaml", "a: [\n"),
        ("hparams.yaml", "!!python/object/apply:os.mkdir [harm]\n"),
        ("hparams.yaml", "class_identifier: xcomet_metric\n"),
        ("encoder/config.json", "{}"),
        ("encoder/config.json", "[1]"),
        ("encoder/config.json", '{"num_hidden_layers": 3, "num_attention_heads": 5, "pad_token_id": 1}'),
        ("encoder/config.json", '{"num_hidden_layers": 3, "num_attention_heads": 0, "pad_token_id": 1}'),
        ("encoder/config.json", '{"num_hidden_layers": 9, "num_attention_heads": 4, "pad_token_id": 1}'),
        ("encoder/config.json", '{"num_hidden_layers": 3, "num_attention_heads": 4, "pad_token_id": "1"}'),
        ("encoder/tokenizer.json", None),
        ("encoder/config.json", None),
        ("hparams.yaml", None),
    ],
)
def test_files_beside_the_checkpoint_are_read_strictly(
    comet22: Conversion, tmp_path: Path, name: str, text: str | None
) -> None:
    make_encoder(tmp_path / "encoder")
    (tmp_path / "hparams.yaml").write_bytes(comet22.hparams.read_bytes())
    if text is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(text, encoding="utf-8")
    conversion = replace(comet22, hparams=tmp_path / "hparams.yaml", encoder=tmp_path / "encoder")
    with pytest.raises((DataError, XlingualError)) as caught:
        convert(conversion, tmp_path / "out")
    assert caught.value.exit_code in (2, 3)
    assert not (tmp_path / "out" / RECORD).exists()


def test_a_sentencepiece_model_becomes_a_tokenizer(comet22: Conversion, tmp_path: Path) -> None:
    """Where the encoder's folder holds no tokenizer.json, as in older repositories."""
    encoder = make_encoder(tmp_path / "encoder")
    (encoder / TOKENIZER).unlink()
    with (encoder / "sentencepiece.bpe.model").open("wb") as stream:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["the cat is on the table", "a good thing", "北京是中国的首都"] * 9),
            model_writer=stream, vocab_size=60, hard_vocab_limit=False, minloglevel=2,
        )  # fmt: skip
    convert(replace(comet22, encoder=encoder), tmp_path / "out")
    tokens = json.loads((tmp_path / "out" / TOKENIZER).read_text(encoding="utf-8"))
    assert [row["content"] for row in tokens["added_tokens"][:4]] == ["<s>", "<pad>", "</s>", "<unk>"]
    assert all(score < 2 for score in open_scorer(tmp_path / "out").score(ROWS[:1]))


def test_a_folder_that_cannot_be_written_is_said(comet22: Conversion, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(EnvironmentFault):
        convert(comet22, tmp_path / "file" / "out")
