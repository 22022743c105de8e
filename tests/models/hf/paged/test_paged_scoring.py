"""Choices scored by the paged engine have the log-likelihoods of a plain forward pass over each."""

import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from xlingual.records import Form, Message, Request, Response, Role

from .machines import VOCABULARY, make_loaded, make_model, part, with_engine


def choices_of(seed: int, count: int) -> list[Any]:
    """Requests whose contexts share prefixes, with choices of one to five tokens; the last one is a whole text."""
    generator = random.Random(seed)
    choices = part("tokens.choices")
    shared = [generator.randrange(6, VOCABULARY) for _ in range(40)]
    found = []
    for number in range(count):
        context = shared[: generator.randint(1, 40)] + [
            generator.randrange(6, VOCABULARY) for _ in range(generator.choice([1, 9, 30]))
        ]
        windows = []
        for length in generator.sample([1, 1, 2, 5], 3):
            ids = (*context, *(generator.randrange(6, VOCABULARY) for _ in range(length)))
            windows.append((choices.ScoringWindow(ids, len(context)),))
        if number == count - 1:
            rolling = [tuple(generator.randrange(6, VOCABULARY) for _ in range(30)) for _ in range(2)]
            windows.append(tuple(choices.ScoringWindow(ids, 1) for ids in rolling))
        message = Message(role=Role.USER, text=str(number))
        request = Request(key=str(number), form=Form.TEXT, messages=(message,), stop=(), max_new_tokens=0)
        found.append(choices.TokenizedChoices(request=request, windows=tuple(windows), tokens=len(context) + 5))
    return found


def plain(model: Any, window: Any) -> tuple[float, bool]:  # noqa: ANN401 - of the plugin
    """Return the log-likelihood of a window by a forward pass of its own, and whether it is the likeliest."""
    with torch.no_grad():
        scores = model(torch.tensor([window.ids])).logits[0].log_softmax(-1)
    places = range(window.first, len(window.ids))
    best = all(int(scores[place - 1].argmax()) == window.ids[place] for place in places)
    return sum(float(scores[place - 1, window.ids[place]]) for place in places), best


def check(loaded: Any, asked: Sequence[Any], found: Sequence[Response]) -> None:  # noqa: ANN401 - of the plugin
    by_key = {each.key: each for each in found}
    assert len(by_key) == len(found) == len(asked)
    for each in asked:
        response = by_key[each.request.key]
        assert response.failure is None
        assert response.likelihoods is not None
        for choice, likelihood in zip(each.windows, response.likelihoods, strict=True):
            expected = [plain(loaded.model, window) for window in choice]
            assert likelihood.logarithm == pytest.approx(sum(value for value, _ in expected), abs=1e-3)
            assert likelihood.is_greedy == all(best for _, best in expected)


@pytest.mark.parametrize("architecture", ["Llama", "Gemma3Text", "Gemma2"])
@pytest.mark.parametrize(("pages", "max_tokens", "kept"), [(100, 512, 1000), (14, 24, 3), (12, 512, 1)])
def test_choices(architecture: str, pages: int, max_tokens: int, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = with_engine(make_loaded(make_model(architecture)), page_size=8, pages=pages, max_tokens=max_tokens)
    monkeypatch.setattr(part("paged.likelihood"), "max_scored_positions", lambda _loaded: kept)
    asked = choices_of(2, 8)
    limit = part("limits").RowLimit(rows=6)
    for _ in range(2):
        check(loaded, asked, list(part("paged.likelihood").score_paged(loaded, asked, limit)))
    assert set(loaded.paged.cache.allocator.rows) == {0}


def test_a_context_is_computed_once_for_all_its_choices() -> None:
    loaded = with_engine(make_loaded(make_model("Llama")), page_size=16, pages=60)
    choices = part("tokens.choices")
    context = tuple(range(10, 58))
    windows = tuple((choices.ScoringWindow((*context, first, 9), 48),) for first in range(60, 70))
    message = Message(role=Role.USER, text="a")
    request = Request(key="a", form=Form.TEXT, messages=(message,), stop=(), max_new_tokens=0)
    asked = [choices.TokenizedChoices(request=request, windows=windows, tokens=50)]
    computed: list[int] = []
    launch = type(loaded.paged).launch

    def see(self: Any, plan: Any) -> Any:  # noqa: ANN401 - of the plugin
        computed.append(sum(each.length for each in plan.entries))
        return launch(self, plan)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(loaded.paged), "launch", see)
        limit = part("limits").RowLimit(rows=16)
        check(loaded, asked, list(part("paged.likelihood").score_paged(loaded, asked, limit)))
    # The last token of the context is computed by each: its scores are theirs.
    assert computed == [49, 9 * 2]


def test_what_fails_is_the_failure_of_its_request() -> None:
    loaded = with_engine(make_loaded(make_model("Llama")), page_size=8, pages=6)
    asked = choices_of(2, 6)
    limit = part("limits").RowLimit(rows=6)
    found = {each.key: each for each in part("paged.likelihood").score_paged(loaded, asked, limit)}
    fits = [each for each in asked if max(len(window.ids) - 1 for [window, *_] in each.windows) <= 48]
    check(loaded, fits, [found[each.request.key] for each in fits])
    others = [each for each in asked if each not in fits]
    assert others
    for each in others:
        assert found[each.request.key].failure.kind == "OutOfMemoryError"
