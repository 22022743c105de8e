"""Tiny COMET checkpoints, the same to the bit in every environment: XLM-R of 3 layers and 32 channels, drawn weights.

Needs numpy, torch and tokenizers only, so that the environment of unbabel-comet makes the very same files as the tests.
The layout is that of the published ones: `hparams.yaml`, `checkpoints/model.ckpt`, and the folder of the encoder.
"""

import json
import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

WIDTH, LAYERS, HEADS, INNER, POSITIONS = 32, 3, 4, 48, 66
"""Of the encoder; `POSITIONS` leaves 62 tokens a text, where the published ones leave 510."""
HIDDEN = (24, 16)
"""Widths of the estimator."""
ALPHABET = (
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,!?'-<>/"
    "äöüßéñçığş"
    "αβγδεηθικλμνοπρστυφωάέήίόύώς"
    "абвгдежзиклмнопрстуфхцчшыьюя"
    "ابتثجحخدذرسشصضطعغفقكلمنهويةى"
    "अआइकखगघचजटडतथदधनपबभमयरलवशषसहािीुूेैोौं्।"
    "北京是中国的首都我爱你今天气很好他们在学校里。，"
)
_PIECES = "▁the ▁a th he in er an ▁c ▁s ing ▁is ed on en ει ال ка 北京"
PIECES = tuple(_PIECES.split())
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")


OMITTED = ("layer", "sent_layer", "layer_norm", "layer_transformation", "pool", "activations", "final_activation")


@dataclass(frozen=True)
class Variant:
    """A kind of checkpoint: what `hparams.yaml` and the checkpoint say of it."""

    name: str
    unified: bool
    """UnifiedMetric without references; else RegressionMetric."""
    transformation: str
    """Of the checkpoint."""
    stated: str
    """Of `hparams.yaml`; "sparsemax_patch" stands for softmax, whatever the checkpoint says."""
    layer_norm: bool
    scalars: tuple[float, ...]
    """Layer weights before the transformation, embeddings first."""
    seed: int
    omits: tuple[str, ...] = ()
    """Settings that the checkpoint does not name, so that the class has its own way."""


VARIANTS = (
    Variant("comet22", False, "sparsemax", "sparsemax", False, (0.4, 0.9, 0.1, -0.6), 22),
    Variant("comet22-normalised", False, "softmax", "softmax", True, (0.3, -0.2, 0.5, 0.1), 23),
    Variant("cometkiwi22", True, "sparsemax", "sparsemax_patch", False, (0.2, 0.7, -0.3, 0.5), 24),
    Variant("cometkiwi22-normalised", True, "sparsemax", "sparsemax", True, (0.2, 0.7, -0.3, 0.5), 25),
    Variant("comet22-defaults", False, "softmax", "softmax", True, (0.1, 0.6, -0.2, 0.4), 26, OMITTED),
    Variant("cometkiwi22-defaults", True, "sparsemax", "sparsemax", True, (0.1, 0.6, -0.2, 0.4), 27, OMITTED),
)
"""As the published ones are, then what their classes can be besides."""


def make_tokenizer() -> Tokenizer:
    """Return a Unigram tokenizer with XLM-R's special tokens and ids."""
    pieces = [(piece, -5.0 - 0.01 * place) for place, piece in enumerate(PIECES)]
    letters = [(letter, -9.0 - 0.001 * place) for place, letter in enumerate(dict.fromkeys("▁" + ALPHABET))]
    vocabulary = [(token, 0.0) for token in SPECIAL] + pieces + letters + [("<mask>", 0.0)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=3, byte_fallback=False))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    return tokenizer


