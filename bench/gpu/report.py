"""The page of the GPU benchmark in Markdown: the machine, the answers, the ratios, the predictions."""

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from .correctness import Agreement

NOTES = Path(__file__).with_name("notes.md")
"""What was measured by hand on a GPU, and when: kernels, graphs, steps. Ends the page."""
PACKAGES = ("torch", "transformers", "triton", "lm-eval", "vllm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """One way of answering a workload."""

    model: str
    workload: str
    way: str
    prompts: int
    prompt_tokens: int
    seconds: tuple[float, ...] = ()
    """Of each repetition; none where it could not answer."""
    answer_tokens: int = 0
    ready: float = 0.0
    """Seconds before, once for a model: verification, graphs, compilation."""
    peak: float = 0.0
    """GiB of the device's memory."""
    note: str = ""

    @property
    def wall(self) -> float:
        """The median."""
        return median(self.seconds)


def machine(device: str) -> str:
    """Return the device and the packages, a line each."""
    import torch

    name = torch.cuda.get_device_name() if device.startswith("cuda") else "no GPU: a dry run on the CPU"
    versions = [f"{each} {version}" for each in PACKAGES if (version := _version(each)) is not None]
    return f"- device: {name}\n- {', '.join(versions)}\n"


def correctness_table(found: Sequence[Agreement]) -> str:
    """Return how many answers agree."""
    lines = [
        "| model | dtype | way | prompts | same | parted at a tie | wrong | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {each.model} | {each.dtype} | {each.way} | {each.prompts} | {each.same} | {each.ties} | {each.wrong} "
        f"| {each.note} |"
        for each in found
    ]
    return "\n".join(lines) + "\n"


def timing_table(found: Sequence[Timing]) -> str:
    """Return a line for each model, workload and way, and how many times as fast the paged engine is."""
    lines = [
        "| model | workload | way | prompts | seconds | prompts/s | answer tokens/s | prompt tokens/s | GiB | ready, s "
        "| paged is |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for each in found:
        if not each.seconds:
            lines.append(f"| {each.model} | {each.workload} | {each.way} | {each.note} ||||||||")
            continue
        ours = next(
            (
                one
                for one in found
                if one.way.startswith("paged")
                and one.seconds
                and (one.model, one.workload) == (each.model, each.workload)
            ),
            None,
        )
        rate = each.prompts / each.wall
        ratio = "" if ours is None or each is ours else f"{ours.prompts / ours.wall / rate:.1f}x"
        lines.append(
            f"| {each.model} | {each.workload} | {each.way} | {each.prompts} | {each.wall:.2f} | {rate:.1f} "
            f"| {each.answer_tokens / each.wall:,.0f} | {each.prompt_tokens / each.wall:,.0f} | {each.peak:.1f} "
            f"| {each.ready:.1f} | {ratio} |"
        )
    return "\n".join(lines) + "\n"


def page(device: str, agreements: Sequence[Agreement], timings: Sequence[Timing], predictions: str) -> str:
    """Return the whole page; without timings it is what is predicted and what was measured by hand."""
    parts = [
        "# Generation on a GPU, measured and predicted\n",
        "    make bench GPU=1 # on a machine with a GPU, under ten minutes: measures, and writes this page anew",
        "    python -m bench.gpu --dry # anywhere: tiny models, the same code, nothing said of speed",
        "    python -m bench.model_gpu # the predictions\n",
    ]
    if timings:
        parts += [machine(device), _answers(agreements), _speed(device, timings)]
    parts += ["## Predicted\n", predictions]
    notes = NOTES.read_text(encoding="utf-8") if NOTES.exists() else ""
    return "\n".join(parts) + "\n" + notes


def _answers(agreements: Sequence[Agreement]) -> str:
    lines = [
        "## Are the answers right?\n",
        "Against `generate` for each prompt alone, on models of random weights. In bfloat16 an answer may part from it",
        "where the model's own logits of the two candidates are as good as equal.\n",
        correctness_table(agreements),
    ]
    return "\n".join(lines)


def _speed(device: str, timings: Sequence[Timing]) -> str:
    measured = (
        "measured" if device.startswith("cuda") else "a dry run: tiny models on a CPU, which say nothing of speed"
    )
    lines = [
        f"## How fast? ({measured})\n",
        "Llama's shapes with random weights; prompts in the shapes of real ones (lengths, shared prefixes), answers",
        "that end by chance after about as many tokens as real ones. `hflm:128` is lm-eval's HFLM, its batch size set",
        "by hand.\n",
        timing_table(timings),
    ]
    return "\n".join(lines)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
