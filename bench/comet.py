"""Our COMET against unbabel-comet: seconds for the same segments, by the same drawn checkpoint, in turn.

    python -m bench.comet --oracle OTHER/bin/python --data DIR

`--oracle` is the Python of an environment that has unbabel-comet 2.2.7; `--data` holds Flores-101. The checkpoint has
the shape of XLM-R base with a small vocabulary; all layers have weight, so that none is spared. Loading is not counted.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

LANGUAGES = ("eng", "deu", "spa")
"""Source, reference, and what stands for the hypothesis: a text as long as a translation."""
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
VOCABULARY = 8000
HIDDEN = (3072, 1024)
BATCH = 16
"""The default of unbabel-comet; ours chooses its own."""


def make_checkpoint(folder: Path, texts: Sequence[str], width: int, layers: int) -> None:
    """Write a drawn RegressionMetric and its encoder into `folder`."""
    encoder = folder / "encoder"
    encoder.mkdir()
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=VOCABULARY, special_tokens=SPECIAL, unk_token="<unk>")
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.save(str(encoder / "tokenizer.json"))
    rows, inner, generator = tokenizer.get_vocab_size(), 4 * width, torch.Generator().manual_seed(0)
    config = {
        "model_type": "xlm-roberta", "vocab_size": rows, "hidden_size": width, "num_hidden_layers": layers,
        "num_attention_heads": width // 64, "intermediate_size": inner, "max_position_embeddings": 514,
        "type_vocab_size": 1, "layer_norm_eps": 1e-5, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2,
    }  # fmt: skip
    (encoder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    weights: dict[str, torch.Tensor] = {}

    def draw(name: str, *shape: int) -> None:
        weights[name] = torch.randn(shape, generator=generator) * 0.02

    def norm(name: str) -> None:
        weights[f"{name}.weight"], weights[f"{name}.bias"] = torch.ones(width), torch.zeros(width)

    for part, size in (("word", rows), ("position", 514), ("token_type", 1)):
        draw(f"encoder.model.embeddings.{part}_embeddings.weight", size, width)
    norm("encoder.model.embeddings.LayerNorm")
    for layer in range(layers):
        name = f"encoder.model.encoder.layer.{layer}"
        for part in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            draw(f"{name}.{part}.weight", width, width)
            draw(f"{name}.{part}.bias", width)
        for part, out, columns in (("intermediate.dense", inner, width), ("output.dense", width, inner)):
            draw(f"{name}.{part}.weight", out, columns)
            draw(f"{name}.{part}.bias", out)
        norm(f"{name}.attention.output.LayerNorm")
        norm(f"{name}.output.LayerNorm")
    for layer in range(layers + 1):
        weights[f"layerwise_attention.scalar_parameters.{layer}"] = torch.zeros(1)
    weights["layerwise_attention.gamma"] = torch.ones(1)
    for place, (columns, out) in enumerate(pairwise((6 * width, *HIDDEN, 1))):
        draw(f"estimator.ff.{3 * place}.weight", out, columns)
        draw(f"estimator.ff.{3 * place}.bias", out)
    hparams = {
        "class_identifier": "regression_metric", "encoder_model": "XLM-RoBERTa", "pretrained_model": str(encoder),
        "pool": "avg", "layer": "mix", "layer_transformation": "sparsemax", "layer_norm": False,
        "hidden_sizes": list(HIDDEN), "activations": "Tanh", "final_activation": None,
    }  # fmt: skip
    (folder / "checkpoints").mkdir()
    (folder / "hparams.yaml").write_text(json.dumps(hparams), encoding="utf-8")
    content = {"state_dict": weights, "hyper_parameters": hparams, "pytorch-lightning_version": "2.6.0"}
    torch.save(content, folder / "checkpoints" / "model.ckpt")


def score_ours(folder: Path) -> Callable[[list[dict[str, str]]], list[float]]:
    """Return what scores by our scorer."""
    from xlingual.files import read_json
    from xlingual.metrics.comet.conversion import Conversion, convert
    from xlingual.metrics.comet.model_record import RECORD, CometRecord
    from xlingual.metrics.comet.scorer import CometScorer, Segment
    from xlingual.serial import from_json

    checkpoint, out = folder / "checkpoints" / "model.ckpt", folder / "converted"
    if not out.exists():
        hparams, encoder = folder / "hparams.yaml", folder / "encoder"
        convert(
            Conversion(name="comet22", checkpoint=checkpoint, hparams=hparams, encoder=encoder, unpublished=True), out
        )
    record = from_json(CometRecord, read_json(out / RECORD))
    scorer = CometScorer(out, record, device="cpu", dtype=torch.float32)
    return lambda rows: scorer.score(
        [Segment(source=row["src"], hypothesis=row["mt"], reference=row["ref"]) for row in rows]
    )


def score_theirs(folder: Path) -> Callable[[list[dict[str, str]]], list[float]]:
    """Return what scores by unbabel-comet."""
    from comet import load_from_checkpoint

    model = load_from_checkpoint(str(folder / "checkpoints" / "model.ckpt"), local_files_only=True)
    return lambda rows: list(model.predict(rows, batch_size=BATCH, gpus=0, progress_bar=False).scores)


def measure(who: str, folder: Path) -> None:
    """Score the rows of `folder`, and write scores and seconds to a file there."""
    rows = json.loads((folder / "rows.json").read_text(encoding="utf-8"))
    score = {"ours": score_ours, "theirs": score_theirs}[who](folder)
    score(rows[:4])
    wall, own = time.perf_counter(), time.process_time()
    scores = score(rows)
    result = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - own, "scores": scores}
    (folder / f"{who}.json").write_text(json.dumps(result), encoding="utf-8")


def main() -> None:
    """Make the checkpoint, measure both in turn, and print seconds, ratio and largest difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--oracle")
    parser.add_argument("--data")
    parser.add_argument("--limit", type=int, default=1012)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.child:
        measure(words.child[0], Path(words.child[1]))
        return
    if words.oracle is None or words.data is None:
        parser.error("--oracle and --data are needed")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = [Path(words.data) / "flores101" / "devtest" / f"{language}.devtest" for language in LANGUAGES]
        texts = [path.read_text(encoding="utf-8").splitlines()[: words.limit] for path in files]
        rows = [{"src": one, "ref": two, "mt": three} for one, two, three in zip(*texts, strict=True)]
        (folder / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
        make_checkpoint(folder, [line for lines in texts for line in lines], words.width, words.layers)
        best: dict[tuple[str, str], float] = {}
        for _ in range(words.rounds):
            found = {}
            for who, python in (("theirs", words.oracle), ("ours", sys.executable)):
                path = {"PYTHONPATH": "."} if who == "theirs" else {}
                command = [python, "-W", "ignore", "-m", "bench.comet", "--child", who, name]
                subprocess.run(command, check=True, env={**os.environ, **path}, capture_output=True)
                found[who] = json.loads((folder / f"{who}.json").read_text(encoding="utf-8"))
                for clock in ("wall", "cpu"):
                    best[who, clock] = min(best.get((who, clock), float("inf")), found[who][clock])
                print(f"{who}: {found[who]['wall']:.1f} s, {found[who]['cpu']:.1f} s of CPU", flush=True)
        pairs = zip(found["ours"]["scores"], found["theirs"]["scores"], strict=True)
        print(f"largest difference: {max(abs(one - other) for one, other in pairs):.1e}")
        for clock in ("wall", "cpu"):
            print(f"ours / theirs, {clock}: {best['ours', clock] / best['theirs', clock]:.2f}")


if __name__ == "__main__":
    main()
