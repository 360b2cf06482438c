"""Mixup, CutMix, drop path and the moving average: as timm does them, on the device, off by default."""

import copy

import numpy as np
import pytest
import torch
from scipy import stats
from timm.layers import DropPath
from timm.utils import ModelEmaV3

from chattn_nas.data import DataSettings, load_data
from chattn_nas.errors import InputError
from chattn_nas.network import build_network
from chattn_nas.proxy import Outcome, ProxySettings, train
from chattn_nas.proxy import drop_path as stochastic_depth
from chattn_nas.proxy.average import Average
from chattn_nas.proxy.drop_path import dropped
from chattn_nas.proxy.mixing import BatchMixing, mixing_of
from chattn_nas.proxy.packed import train_packed
from chattn_nas.space import Architecture, Backbone, StageChoice
from chattn_nas.spec import Spec
from chattn_nas.tasks import task_of

HEIGHT, WIDTH = 24, 30


def images(count: int = 16) -> torch.Tensor:
    """Every image has one value of its own."""
    return torch.arange(float(count)).view(-1, 1, 1, 1).expand(-1, 3, HEIGHT, WIDTH).clone()


def test_mixup_mixes_with_the_reversed_batch_by_one_share() -> None:
    mixing, labels = BatchMixing(0.4, 0.0, 5), torch.arange(16) % 5
    shares = []
    for seed in range(400):
        mixed, targets = mixing(images(), labels, torch.Generator().manual_seed(seed))
        share = float((mixed[0, 0, 0, 0] - 15) / -15)
        wanted = share * images() + (1 - share) * images().flip(0)
        torch.testing.assert_close(mixed, wanted, atol=1e-4, rtol=1e-4)
        hot = torch.nn.functional.one_hot(labels, 5)
        torch.testing.assert_close(targets, share * hot + (1 - share) * hot.flip(0), atol=1e-4, rtol=1e-4)
        shares.append(share)
    assert stats.kstest(np.clip(shares, 0, 1), stats.beta(0.4, 0.4).cdf).pvalue > 1e-3


def test_cutmix_puts_a_rectangle_of_the_drawn_area_in() -> None:
    mixing, labels = BatchMixing(0.0, 1.0, 16), torch.arange(16)
    areas = []
    for seed in range(400):
        mixed, targets = mixing(images(), labels, torch.Generator().manual_seed(seed))
        other = mixed[0, 0] == 15
        rows, columns = other.any(1).nonzero().flatten(), other.any(0).nonzero().flatten()
        assert int(other.sum()) == len(rows) * len(columns), "a rectangle"
        assert ((mixed[0, 0] == 0) | other).all()
        area = len(rows) * len(columns) / (HEIGHT * WIDTH)
        assert float(targets[0, 15]) == pytest.approx(area, abs=1e-6)
        areas.append(area)
    # what lies beyond the border is lost: less than the mean 1/2 of the uniform distribution, as in timm
    assert 0.25 < np.mean(areas) < 0.45


def test_with_both_every_batch_takes_one_and_the_same_seed_gives_the_same() -> None:
    mixing, labels = BatchMixing(0.2, 1.0, 16), torch.arange(16)
    kinds = []
    for seed in range(60):
        mixed, targets = mixing(images(), labels, torch.Generator().manual_seed(seed))
        again = mixing(images(), labels, torch.Generator().manual_seed(seed))
        assert torch.equal(mixed, again[0])
        assert torch.equal(targets, again[1])
        kinds.append(len(mixed[0].unique()) > 1)
        torch.testing.assert_close(targets.sum(1), torch.ones(16))
    assert 15 < sum(kinds) < 45


def test_targets_that_do_not_follow_are_refused(data) -> None:
    task = task_of(data)
    assert mixing_of(task, ProxySettings()) is None
    several = copy.copy(task)
    several.mixes = False
    with pytest.raises(InputError, match=r"proxy\.cutmix changes images in a way") as caught:
        mixing_of(several, ProxySettings(cutmix=1.0))
    assert caught.value.where == ("proxy", "cutmix")


def test_the_average_is_timm_s() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    mine, theirs = Average(network, 0.9), ModelEmaV3(network, 0.9, use_warmup=True)
    for step in range(1, 60):
        with torch.no_grad():
            for value in network.parameters():
                value.add_(torch.randn_like(value))
        network(torch.randn(2, 3, 8, 8))
        mine.update()
        theirs.update(network, step=step)
    for name, value in theirs.module.state_dict().items():
        torch.testing.assert_close(mine.module.state_dict()[name], value, atol=1e-5, rtol=1e-4)


def test_weights_that_two_layers_share_are_averaged_once() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    network[1].weight = network[0].weight
    average, alone = Average(network, 0.9), Average(network[0], 0.9)
    for _ in range(4):
        with torch.no_grad():
            network[0].weight.add_(torch.randn(3, 3))
        average.update()
        alone.update()
    assert torch.equal(average.module[0].weight, alone.module.weight)
    assert average.module[1].weight is average.module[0].weight


