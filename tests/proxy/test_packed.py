"""Networks trained side by side learn what each learns alone."""

from dataclasses import replace

import pytest
import torch

from chattn_nas.errors import InputError
from chattn_nas.proxy import train
from chattn_nas.proxy.measurement import Outcome
from chattn_nas.proxy.packed import train_packed


def test_each_network_learns_what_it_learns_alone(data, build, settings) -> None:
    alone = [train(build(), data, settings, seed=seed) for seed in (1, 2)]
    told = []
    together = train_packed(
        [build(), build()], data, settings, seeds=[1, 2], device="cpu", after_epoch=lambda n, losses: told.append(n)
    )
    assert [m.rungs[-1].score for m in together] == [m.rungs[-1].score for m in alone]
    assert [m.train_loss_sum for m in together] == [m.train_loss_sum for m in alone]
    assert told == list(range(1, settings.rungs[-1] + 1))


def test_a_network_that_diverges_leaves_its_neighbours_alone(data, build, settings) -> None:
    broken = build()
    with torch.no_grad():
        next(broken.parameters()).fill_(float("nan"))
    expected = train(build(), data, settings, seed=1)
    first, second = train_packed([broken, build()], data, settings, seeds=[1, 1], device="cpu")
    assert first.outcome is Outcome.DIVERGED
    assert "not finite" in first.reason
    assert second.rungs[-1].score == expected.rungs[-1].score


def test_balanced_sampling_is_that_of_a_training_alone(data, build, settings) -> None:
    balanced = replace(data, balanced=True)
    alone = train(build(), balanced, settings, seed=1)
    together = train_packed([build()], balanced, settings, seeds=[1], device="cpu")
    assert together[0].train_loss_sum == alone.train_loss_sum
    assert alone.train_loss_sum != train(build(), data, settings, seed=1).train_loss_sum


def test_networks_that_draw_are_not_packed(data, build, settings) -> None:
    """They would share one state: a training beside another would not be the one that it is alone."""
    dropping = build()
    dropping.drop_rate = 0.1
    for networks, how in (([build()], settings.model_copy(update={"drop_path": 0.1})), ([build(), dropping], settings)):
        with pytest.raises(InputError, match="not packed"):
            train_packed(networks, data, how, seeds=[1] * len(networks), device="cpu")
