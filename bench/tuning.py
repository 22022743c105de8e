"""Useful tokens a second of `xlingual tune run` against transformers' Trainer with its default padded batches.

    python bench/tuning.py [--method full|lora] [--data DIR] [--model WORD] [--layers N] [--rows 16] [--steps 9]

Both train the same model on the same rows in one process, and take turns: a step of Trainer, a step of ours. The
mixture is that of CoIT: instructions in English and Chinese and, as many as both, sentence pairs. The first step is not
counted. Trainer has its defaults (micro-batches of 8 rows, fused AdamW, SDPA) and a collator that pads to the longest
row of the micro-batch; with 16 rows it would pad more. With `--method lora` both train an adapter of rank 16 on the
linear layers of the decoder: Trainer the one of peft. The ratio is that of useful tokens a second over all steps.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.utils.data import Dataset

from xlingual.plugin import DataSource
from xlingual.training.loop import Training, prepare, take_step
from xlingual.training.observing import SilentTrainingObserver
from xlingual.training.parallel import init_distributed
from xlingual.training.settings import TrainingJob, TrainSettings
from xlingual.tune.plan import PackLayout
from xlingual.tune.prepare import open_base, plan_mix, trainable
from xlingual.tune.recipe import find_recipe

LENGTH = 512
MICRO_BATCH_ROWS = 8
"""Trainer's default."""
MIX = """
name = "bench"
description = "instructions in English and Chinese, and as many sentence pairs as both"
base = "smollm2"
template = "alpaca"
seed = 0
length = {length}
on_long = "cut"
[budget]
rows = {rows}
[sources.alpaca-en]
reader = "alpaca"
path = "{english}"
language = "en"
use = "25%"
[sources.alpaca-zh]
reader = "alpaca"
path = "{chinese}"
language = "zh"
use = "25%"
[sources.translation]
reader = "parallel"
path = "{pairs}"
direction = "en-zh"
use = "50%"
max_epochs = 100
[method]
{method}
[schedule]
epochs = 1
rows_per_step = {step}
learning_rate = 2e-5
warmup = 0.0
weight_decay = 0.0
clip = 1.0
norm = "token"
"""
RANK, ALPHA = 16, 32.0
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
METHODS = {
    "full": 'kind = "full"',
    "lora": f'kind = "lora"\nrank = {RANK}\nalpha = {ALPHA}\ndropout = 0.0\ntargets = {list(TARGETS)}',
}
REAL = {
    "english": "alpaca/alpaca_data.en.json",
    "chinese": "alpaca/alpaca_data.zh.json",
    "pairs": "parallel/tatoeba/eng-cmn_Hans/tatoeba-test-v2021-08-07.{en:eng,zh:cmn_Hans}",
}
SAMPLE = {
    "english": "tune/alpaca.en.jsonl",
    "chinese": "tune/alpaca.zh.jsonl",
    "pairs": "tune/everyday.{language}",
}


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", choices=list(METHODS), default="full")
    parser.add_argument("--data", type=Path, help="folder of original files; without it the packaged sample")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--layers", type=int, help="only the first layers of the model, so that it takes less time")
    parser.add_argument("--rows", type=int, default=16, help="of a step")
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--pack-length", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def make_job(options: argparse.Namespace, folder: Path) -> TrainingJob:
    """Plan the mixture, and save the base, truncated to its first layers where asked to."""
    text = MIX.format(
        length=LENGTH,
        rows=options.rows * options.steps,
        step=options.rows,
        method=METHODS[options.method],
        **(REAL if options.data else SAMPLE),
    )
    (folder / "bench.toml").write_text(text, encoding="utf-8")
    model = open_base(options.model, offline=True)
    data_source = DataSource(folder=options.data, sample=options.data is None, offline=True)
    planned = plan_mix(
        find_recipe(str(folder / "bench.toml")), model, data_source, layout=PackLayout(pack_length=options.pack_length)
    )
    weights = trainable(model).weights()
    if options.layers:
        from transformers import AutoConfig, AutoModelForCausalLM

        config = AutoConfig.from_pretrained(weights)
        config.num_hidden_layers = options.layers
        AutoModelForCausalLM.from_pretrained(weights, config=config).save_pretrained(folder / "cut")
        weights = folder / "cut"
    return TrainingJob(
        plan=planned.plan,
        rows=planned.rows,
        weights=weights,
        tokenizer=weights,
        folder=folder,
        settings=TrainSettings(pack_length=options.pack_length, device="cpu"),
    )


