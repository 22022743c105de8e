"""The fused cross-entropy has the losses and gradients of torch's own, whatever the size of its chunks."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from xlingual.training.fused_loss import fused_cross_entropy


class _Head(nn.Module):
    """A head with a bias whose logits are capped and scaled, as those of Gemma and Granite are."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.linear = nn.Linear(24, vocabulary)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        capped: torch.Tensor = torch.tanh(self.linear(states) / 3) * 3 / 0.7
        return capped


def _run(head: _Head, chunk: int | None, *, scale: float = 1.0) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(3)
    hidden = torch.randn(37, 24, generator=draw).requires_grad_()
    labels = torch.randint(0, head.linear.out_features, (37,), generator=draw)
    weights = torch.rand(37, generator=draw)
    weights[5] = 0.0
    trained = [each for each in head.parameters() if each.requires_grad]
    if chunk is None:
        losses = cross_entropy(head(hidden), labels, reduction="none")
    else:
        losses = fused_cross_entropy(head, hidden, labels, weights, trained, chunk)
    torch.autograd.backward((losses * weights * scale).sum())
    found = [losses.detach(), hidden.grad, *(each.grad for each in head.parameters())]
    for each in head.parameters():
        each.grad = None
    return [each for each in found if each is not None]


@pytest.mark.parametrize("chunk", [1, 10, 37, 100])
@pytest.mark.parametrize("trained", ["all", "bias", "none"])
@pytest.mark.parametrize("vocabulary", [50, 2**19])
def test_losses_and_gradients_are_those_of_torch(vocabulary: int, trained: str, chunk: int) -> None:
    if vocabulary > 50 and chunk < 37:
        pytest.skip("the blocks of a large vocabulary are what is new")
    torch.manual_seed(2)
    head = _Head(vocabulary)
    head.requires_grad_(trained == "all")
    head.linear.bias.requires_grad_(trained != "none")
    expected, found = _run(head, None), _run(head, chunk)
    assert len(found) == len(expected) == {"all": 4, "bias": 3, "none": 2}[trained]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_another_gradient_of_the_losses_is_refused() -> None:
    with pytest.raises(RuntimeError, match="not that of their weights"):
        _run(_Head(50), 10, scale=2.0)