def small(kind: str = "se", model: str = "cifar_resnet8", **options):
    architecture = Architecture(Backbone(model, options), (StageChoice(kind),))
    return build_network(architecture, num_classes=10, in_chans=1, image_size=16, seed=0)


@pytest.fixture(scope="module")
def digits():
    return load_data(DataSettings(image_size=8, train_limit=256))


def test_the_average_is_what_a_training_scores_and_leaves_behind(digits) -> None:
    settings = ProxySettings(rungs=[1, 3], device="cpu", batch_size=64)
    averaged = small(width=4)
    plain = copy.deepcopy(averaged)
    with_it = train(averaged, digits, settings.changed(ema=0.9), seed=0)
    without = train(plain, digits, settings, seed=0)
    assert with_it.train_loss_sum == without.train_loss_sum, "the average changes nothing of the training"
    assert with_it.loss != without.loss
    assert any(not torch.equal(a, b) for a, b in zip(averaged.parameters(), plain.parameters(), strict=True))
    packed = [small(width=4), small("none", width=4)]
    found = train_packed(packed, digits, settings.changed(ema=0.9), seeds=[0, 0], device="cpu")
    assert found[0].loss == pytest.approx(with_it.loss, rel=1e-5)
    torch.testing.assert_close(dict(packed[0].named_parameters()), dict(averaged.named_parameters()))


@pytest.mark.parametrize("recipe", [{"mixup": 0.4}, {"cutmix": 1.0, "mixup": 0.2, "loss": "bce"}, {"drop_path": 0.3}])
def test_it_learns_with_every_one_and_networks_of_one_seed_share_batches(digits, recipe) -> None:
    settings = ProxySettings(rungs=[1, 8], device="cpu", batch_size=64, **recipe)
    found = train(small("none", width=8), digits, settings, seed=0)
    assert found.outcome is Outcome.COMPLETE
    assert found.rungs[-1].loss < found.rungs[0].loss - 0.02
    assert train(small("none", width=8), digits, settings, seed=0).train_loss_sum == found.train_loss_sum
    assert train(small("none", width=8), digits, settings, seed=1).train_loss_sum != found.train_loss_sum


@pytest.mark.parametrize(
    ("model", "kind"), [("cifar_resnet8", "se"), ("convnext_atto", "se"), ("convnext_atto", "none")]
)
def test_branches_are_dropped_for_the_time_of_a_training_alone(model, kind) -> None:
    network = small(kind, model) if model == "cifar_resnet8" else build_network(
        Architecture(Backbone(model), (StageChoice(kind),)), num_classes=3, image_size=64, seed=0
    )  # fmt: skip
    before = {name: type(module).__name__ for name, module in network.named_modules()}
    state = {name: value.clone() for name, value in network.state_dict().items()}
    x = torch.randn(2, 1 if model == "cifar_resnet8" else 3, 64, 64)
    network.eval()
    plain = network(x)
    with dropped(network, 0.999):
        torch.testing.assert_close(network(x), plain, msg="in eval mode nothing is dropped")
        assert network.state_dict().keys() == state.keys()
        rates = [m.drop_prob for m in network.modules() if isinstance(m, DropPath)]
        assert kind == "se" or rates == sorted(rates)
        network.train()
        torch.manual_seed(0)
        outputs = [network(x) for _ in range(4)]
        assert any(not torch.equal(outputs[0], other) for other in outputs[1:])
    network.load_state_dict(state)  # statistics of BatchNorm have moved
    torch.testing.assert_close(network.eval()(x), plain)
    assert {name: type(module).__name__ for name, module in network.named_modules()} == before
    assert not any(module._forward_hooks for module in network.modules())
    stochastic_depth.check(network)


def test_a_backbone_without_branches_or_that_drops_already_is_refused() -> None:
    with pytest.raises(InputError, match="no block of this backbone has a residual branch") as caught:
        stochastic_depth.check(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3)))
    assert caught.value.where == ("proxy", "drop_path")
    with pytest.raises(InputError, match=r"training\.drop_path .* contradict each other"):
        stochastic_depth.check(small(drop_path_rate=0.2), "training")


def test_what_is_left_off_leaves_the_hash_as_it_was() -> None:
    fields = {
        "name": "x", "backbone": {"model": "cifar_resnet8"}, "data": {"image_size": 8}, "space": {"all": ["none"]},
    }  # fmt: skip
    plain = Spec.from_dict(fields)
    off = {"mixup": 0.0, "cutmix": 0.0, "drop_path": 0.0, "ema": 0.0, "scheduler": "cosine"}
    assert Spec.from_dict(fields | {"proxy": off}).hash == plain.hash
    hashes = {Spec.from_dict(fields | {"proxy": {name: 0.5}}).hash for name in off if name != "scheduler"}
    assert len(hashes | {plain.hash}) == 5
