"""Optimisers and losses: ours, timm's, and anybody's by path, in the proxy and in the final training alike."""

import pytest
import torch
from torch.nn import functional as F

from chattn_nas.errors import InputError
from chattn_nas.proxy import Outcome, ProxySettings, train
from chattn_nas.proxy.criterion import criterion_of
from chattn_nas.proxy.optimizer import Rates, build_optimizer
from chattn_nas.search.preflight import try_out
from chattn_nas.search.same import plugins
from chattn_nas.spec import Spec, TrainingSettings
from chattn_nas.tasks import task_of

OWN = """\
import torch
from torch.nn import functional as F

CALLS = []


def loss(output, targets):
    CALLS.append(len(targets))
    return F.cross_entropy(output.float(), targets)


class Descent(torch.optim.Optimizer):
    def __init__(self, groups, lr, weight_decay):
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.sub_(group["lr"].to(parameter.dtype) * parameter.grad)
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_recipe.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    import sys

    sys.modules.pop("own_recipe", None)


def small(classes=10):
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(64, 16), torch.nn.ReLU(), torch.nn.Linear(16, classes)
    )


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "lion", "own_recipe:Descent"])
def test_every_optimiser_learns_and_follows_the_schedule(data, own, optimizer) -> None:
    rate = {"sgd": 0.1, "own_recipe:Descent": 0.1, "lion": 0.002}.get(optimizer, 0.01)
    settings = ProxySettings(rungs=[1, 6], device="cpu", batch_size=64, optimizer=optimizer, learning_rate=rate)
    found = train(small(), data, settings, seed=0)
    assert found.outcome is Outcome.COMPLETE
    assert found.rungs[-1].loss < found.rungs[0].loss - 0.05
    assert found.train_loss_sum == train(small(), data, settings, seed=0).train_loss_sum
    network = small()
    built = build_optimizer(network, settings)
    assert {group["weight_decay"] for group in built.param_groups} == {settings.weight_decay, 0.0}
    rates = Rates(built)
    before = [value.detach().clone() for value in network.parameters()]
    rates.set(torch.zeros(1))
    network(torch.rand(2, 64)).sum().backward()
    built.step()
    for one, other in zip(before, network.parameters(), strict=True):
        torch.testing.assert_close(one, other.detach(), msg="at rate zero nothing moves")


def test_losses(data, own) -> None:
    task, cpu = task_of(data), torch.device("cpu")
    logits, labels = torch.randn(8, 10), torch.arange(8)
    found = {name: criterion_of(task, ProxySettings(loss=name), cpu)(logits, labels) for name in ("task", "ce", "bce")}
    assert torch.equal(found["task"], found["ce"])
    torch.testing.assert_close(found["ce"], F.cross_entropy(logits, labels, label_smoothing=0.1))
    smooth = F.one_hot(labels, 10) * 0.9 + 0.01
    torch.testing.assert_close(found["bce"], F.binary_cross_entropy_with_logits(logits, smooth))
    measured = train(small(), data, ProxySettings(rungs=[1], device="cpu", loss="own_recipe:loss", clip=0.5), seed=0)
    import own_recipe

    assert measured.outcome is Outcome.COMPLETE
    assert own_recipe.CALLS
    with pytest.raises(InputError, match="there is no loss 'hinge'"):
        criterion_of(task, ProxySettings(loss="hinge"), cpu)


def test_the_final_training_takes_the_proxy_s_recipe_and_a_search_tries_it_before(own) -> None:
    proxy = ProxySettings(optimizer="adamw", loss="bce", clip=1.0, rungs=[2])
    recipe = TrainingSettings().recipe(proxy)
    assert (recipe.optimizer, recipe.loss, recipe.clip, recipe.rungs) == ("adamw", "bce", 1.0, [8])
    assert TrainingSettings(clip=2.0).recipe(proxy).clip == 2.0
    fields = {
        "name": "x",
        "backbone": {"model": "cifar_resnet8"},
        "data": {"image_size": 8},
        "space": {"all": ["none", "se"]},
    }
    plain = Spec.from_dict(fields)
    same = Spec.from_dict(fields | {"proxy": {"optimizer": "sgd", "loss": "task", "clip": None}})
    assert plain.hash == same.hash
    mine = Spec.from_dict(
        fields | {"proxy": {"optimizer": "own_recipe:Descent", "loss": "own_recipe:loss", "device": "cpu"}}
    )
    try_out(mine)
    assert {"own_recipe:Descent", "own_recipe:loss"} <= plugins(mine).keys()
    for key, value, said in (
        ("optimizer", "adamm", "there is no optimiser 'adamm'"),
        ("optimizer", "own_recipe:Nothing", "own_recipe has no 'Nothing' that could be an optimiser"),
        ("loss", "nowhere:loss", "cannot be imported as a loss"),
    ):
        with pytest.raises(InputError, match=said):
            try_out(Spec.from_dict(fields | {"proxy": {key: value, "device": "cpu"}}))