class Rows(Dataset[dict[str, list[int]]]):
    """The rows of all steps in their order; labels with prompts masked."""

    def __init__(self, training: Training, steps: int) -> None:
        """List the rows of `steps` steps."""
        self.rows = training.job.rows
        self.order = [int(row) for step in range(steps) for row in training.step_schedule.step(step).rows]

    def __len__(self) -> int:
        """Rows of all steps."""
        return len(self.order)

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        """One row."""
        row = self.order[index]
        ids = self.rows.tokens[self.rows.offsets[row] : self.rows.offsets[row + 1]].tolist()
        start = int(self.rows.answer_starts[row])
        return {"input_ids": ids, "labels": [-100] * start + ids[start:]}


def collate(rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    """Pad to the longest row, as DataCollatorForSeq2Seq does."""
    longest = max(len(row["input_ids"]) for row in rows)

    def padded(name: str, value: int) -> torch.Tensor:
        return torch.tensor([row[name] + [value] * (longest - len(row[name])) for row in rows])

    mask = torch.tensor([[1] * len(row["labels"]) + [0] * (longest - len(row["labels"])) for row in rows])
    return {"input_ids": padded("input_ids", 0), "labels": padded("labels", -100), "attention_mask": mask}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Time and loss of a step."""

    wall: float
    processor: float
    loss: float


@dataclass(slots=True)
class Clock:
    """Wall and processor seconds since the start."""

    wall: float = 0.0
    processor: float = 0.0

    def start(self) -> None:
        """Start at zero."""
        self.wall, self.processor = time.perf_counter(), time.process_time()

    def read(self, loss: float) -> Cost:
        """Return the time since the start."""
        wall, processor = time.perf_counter() - self.wall, time.process_time() - self.processor
        return Cost(wall=wall, processor=processor, loss=loss)


LINE = "{:>5}{:>8}{:>8}{:>12}{:>12}{:>12}{:>11}{:>8}{:>11}"


def run_turns(training: Training, options: argparse.Namespace, folder: Path) -> list[tuple[int, Cost, Cost]]:
    """Run Trainer; after each of its steps, outside of its time, run one of ours. Print a line for each pair."""
    from transformers import AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments
    from transformers.trainer_callback import PrinterCallback

    found: list[tuple[int, Cost, Cost]] = []

    class Turns(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
        clock = Clock()

        def on_train_begin(self, *_: object, **__: object) -> None:
            self.clock.start()

        def on_step_end(self, *_: object, **__: object) -> None:
            self.theirs = self.clock.read(0.0)

        def on_log(self, _arguments: object, state: Any, *_: object, logs: dict[str, float], **__: object) -> None:  # noqa: ANN401
            if "loss" in logs:
                theirs = replace(self.theirs, loss=float(logs["loss"]))
                step = training.step_schedule.step(state.global_step - 1)
                self.clock.start()
                take_step(training, step)
                found.append((step.number, theirs, self.clock.read(training.loss_meter.read()[0].loss)))
                print(describe(training, *found[-1]), flush=True)
                self.clock.start()

    arguments = TrainingArguments(
        output_dir=str(folder / "theirs"), max_steps=options.steps, learning_rate=2e-5, lr_scheduler_type="cosine",
        per_device_train_batch_size=MICRO_BATCH_ROWS,
        gradient_accumulation_steps=max(options.rows // MICRO_BATCH_ROWS, 1),
        logging_steps=1, save_strategy="no", report_to=[], disable_tqdm=True, use_cpu=True, seed=0,
        train_sampling_strategy="sequential", remove_unused_columns=False,
    )  # fmt: skip
    theirs = AutoModelForCausalLM.from_pretrained(training.job.weights, attn_implementation="sdpa", dtype=torch.float32)
    if options.method == "lora":
        theirs = with_adapter(theirs)
    trainer = Trainer(
        model=theirs, args=arguments, train_dataset=Rows(training, options.steps), data_collator=collate,
        callbacks=[Turns()],
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return found


def with_adapter(model: Any) -> Any:  # noqa: ANN401 - neither transformers nor peft is typed
    """Return the model with peft's adapter of the recipe. B starts at 0, so that both have the same first loss."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)  # the recipe's: A is drawn as ours is
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=list(TARGETS), task_type="CAUSAL_LM")
    return get_peft_model(model, config)


