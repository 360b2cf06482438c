"""Auxiliary heads: their loss enters training, and nothing of it stays in the network."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from chattn_nas.attention import AuxiliaryHead
from chattn_nas.data import DataSettings, TensorSet, load_data
from chattn_nas.proxy import ProxySettings, train
from chattn_nas.proxy.auxiliary import AuxiliaryHeads, presence_loss
from chattn_nas.proxy.optimizer import build_optimizer
from chattn_nas.proxy.step import TrainingStep
from chattn_nas.tasks import task_of
from chattn_nas.tasks.classification import LabelLoss

TASK = task_of(load_data(DataSettings(image_size=8)))


@pytest.fixture
def heads_of():
    """The parameters of the auxiliary heads by name."""
    return lambda network: {n: p for n, p in network.named_parameters() if ".head." in n}


def _step(network, optimizer=None, **options):
    optimizer = optimizer or build_optimizer(network, ProxySettings())
    prepare = lambda batch: (batch.images.float(), batch.labels)  # noqa: E731
    return TrainingStep(network, optimizer, prepare, task=TASK, criterion=LabelLoss(), **options)


@pytest.fixture
def batch():
    images = torch.randint(256, (12, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return TensorSet(images, torch.arange(12) % 10)


def test_the_loss_moves_the_head_s_weights(build, heads_of, data, settings) -> None:
    network = build("enc_module", codewords=8)
    before = {name: weight.detach().clone() for name, weight in heads_of(network).items()}
    assert before
    train(network, data, settings, seed=0)
    for name, weight in heads_of(network).items():
        assert not torch.equal(weight, before[name]), name


def test_it_is_the_cross_entropy_of_presence_times_the_weight(build, heads_of, batch) -> None:
    """Against the same network without the loss: the gradients differ by that of the weighted cross-entropy."""
    network = build("enc_module", se_loss_weight=0.4).double()
    plain = copy.deepcopy(network)
    for module in plain.modules():
        if hasattr(module, "loss_weight"):
            module.loss_weight = 0.0
    for one in (network, plain):
        step = _step(one)
        step.prepare = lambda batch: (batch.images.double() / 255, batch.labels)
        told = step(batch)
    assert all(weight.grad is None for weight in heads_of(plain).values())

    other = build("enc_module", se_loss_weight=0.4).double()
    logits = []
    for module in other.modules():
        if hasattr(module, "loss_weight"):
            module.register_forward_hook(lambda _m, _i, out: logits.append(out))
    out = other(batch.images.double() / 255)
    present = F.one_hot(batch.labels, 10).double()
    loss = F.cross_entropy(out.float(), batch.labels)
    torch.testing.assert_close(told, loss.detach(), msg="the told loss is the network's own")
    assert len(logits) == 3, "one head per stage: it sits in the last block"
    for each in logits:
        assert each.shape == (12, 10)
        loss = loss - 0.4 * (present * each.sigmoid().log() + (1 - present) * (1 - each.sigmoid()).log()).mean()
    loss.backward()
    for (name, found), wanted in zip(network.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(found.grad, wanted.grad, rtol=1e-4, atol=1e-7, msg=name)


def test_weight_0_leaves_the_head_in_the_state_but_out_of_the_gradient(build, heads_of, batch) -> None:
    network = build("enc_module", se_loss_weight=0.0)
    before = copy.deepcopy(network.state_dict())
    _step(network)(batch)
    assert heads_of(network)
    for name, weight in heads_of(network).items():
        assert weight.grad is None
        assert torch.equal(weight, before[name])


def test_nothing_stays_behind(build, batch) -> None:
    """No hook, no logits: a copy made afterwards, or a thread that runs the same network, is not heard."""
    network = build("enc_module")
    auxiliary = AuxiliaryHeads(network)
    with auxiliary.heard() as heard:
        network(batch.images.float())
    assert len(heard) == 3
    network(batch.images.float())
    assert len(heard) == 3
    assert not any(module._forward_hooks for module in network.modules())
    with pytest.raises(RuntimeError, match="broken"), auxiliary.heard():
        raise RuntimeError("broken")
    assert not any(module._forward_hooks for module in network.modules())


def test_parts_of_a_batch_add_up(build, batch) -> None:
    class Presence(AuxiliaryHead, nn.Linear):
        loss_weight = 0.3

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.head = nn.Linear(64, 10), Presence(64, 10)

        def forward(self, x):
            self.head(x.flatten(1))
            return self.fc(x.flatten(1))

    torch.manual_seed(0)
    whole = Network()
    parts = copy.deepcopy(whole)
    for network, number in ((whole, 1), (parts, 3)):
        _step(network, torch.optim.SGD(network.parameters(), lr=0.0), accumulate=number)(batch)
    torch.testing.assert_close(parts.head.weight.grad, whole.head.weight.grad)
    assert whole.head.weight.grad.abs().sum() > 0


def test_every_class_with_a_share_is_present() -> None:
    logits, shares = torch.randn(2, 3), torch.tensor([[0.7, 0.3, 0.0], [0.0, 1.0, 0.0]])
    wanted = F.binary_cross_entropy_with_logits(logits, (shares > 0).float())
    torch.testing.assert_close(presence_loss([(0.5, logits)], shares), 0.5 * wanted)
    assert presence_loss([], shares) == 0
