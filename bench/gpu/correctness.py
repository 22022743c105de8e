"""Are the answers right, before any is timed: in float32 to the token, in bfloat16 but for ties.

In bfloat16 two ways of the same sum differ in the last bits, and of two tokens whose logits are as near as that either
may win. So a difference is looked at where it begins: what does the model itself, in one forward pass over the same
tokens, say of the two candidates? If their logits differ by more than `TIE` of the largest, it is an error.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .ways import WAYS, Texts, WayError, open_paged

TIE = 0.02
"""Of the largest logit: some three units in the last place of bfloat16, added up over the layers."""
ROWS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How the answers of a way agree with those of `generate`, one prompt at a time."""

    model: str
    dtype: str
    way: str
    prompts: int
    same: int
    """Answers that are equal to the last token."""
    ties: int
    """Answers that part at a tie."""
    wrong: int
    """Answers that part elsewhere."""
    note: str = ""
    """Why there are no answers, or what the engine said of itself."""


def compare_ways(name: str, loaded: Any, prompts: Sequence[Any], ways: Sequence[str]) -> list[Agreement]:  # noqa: ANN401 - of the backend
    """Answer the prompts in all `ways` and hold each answer against that of `generate` for the prompt alone."""
    dtype = str(loaded.model.dtype).removeprefix("torch.")
    wanted = WAYS["alone"](loaded, prompts, 1)
    found = []
    for way in ways:
        note, texts = "", None
        try:
            ready = open_paged(loaded) if way == "paged" else loaded
            note = ready.paged.choice.said if way == "paged" else ""
            texts = WAYS[way](ready, prompts, ROWS)
        except WayError as error:
            note = str(error)
        counts = (0, 0, 0) if texts is None else _count(loaded, prompts, wanted, texts)
        same, ties, wrong = counts
        found.append(
            Agreement(
                model=name,
                dtype=dtype,
                way=way,
                prompts=0 if texts is None else len(prompts),
                same=same,
                ties=ties,
                wrong=wrong,
                note=note,
            )
        )
    return found


def _count(loaded: Any, prompts: Sequence[Any], wanted: Texts, texts: Texts) -> tuple[int, int, int]:  # noqa: ANN401 - of the backend
    same = ties = 0
    for prompt in prompts:
        ours, theirs = (_ids(loaded, each[prompt.request.key]) for each in (texts, wanted))
        if ours == theirs:
            same += 1
        elif _is_tie(loaded, prompt, ours, theirs):
            ties += 1
    return same, ties, len(prompts) - same - ties


def _ids(loaded: Any, text: str) -> list[int]:  # noqa: ANN401 - of the backend
    return list(loaded.tokenizer(text.strip(), add_special_tokens=False)["input_ids"])


def _is_tie(loaded: Any, prompt: Any, ours: Sequence[int], theirs: Sequence[int]) -> bool:  # noqa: ANN401 - of the backend
    import torch

    place = next((i for i, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]), None)
    known = [*prompt.ids, *theirs[: min(len(ours), len(theirs)) if place is None else place]]
    ids = torch.tensor([known], device=loaded.device)
    with torch.no_grad():
        logits = loaded.model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits[0, -1].float()
    best = logits.topk(2).values
    # Where one text is the start of the other, the token that ended it is not in its text: the best two decide.
    low = float(best[1]) if place is None else min(float(logits[ours[place]]), float(logits[theirs[place]]))
    return float(best[0]) - low <= TIE * float(logits.abs().max())