def describe(training: Training, number: int, theirs: Cost, ours: Cost) -> str:
    """Return the line of a step."""
    lengths = training.lengths[training.step_schedule.step(number).rows].tolist()
    tokens = sum(lengths)
    chunks = [lengths[at : at + MICRO_BATCH_ROWS] for at in range(0, len(lengths), MICRO_BATCH_ROWS)]
    pads = 1 - tokens / sum(max(chunk) * len(chunk) for chunk in chunks)
    speeds = (f"{tokens / theirs.wall:.1f}", f"{tokens / ours.wall:.1f}")
    losses = (f"{theirs.loss:.5f}", f"{ours.loss:.5f}")
    ratios = (f"{theirs.wall / ours.wall:.2f}x", f"{theirs.processor / ours.processor:.2f}x")
    return LINE.format(number + 1, tokens, f"{100 * pads:.0f}%", *speeds, *losses, *ratios)


def summarize(training: Training, found: list[tuple[int, Cost, Cost]]) -> str:
    """Return the speeds over all steps, which is what a training of many steps takes, and the median of the steps."""
    tokens = sum(int(training.lengths[training.step_schedule.step(number).rows].sum()) for number, _, _ in found)
    theirs, ours = sum(each.wall for _, each, _ in found), sum(each.wall for _, _, each in found)
    processor = sum(each.processor for _, each, _ in found) / sum(each.processor for _, _, each in found)
    middle = median(theirs.wall / ours.wall for _, theirs, ours in found)
    apart = max(abs(theirs.loss - ours.loss) for _, theirs, ours in found)
    return (
        f"{len(found)} steps after the first, {tokens:,} useful tokens: {tokens / ours:.1f} against"
        f" {tokens / theirs:.1f} tokens/s: {theirs / ours:.2f}x by wall clock, {processor:.2f}x by processor time;"
        f" median of the steps {middle:.2f}x; losses at most {apart:.0e} apart"
    )


def main() -> None:
    """Measure and print."""
    options = parse()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as name, init_distributed("cpu", "float32") as world:
        folder = Path(name)
        job = make_job(options, folder)
        job = replace(job, plan=replace(job.plan, steps=options.steps))
        training = prepare(job, world, SilentTrainingObserver())
        plan = training.job.plan
        print(
            f"{plan.recipe.base}, {options.method}, {options.layers or 'all'} layers, {options.rows} rows a step, ",
            end="",
        )
        print(f"{100 * plan.supervised / plan.tokens:.0f}% of the tokens supervised, {options.threads} threads")
        names = ("step", "tokens", "pads", "their tok/s", "our tok/s", "their loss", "our loss", "wall", "processor")
        print(LINE.format(*names), flush=True)
        found = run_turns(training, options, folder)[1:]
        print(summarize(training, found))


if __name__ == "__main__":
    main()