def make_encoder(folder: Path) -> Path:
    """Write configuration and tokenizer of the encoder, without weights, as its folder on the hub holds them."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "model_type": "xlm-roberta",
        "architectures": ["XLMRobertaForMaskedLM"],
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": INNER,
        "max_position_embeddings": POSITIONS,
        "type_vocab_size": 1,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "XLMRobertaTokenizer"}', encoding="utf-8")
    return folder


def make_checkpoint(folder: Path, variant: Variant, encoder: Path) -> Path:
    """Write `hparams.yaml` and `checkpoints/model.ckpt`; return the path of the latter."""
    hparams = _hparams(variant, encoder)
    path = folder / "checkpoints" / "model.ckpt"
    path.parent.mkdir(parents=True)
    stated = {**hparams, "layer_transformation": variant.stated}
    # JSON is YAML.
    (folder / "hparams.yaml").write_text(json.dumps(stated, indent=1), encoding="utf-8")
    checkpoint = {
        "epoch": 1,
        "global_step": 10,
        "pytorch-lightning_version": "2.6.0",
        "state_dict": make_weights(variant),
        "hparams_name": "kwargs",
        "hyper_parameters": hparams,
        "loops": {},
        "lr_schedulers": [],
    }
    torch.save(checkpoint, path)
    return path


def _hparams(variant: Variant, encoder: Path) -> dict[str, object]:
    shared: dict[str, object] = {
        "class_identifier": "unified_metric" if variant.unified else "regression_metric",
        "activations": "Tanh",
        "batch_size": 4,
        "dropout": 0.1,
        "encoder_learning_rate": 1e-6,
        "encoder_model": "XLM-RoBERTa",
        "final_activation": None,
        "hidden_sizes": list(HIDDEN),
        "keep_embeddings_frozen": True,
        "layer": "mix",
        "layer_norm": variant.layer_norm,
        "layer_transformation": variant.transformation,
        "layerwise_decay": 0.95,
        "learning_rate": 1.5e-5,
        "loss": "mse",
        "nr_frozen_epochs": 0.3,
        "optimizer": "AdamW",
        "pool": "avg",
        "pretrained_model": str(encoder),
        "train_data": [],
        "validation_data": [],
    }
    if variant.unified:
        shared |= {"input_segments": ["mt", "src"], "sent_layer": "mix", "word_layer": LAYERS}
        shared["word_level_training"] = False
    return {name: value for name, value in shared.items() if name not in variant.omits}


def make_weights(variant: Variant) -> dict[str, torch.Tensor]:
    """Return the state of the model, drawn by numpy's frozen generator."""
    draw = np.random.RandomState(variant.seed)

    def normal(*shape: int, scale: float, middle: float = 0.0) -> torch.Tensor:
        return torch.from_numpy((middle + scale * draw.standard_normal(shape)).astype(np.float32))

    def linear(name: str, rows: int, columns: int, scale: float = 1.5) -> None:
        weights[f"{name}.weight"] = normal(rows, columns, scale=scale / math.sqrt(columns))
        weights[f"{name}.bias"] = normal(rows, scale=0.1)

    def norm(name: str) -> None:
        weights[f"{name}.weight"] = normal(WIDTH, scale=0.2, middle=1.0)
        weights[f"{name}.bias"] = normal(WIDTH, scale=0.1)

    weights: dict[str, torch.Tensor] = {}
    vocabulary = make_tokenizer().get_vocab_size()
    embeddings = "encoder.model.embeddings"
    for name, rows in (("word", vocabulary), ("position", POSITIONS), ("token_type", 1)):
        weights[f"{embeddings}.{name}_embeddings.weight"] = normal(rows, WIDTH, scale=0.5)
    norm(f"{embeddings}.LayerNorm")
    for layer in range(LAYERS):
        prefix = f"encoder.model.encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            linear(f"{prefix}.attention.self.{part}", WIDTH, WIDTH)
        linear(f"{prefix}.attention.output.dense", WIDTH, WIDTH)
        norm(f"{prefix}.attention.output.LayerNorm")
        linear(f"{prefix}.intermediate.dense", INNER, WIDTH)
        linear(f"{prefix}.output.dense", WIDTH, INNER)
        norm(f"{prefix}.output.LayerNorm")
    for place, scalar in enumerate(variant.scalars):
        weights[f"layerwise_attention.scalar_parameters.{place}"] = torch.tensor([scalar])
    weights["layerwise_attention.gamma"] = torch.tensor([1.3])
    weights["layerwise_attention.dropout_mask"] = torch.zeros(LAYERS + 1)
    weights["layerwise_attention.dropout_fill"] = torch.full((LAYERS + 1,), -1e20)
    widths = (WIDTH if variant.unified else 6 * WIDTH, *HIDDEN, 1)
    for place, (columns, rows) in enumerate(pairwise(widths)):
        linear(f"estimator.ff.{3 * place}", rows, columns, scale=1.0)
    return weights


SEGMENTS: tuple[tuple[str, str, str], ...] = (
    ("the cat is on the table.", "北京是中国的首都。", "北京是中国。"),
    ("a good thing", "", "τα παιδιά είναι στο σπίτι."),
    ("", "a hypothesis", "a reference"),
    ("a source", "a hypothesis", ""),
    ("", "", ""),
    ("the same", "the same", "the same"),
    ("Быстрая лиса", "القطة على الطاولة", "बिल्ली मेज पर है।"),
    ("one two three " * 40, "four five six " * 40, "seven eight nine " * 40),
    ("short", "он сказал что " * 50, "short"),
    ("τα παιδιά " * 30, "short", "τα παιδιά " * 29),
    ("abcdefghij" * 12, "abcdefghij" * 6, "the end"),
    ("mixed 北京 and القطة with σπίτι", "mixed काल 今天 with ß and ñ", "mixed ключ 你 and ğ"),
    ("  spaces\tand\nlines \u3000 here ", "spaces\u00a0and lines here", "spaces and lines here"),
    ("unknown ☃ \U0001f600 signs", "☃☃☃", "\U0001f600"),
    ("a <pad> in the text", "the <pad> <pad> is here", "no pad"),
    ("an </s> in the text", "</s>", "<s> a <mask> is here </s>"),
    ("ﬁne ①②③ Ａ", "fine 123 A", "fi\u0301ne"),
    ("the end of the thing", "the end of a thing", "an end of things"),
    ("in the beginning", "there is a thing in the singing", "the thing"),
    ("he is in the canteen", "er is in the kantine", "she is in the canteen"),
)
"""Source, hypothesis, reference: several scripts, empty ones, over-long ones, special tokens in the text."""
