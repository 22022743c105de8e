"""The benchmark for GPUs runs to its end without one; its cost model is within a quarter of published figures."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from bench.gpu.models import SHAPES, STOPS, make_tokenizer, prompt_tokens
from bench.gpu.report import Timing, timing_table
from bench.gpu.traces import Trace, make_prompts, read_traces
from bench.model_gpu import (
    CHECKS,
    ENGINES,
    GPUS,
    HFLM,
    PAGED,
    RUN_CHECKS,
    VLLM,
    Check,
    RunCheck,
    calls_of,
    predict,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_dry_run_compares_answers_and_writes_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    words = ["--dry", "--workloads", "xquad", "--peers", "hflm:64", "vllm:256", "--write", str(page)]
    finished = subprocess.run(
        [sys.executable, "-m", "bench.gpu", *words],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr[-3000:]
    text = page.read_text(encoding="utf-8")
    for way in ("paged", "static", "packed"):
        assert f"| tiny | float32 | {way} | 4 | 4 | 0 | 0 |" in text
    assert "| tiny | xquad/en, 0-shot | paged:256 | 6 |" in text
    assert "| tiny | xquad/en, 0-shot | vllm:256 | vllm is not installed |" in text
    assert "no GPU: a dry run" in text
    assert "| H100 | 8B | xquad/en, 0-shot | paged, 256 |" in text


@pytest.mark.parametrize("check", CHECKS, ids=[each.source for each in CHECKS])
def test_the_cost_model_is_within_a_quarter_of_published_figures(check: Check) -> None:
    assert check.predicted == pytest.approx(check.tokens, rel=0.25)


@pytest.mark.parametrize("check", RUN_CHECKS, ids=[f"{each.engine.name} {each.trace}" for each in RUN_CHECKS])
def test_the_cost_model_is_within_a_quarter_of_what_was_measured(check: RunCheck) -> None:
    assert check.predicted == pytest.approx(check.seconds, rel=0.25)


@pytest.mark.parametrize("name", ["1B", "8B", "70B"])
def test_the_order_of_the_engines_is_what_their_work_is(name: str) -> None:
    for trace in read_traces():
        seconds = {
            engine.name: predict(SHAPES[name], GPUS["H100"], engine, calls_of(trace, engine), 64).total
            for engine in ENGINES
        }
        assert seconds[HFLM.name] > 1.5 * max(seconds[VLLM.name], seconds[PAGED.name])


@pytest.mark.parametrize(("name", "millions"), [("1B", 1235), ("8B", 7504), ("70B", 69501)])
def test_sizes_are_those_of_llama(name: str, millions: int) -> None:
    """Of Llama 3 without the embeddings, which are looked up: 1.24 (tied), 8.03 and 70.55 billion with them."""
    shape = SHAPES[name]
    assert (shape.layer_weights + shape.head_weights) // 10**6 == millions


TRACE = Trace(
    name="t", task="xquad/en", shots=0, max_new_tokens=8, prompts=((0, 5), (3, 6), (6, 9), (1, 4)), answers=(1, 2)
)


def test_prompts_have_the_shape_of_the_trace() -> None:
    made = sorted(make_prompts(TRACE, 4, range(100)), key=len)
    assert [len(each) for each in made] == [4, 5, 6, 9]
    assert made[3][:6] == made[2]
    assert made[2][:3] == made[1][:3]
    assert made[0][:1] == made[1][:1]
    assert (TRACE.prompt_tokens, TRACE.own_tokens) == (24, 14)


def test_traces_are_those_of_real_runs() -> None:
    shares = {each.name: each.own_tokens / each.prompt_tokens for each in read_traces()}
    assert {name: round(share, 2) for name, share in shares.items()} == {
        "xquad": 0.22,
        "few-shot": 0.04,
        "flores": 0.48,
    }


def test_the_tokenizer_gives_tokens_back() -> None:
    vocabulary = 1024
    tokenizer, words = make_tokenizer(vocabulary), prompt_tokens(vocabulary)
    assert len(tokenizer) == vocabulary
    assert tokenizer(tokenizer.decode(words), add_special_tokens=False)["input_ids"] == words
    others = set(range(3, vocabulary)) - set(words)
    assert all(any(stop in tokenizer.decode([each]) for stop in STOPS) for each in others)


def test_a_timing_is_compared_with_the_paged_engine() -> None:
    ours = Timing(model="m", workload="w", way="paged:2", prompts=10, prompt_tokens=40, seconds=(1.0, 9.0, 2.0))
    theirs = Timing(
        model="m", workload="w", way="hflm:2", prompts=10, prompt_tokens=40, seconds=(8.0,), answer_tokens=16
    )
    lines = timing_table([theirs, ours]).splitlines()
    assert lines[2] == "| m | w | hflm:2 | 10 | 8.00 | 1.2 | 2 | 5 | 0.0 | 0.0 | 4.0x |"
