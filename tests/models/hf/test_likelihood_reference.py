"""Log-likelihoods against float64: ours are nearer to it than lm-eval's, whose softmax in float32 is what differs.

torch's `log_softmax` on a CPU adds up the 49,152 exponentials of a vocabulary in float32, one after the other, and what
is lost makes every token likelier: 3e-6 a token, 3e-4 over a hundred. `logsumexp` adds up in a tree.
"""

import importlib
import json
from dataclasses import dataclass, field
from statistics import mean
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from xlingual.plugin import ModelOptions
from xlingual.records import Choice, Form, Message, Request, Role
from xlingual.registry import MODELS

from ...real_data import REAL

XCOPA = REAL / "more" / "xcopa" / "data"
TOLERANCE = 1e-4


@dataclass
class Scores:
    """Stands for a window whose scores are recorded."""

    window: Any
    log_probs: list[float] = field(default_factory=lambda: [0.0] * 64)
    greedy: list[bool] = field(default_factory=lambda: [False] * 64)


@pytest.mark.parametrize("vocabulary", [320, 49152, 262144])
@pytest.mark.parametrize("spread", [1.0, 4.0, 30.0])
def test_a_score_is_that_of_float64(vocabulary: int, spread: float) -> None:
    scoring = importlib.import_module("xlingual.plugins.models.hf.scoring")
    choices = importlib.import_module("xlingual.plugins.models.hf.tokens.choices")
    logits = torch.randn(64, vocabulary, generator=torch.Generator().manual_seed(5)) * spread
    ids = tuple(range(65))
    scores = Scores(choices.ScoringWindow(ids, 1))
    scoring.record_scores(logits, [(row, scoring.ScoredToken(row, scores, row)) for row in range(64)])
    exact = logits.double().log_softmax(-1)[range(64), list(ids[1:])]
    errors = torch.tensor(scores.log_probs, dtype=torch.float64) - exact
    assert float(errors.abs().max()) <= 2e-7 * float(exact.abs().max()) + 1e-6
    assert abs(float(errors.mean())) < 1e-6, "errors that all have one sign add up over a text"


def xcopa_requests() -> list[Request]:
    found = []
    for language in ("id", "vi", "tr"):
        for line in (XCOPA / language / f"val.{language}.jsonl").read_text(encoding="utf-8").splitlines()[:3]:
            row = json.loads(line)
            text = f"{row['premise'].rstrip('.')} because"
            endings = tuple(Choice(text=f" {row[name]}") for name in ("choice1", "choice2"))
            message = Message(role=Role.USER, text=text)
            found.append(
                Request(key=f"{language} {text}", form=Form.TEXT, messages=(message,), stop=(), max_new_tokens=0,
                        choices=endings)
            )  # fmt: skip
    return found


def likelihoods(model: Any, requests: list[Request]) -> list[float]:  # noqa: ANN401 - of the plugin
    found = {each.key: each.likelihoods for each in model.answer(requests)}
    return [one.logarithm for request in requests for one in found[request.key]]


@pytest.mark.slow
@pytest.mark.skipif(not XCOPA.is_dir(), reason="no ../shared/data beside the checkout")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_the_packaged_model_on_xcopa() -> None:
    lm_eval = pytest.importorskip("lm_eval.models.huggingface", reason="needs the extra `lm-eval`")
    instance = importlib.import_module("lm_eval.api.instance").Instance
    requests = xcopa_requests()
    packed: Any = MODELS.get("smollm2")("", ModelOptions(device="cpu"))
    static: Any = MODELS.get("smollm2")("", ModelOptions(device="cpu", engine="static"))
    folder, tokenizer = packed.weights(), packed.tokenizer_files()
    windows = [window for each in packed.inner.tokens.tokenize(requests) for [window] in each.windows]
    reference = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
    exact = []
    with torch.inference_mode():
        for window in windows:
            scores = reference(torch.tensor([window.ids[:-1]])).logits[0].log_softmax(-1)
            exact.append(float(sum(scores[at - 1, window.ids[at]] for at in range(window.first, len(window.ids)))))
    del reference
    ours = {"packed": likelihoods(packed, requests), "static": likelihoods(static, requests)}
    packed.close()
    static.close()
    pairs = [(request.messages[0].text, choice.text) for request in requests for choice in request.choices or ()]
    for dtype in (None, "float64"):
        other = lm_eval.HFLM(
            pretrained=str(folder), tokenizer=str(tokenizer), device="cpu", dtype="float32", softmax_dtype=dtype
        )
        asked = [instance(request_type="loglikelihood", doc={}, arguments=pair, idx=0) for pair in pairs]
        theirs = [value for value, _ in other.loglikelihood(asked, disable_tqdm=True)]
        del other
        for engine, found in ours.items():
            ours_off = [abs(a - b) for a, b in zip(found, exact, strict=True)]
            theirs_off = [abs(a - b) for a, b in zip(theirs, exact, strict=True)]
            assert max(ours_off) < TOLERANCE, engine
            if dtype is None:
                assert mean(ours_off) <= mean(theirs_off) + 1e-6, "lm-eval's softmax in float32 is the farther one"
            else:
                # What is left is the rounding of two forward passes in float32, each within the tolerance of float64.
                apart = [abs(a - b) for a, b in zip(found, theirs, strict=True)]
                assert max(apart) < 1.5 * TOLERANCE, engine
                assert mean(apart) < TOLERANCE / 2, engine
