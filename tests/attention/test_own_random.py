"""What an attention draws is its own: it neither moves nor sees anybody else's random numbers."""

import copy

import pytest
import torch
from scipy import stats

from chattn_nas import attention, build_network
from chattn_nas.attention.own_random import OwnRandom
from chattn_nas.space import Architecture, Backbone, StageChoice

TYPES = [name for name in attention.names() if not name.startswith("timm/")]
SITE = (128, (8, 8))


def test_the_numbers_are_uniform_and_independent():
    torch.manual_seed(0)
    draws = OwnRandom()
    numbers = torch.stack([draws(16) for _ in range(4000)])
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert stats.kstest(numbers.flatten().numpy(), "uniform").pvalue > 0.001
    assert torch.corrcoef(numbers.T).fill_diagonal_(0).abs().max() < 0.08
    assert len(numbers.unique()) > 0.995 * numbers.numel()


def test_they_go_on_where_a_saved_module_stopped():
    draws = OwnRandom()
    draws(5)
    other = OwnRandom()
    other.load_state_dict(draws.state_dict())
    twin = copy.deepcopy(draws)
    wanted = draws(7)
    assert torch.equal(other(7), wanted)
    assert torch.equal(twin(7), wanted)
    assert not torch.equal(draws(7), wanted)


@pytest.mark.parametrize("name", TYPES)
def test_no_forward_moves_the_global_generator(name):
    kind = attention.get(name)
    for domain in [{}] + [{key: v} for key, d in kind.hyperparameters.items() for v in d.values[1:]]:
        if kind.why_not(*SITE, kind.complete(domain)):
            continue
        module = attention.build(name, SITE[0], feature_size=SITE[1], num_classes=3, **domain).train()
        torch.manual_seed(0)
        before = torch.get_rng_state()
        module(torch.zeros(2, SITE[0], *SITE[1]))
        assert torch.equal(torch.get_rng_state(), before), f"{name} {domain} draws from the global generator"


def test_drop_path_masks_are_those_of_none():
    """Stochastic depth of the backbone beside an attention that draws: the masks of the paired rival."""
    backbone = Backbone("cifar_resnet8", {"width": 8, "drop_path_rate": 0.5})
    masks = []
    for choice in (StageChoice("none"), StageChoice("enc", {"scale": "drop", "codewords": 8})):
        network = build_network(Architecture(backbone, (choice,)), in_chans=1, image_size=8, seed=0).train()
        found = []
        for module in network.modules():
            if type(module).__name__ == "DropPath":
                module.register_forward_hook(lambda _m, _i, out, found=found: found.append(out.flatten(1).any(1)))
        torch.manual_seed(3)
        network(torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(1)))
        masks.append(found)
    assert masks[0]
    assert all(torch.equal(a, b) for a, b in zip(*masks, strict=True))
