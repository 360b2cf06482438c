"""Images that stay on disk train a network to the same bits as those that lie on the device."""

import pytest
import torch

from chattn_nas.data import DataSettings, MappedSet, TensorSet, joined, load_data
from chattn_nas.proxy import ProxySettings, evaluate, train
from chattn_nas.proxy.streamed import read_ahead


@pytest.mark.parametrize("sampling", ["shuffled", "balanced"])
def test_the_same_bits(build, sampling) -> None:
    data = DataSettings(image_size=8, train_limit=320, sampling=sampling)
    settings = ProxySettings(rungs=[1, 2], batch_size=64, device="cpu")
    found = [train(build(), load_data(data, data_on=place), settings, seed=3) for place in ("device", "disk")]
    assert found[0].rungs == found[1].rungs
    assert found[0].train_loss_sum == found[1].train_loss_sum


def test_scores_are_the_same(build) -> None:
    network, device = build(), torch.device("cpu")
    scores = []
    for place in ("device", "disk"):
        data = load_data(DataSettings(image_size=8), data_on=place)
        assert isinstance(data.validation, MappedSet if place == "disk" else TensorSet)
        scores.append(evaluate(network, data.validation, data, batch_size=50, device=device))
    assert scores[0] == scores[1]


def test_two_parts_in_one() -> None:
    data = load_data(DataSettings(image_size=8), data_on="disk")
    held = load_data(DataSettings(image_size=8), data_on="device")
    both, expected = joined(data.train, data.validation), joined(held.train, held.validation)
    assert torch.equal(both.images, expected.images)
    assert torch.equal(both.labels, expected.labels)
    index = torch.tensor([len(data.train), 0, len(both) - 1])
    assert torch.equal(both[index].images, expected[index].images)


def test_an_error_while_reading_ahead_reaches_the_training() -> None:
    class Broken:
        labels = torch.zeros(4)

        def read(self, index):
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(read_ahead(Broken(), torch.arange(4).split(2)))
