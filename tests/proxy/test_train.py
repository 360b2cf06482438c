"""One training: the same numbers twice, the same batches for all, honest outcomes."""

import dataclasses

import pytest
import torch
from torch import nn

from chattn_nas.data import TensorSet
from chattn_nas.proxy import Measurement, Outcome, ProxySettings, evaluate, train


def watch(network) -> list[torch.Tensor]:
    """The training batches that a network sees."""
    seen = []
    network.register_forward_pre_hook(
        lambda module, arguments: seen.append(arguments[0].clone()) if module.training else None
    )
    return seen


def test_the_same_seed_gives_the_same_numbers_twice(data, build, settings) -> None:
    first, second = (train(build(), data, settings, seed=3) for _ in range(2))
    assert first.rungs == second.rungs
    assert first.train_loss_sum == second.train_loss_sum
    assert train(build(), data, settings, seed=4).train_loss_sum != first.train_loss_sum


def test_all_networks_of_a_seed_share_backbone_weights_and_batches(data, build, settings) -> None:
    none, gated = build("none", seed=7), build("se", seed=7)
    shared = dict(none.state_dict())
    assert set(shared) < set(gated.state_dict())
    assert all(torch.equal(value, gated.state_dict()[name]) for name, value in shared.items())
    batches = [watch(none), watch(gated)]
    for network in (none, gated):
        train(network, data, settings, seed=7)
    assert len(batches[0]) == 2 * (len(data.train) // 64)
    assert all(torch.equal(a, b) for a, b in zip(*batches, strict=True))
    assert not torch.equal(batches[0][0], batches[0][1])


def test_what_a_layer_draws_comes_under_the_seed_and_moves_no_batch(data, build, settings) -> None:
    def dropping():
        network = build("none")
        network.fc = nn.Sequential(nn.Dropout(0.5), network.fc)
        return network

    networks = [build("none"), dropping(), dropping()]
    batches = [watch(network) for network in networks]
    state = torch.random.get_rng_state()
    found = [train(network, data, settings, seed=0) for network in networks]
    assert torch.equal(torch.random.get_rng_state(), state), "the global state stays as it was"
    assert found[1].train_loss_sum == found[2].train_loss_sum != found[0].train_loss_sum
    assert all(torch.equal(a, b) for a, b in zip(batches[0], batches[1], strict=True))


def test_a_network_learns_digits(data, build) -> None:
    measured = train(build("se"), data, ProxySettings(rungs=[6], batch_size=32, device="cpu"), seed=0)
    assert measured.outcome is Outcome.COMPLETE
    assert measured.score > 0.5


def test_what_is_recorded(data, build, settings) -> None:
    network = build()
    measured = train(network, data, settings, seed=5)
    assert [rung.epoch for rung in measured.rungs] == [1, 2]
    assert measured.seed == 5
    assert measured.seconds > 0
    assert measured.images_per_second > 0
    assert measured.peak_memory > 50 * 2**20
    assert measured.device == "cpu"
    assert measured.versions["torch"] == torch.__version__
    steps = 2 * (len(data.train) // 64)
    assert 0.5 * steps < measured.train_loss_sum < 5 * steps
    assert (measured.score, measured.loss) == evaluate(
        network, data.validation, data, batch_size=64, device=torch.device("cpu")
    )
    assert Measurement.from_dict(measured.to_dict()) == measured


def test_a_report_stops_a_training(data, build, settings) -> None:
    told = []
    measured = train(build(), data, settings, seed=0, report=lambda index, rung: told.append((index, rung)) or True)
    assert measured.outcome is Outcome.PRUNED
    assert [index for index, _ in told] == [0]
    assert measured.rungs == (told[0][1],)
    assert measured.reason == "stopped at rung 0 (epoch 1)"


class Nan(nn.Module):
    """Not finite after some steps."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)
        self.left = after

    def forward(self, x):
        self.left -= self.training
        return self.layer(x.flatten(1)) * (float("nan") if self.left < 0 else 1.0)


def test_a_loss_that_is_not_finite_ends_the_training_at_once(data) -> None:
    network = Nan(after=2)
    settings = ProxySettings(rungs=[10, 20], batch_size=64, device="cpu")
    measured = train(network, data, settings, seed=0)
    assert measured.outcome is Outcome.DIVERGED
    assert measured.reason == "the loss was not finite in rung 0 (epoch 1)"
    assert measured.rungs[-1].epoch == 1, "not the whole rung"
    assert len(measured.rungs) == 1


def test_a_loss_not_finite_on_the_validation_set_only(data, build, settings) -> None:
    network = build("none")
    network.register_forward_hook(lambda module, _, found: found if module.training else found * float("nan"))
    assert train(network, data, settings, seed=0).outcome is Outcome.DIVERGED


@pytest.mark.parametrize("patience", ["diverged", "none"])
def test_patience_ends_at_chance(data, patience) -> None:
    class Blind(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(10))

        def forward(self, x):
            return self.bias.expand(len(x), -1)

    settings = ProxySettings(rungs=[1, 2], batch_size=64, device="cpu", patience=patience)
    measured = train(Blind(), data, settings, seed=0)
    if patience == "diverged":
        assert measured.outcome is Outcome.DIVERGED
        assert "chance" in measured.reason
        assert len(measured.rungs) == 1
    else:
        assert measured.outcome is Outcome.COMPLETE
        assert len(measured.rungs) == 2


def test_a_batch_larger_than_the_set(noise, build) -> None:
    settings = ProxySettings(rungs=[1], batch_size=512, device="cpu")
    network = build("none", num_classes=2)
    seen = watch(network)
    assert train(network, noise, settings, seed=0).outcome is Outcome.COMPLETE
    assert [len(batch) for batch in seen] == [6]


def test_labels_follow_their_images(data) -> None:
    """A step on each image with its own label: the loss of a network that knows the labels is that of being right."""
    images = torch.arange(40, dtype=torch.uint8).reshape(40, 1, 1, 1).expand(40, 1, 8, 8)
    part = TensorSet(images, torch.arange(40) % 10)
    known = dataclasses.replace(data, train=part, validation=part, mean=(0.0,), std=(1 / 255,),
                                augmentation=dataclasses.replace(data.augmentation, crop_padding=0))  # fmt: skip

    class Knowing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.zero = nn.Parameter(torch.zeros(()))

        def forward(self, x):
            return nn.functional.one_hot(x[:, 0, 0, 0].round().long() % 10, 10) * 50.0 + self.zero

    settings = ProxySettings(rungs=[2], batch_size=8, label_smoothing=0, device="cpu")
    measured = train(Knowing(), known, settings, seed=0)
    assert measured.score == 1.0
    assert measured.train_loss_sum == pytest.approx(0.0, abs=1e-6)


class _Volume(nn.Module):
    """Looks at the channels of an image as at a third dimension."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.first, self.network = nn.Conv3d(1, 1, 3, padding=1), network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(self.first(x[:, None])[:, 0])


def test_a_network_with_weights_of_five_dimensions_is_trained(data, build, settings) -> None:
    network = _Volume(build())
    assert train(network, data, settings, seed=0).outcome is Outcome.COMPLETE
    assert network.network.conv1.weight.is_contiguous(memory_format=torch.channels_last)
