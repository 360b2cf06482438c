import copy

import pytest
import torch
from torch import nn

from chattn_nas.attention import IdentityStart, build


def test_exact_whatever_the_gate():
    x = torch.randn(2, 16, 5, 7) * torch.logspace(-8, 8, 16)[:, None, None]
    for name in ("se", "eca", "gct", "srm", "random_gate"):
        wrapped = IdentityStart(build(name, 16), 16)
        assert torch.equal(wrapped(x), x), name


def test_gradients_come_from_the_first_and_the_second_step():
    torch.manual_seed(0)
    wrapped = IdentityStart(build("se", 16, reduction=2), 16)
    optimiser = torch.optim.SGD(wrapped.parameters(), lr=0.1)
    x = torch.randn(8, 16, 4, 4)
    wrapped(x).square().sum().backward()
    assert wrapped.alpha.grad.abs().min() > 0
    assert all(parameter.grad.abs().sum() == 0 for parameter in wrapped.module.parameters())
    optimiser.step()
    optimiser.zero_grad()
    wrapped(x).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in wrapped.module.parameters())


def test_a_module_that_starts_as_identity_is_not_stuck():
    """With alpha 0 and gct(x) - x = 0, no gradient would ever flow."""
    wrapped = IdentityStart(build("gct", 16), 16)
    assert torch.equal(wrapped.alpha, torch.ones(16))
    wrapped(torch.randn(4, 16, 4, 4)).square().sum().backward()
    assert wrapped.module.gamma.grad.abs().sum() > 0


class Cell(nn.Module):
    """Of stage scope: halves the map, counts its calls in the state."""

    def forward(self, x, state=None):
        count = torch.zeros(x.shape[0]) if state is None else state[0]
        return x / 2, (count + 1,)


def test_stage_scope_keeps_its_form():
    wrapped = IdentityStart(Cell(), 3)
    x = torch.randn(2, 3, 4, 4)
    y, state = wrapped(x)
    y, state = wrapped(y, state)
    assert torch.equal(y, x)
    assert torch.equal(state[0], torch.full((2,), 2.0))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_keeps_the_dtype(dtype):
    wrapped = IdentityStart(build("se", 16), 16).to(dtype)
    x = torch.randn(2, 16, 4, 4, dtype=dtype)
    assert wrapped(x).dtype == dtype
    with torch.autocast("cpu", torch.bfloat16):
        assert copy.deepcopy(wrapped).float()(x.bfloat16()).dtype == torch.bfloat16


def test_alpha_is_not_decayed():
    assert "alpha" in IdentityStart.no_weight_decay
