"""Groups without decay, and the schedule as tensors."""

import pytest
import torch
from torch import nn

from chattn_nas.proxy import ProxySettings
from chattn_nas.proxy.optimizer import Rates, build_optimizer, without_weight_decay
from chattn_nas.proxy.schedule import cosine


class Exempting(nn.Module):
    no_weight_decay = ("alpha",)

    def __init__(self) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(3))
        self.weight = nn.Parameter(torch.ones(3))


class TimmLike(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.bn = nn.BatchNorm2d(3)
        self.attention = Exempting()
        self.token = nn.Parameter(torch.ones(3))

    def no_weight_decay(self):
        return {"token"}


def test_biases_norms_and_what_is_exempted_do_not_decay() -> None:
    network = TimmLike()
    assert without_weight_decay(network) == {"conv.bias", "bn.weight", "bn.bias", "attention.alpha", "token"}
    decay = {
        id(parameter): group["weight_decay"]
        for group in build_optimizer(network, ProxySettings(weight_decay=0.01)).param_groups
        for parameter in group["params"]
    }
    exempt = without_weight_decay(network)
    for name, parameter in network.named_parameters():
        assert decay[id(parameter)] == (0.0 if name in exempt else 0.01), name


def test_what_an_attention_type_declares_does_not_decay(build) -> None:
    network = build("gct")
    declared = set()
    for name, module in network.named_modules():
        if "attention" in type(module).__module__:
            declared |= {f"{name}.{parameter}" for parameter in getattr(module, "no_weight_decay", ())}
    assert declared
    assert declared <= without_weight_decay(network)


def test_the_rate_rises_and_falls_to_zero() -> None:
    factors = [cosine(step, 50, 0.2) for step in range(50)]
    assert factors[0] == pytest.approx(1 / 11)
    assert max(factors) == factors[10] == 1.0
    assert factors[-1] == pytest.approx(0.0, abs=1e-12)
    assert factors[:11] == sorted(factors[:11])
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert [cosine(0, 1, 0.0), cosine(0, 1, 0.5)] == [1.0, pytest.approx(2 / 3)]


def test_rates_as_tensors_and_momentum_from_zero_are_plain_sgd() -> None:
    torch.manual_seed(0)
    ours, plain = nn.Linear(5, 4), nn.Linear(5, 4)
    plain.load_state_dict(ours.state_dict())
    settings = ProxySettings(learning_rate=0.3, batch_size=64, weight_decay=0.01)
    optimizer = build_optimizer(ours, settings)
    rates = Rates(optimizer)
    reference = torch.optim.SGD(
        [{"params": [plain.weight], "weight_decay": 0.01}, {"params": [plain.bias], "weight_decay": 0.0}],
        lr=0.15, momentum=0.9, nesterov=True,
    )  # fmt: skip
    for step in range(6):
        factor = cosine(step, 6, 0.3)
        rates.set(torch.tensor([factor], dtype=torch.float64))
        for group in reference.param_groups:
            group["lr"] = 0.15 * factor
        x = torch.randn(3, 5)
        for network, chosen in ((ours, optimizer), (plain, reference)):
            chosen.zero_grad()
            network(x).square().sum().backward()
            chosen.step()
    torch.testing.assert_close(ours.weight, plain.weight)
    torch.testing.assert_close(ours.bias, plain.bias)


def test_the_learning_rate_is_that_of_the_batch_that_is_used():
    """A batch of 1,024 of which 30 images are left had a peak of 0.8 instead of 0.02."""
    network = torch.nn.Linear(2, 2)
    settings = ProxySettings(learning_rate=0.1, batch_size=1024)
    assert build_optimizer(network, settings).param_groups[0]["lr"] == pytest.approx(0.8)
    assert build_optimizer(network, settings, images=30).param_groups[0]["lr"] == pytest.approx(0.1 * 30 / 128)
    assert build_optimizer(network, settings, images=5000).param_groups[0]["lr"] == pytest.approx(0.8)
