"""A supernet gives for every architecture what the architecture's own network gives, and trains nothing else."""

import pytest
import torch

from chattn_nas import build_network
from chattn_nas.errors import InputError
from chattn_nas.network import restore_scales
from chattn_nas.network.layout import layout
from chattn_nas.network.supernet import Switch, build_supernet, start_choices_at_unit
from chattn_nas.proxy import ProxySettings
from chattn_nas.proxy.optimizer import build_optimizer
from chattn_nas.space import Architecture, Backbone, StageChoice

#: Every placement and every ``blocks``, stage scope with states that go far and short, several of one block.
ENTRIES = [
    "none",
    {"type": "se", "reduction": 4},
    {"type": "gct", "placement": "before_convs"},
    {"type": "eca", "placement": "after_spatial_conv"},
    {"type": "srm", "placement": "before_last_conv"},
    {"type": "se", "placement": "before_block"},
    {"type": "eca", "placement": "after_add", "blocks": "last"},
    "dia",
    {"type": "dia", "blocks": "alternate"},
    {"type": "cbam", "blocks": "alternate"},
    "enc_module",
]
SMALL = {"depths": (1, 1, 2, 1), "dims": (16, 24, 32, 48)}
#: Native slots, native ones behind which the block scales, branches, stages as a whole, maps with channels last.
MODELS = [
    Backbone("cifar_resnet20"),
    Backbone("test_efficientnet"),
    Backbone("test_nfnet"),
    Backbone("convnext_atto", SMALL),
    Backbone("densenet121", {"growth_rate": 8, "block_config": (2, 2, 2, 2)}),
    Backbone("mambaout_femto", SMALL),
]


def forms_of(backbone, size, entries=ENTRIES):
    """Per stage those of the entries that it can take."""
    found = []
    for stage in layout(backbone, 3, size).stages:
        forms = {}
        for entry in entries:
            try:
                forms[StageChoice.from_dict(entry).canonical(stage)] = None
            except InputError:
                continue
        found.append(list(forms))
    return found


def walk(backbone, forms):
    """Networks that show every choice of every stage, as places and architectures."""
    for turn in range(max(map(len, forms))):
        places = [(turn + stage) % len(choices) for stage, choices in enumerate(forms)]
        chosen = tuple(choices[place] for choices, place in zip(forms, places))
        yield places, Architecture(backbone, chosen)


@pytest.mark.parametrize("backbone", MODELS, ids=lambda one: one.model)
def test_every_architecture_computes_what_its_own_network_does(backbone):
    size = 16 if backbone.model.startswith("cifar") else 32
    forms = forms_of(backbone, size)
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    supernet = build_supernet(backbone, forms, num_classes=5, image_size=size, seed=3)
    names = list(supernet.network.state_dict())
    bare = build_network(Architecture.uniform(backbone, "none"), num_classes=5, image_size=size, seed=3)
    start_choices_at_unit(supernet, images)
    started = list(supernet.network.state_dict())
    assert {one for one in started if not one.endswith("unit_scale")} >= {n for n in names if ".choices." not in n}
    assert torch.equal(supernet.network.eval()(images), bare.eval()(images)), "inactive switches are identities"
    for places, architecture in walk(backbone, forms):
        supernet.select(places)
        own = build_network(architecture, num_classes=5, image_size=size, seed=7)
        state = supernet.state(places)
        restore_scales(own, state)
        own.load_state_dict(state)  # strict: all names, and no more
        assert torch.equal(own.eval()(images), supernet.network.eval()(images)), architecture
        supernet.network.zero_grad(set_to_none=True)
        supernet.network.train()(images).sum().backward()
        reached = {name for name, one in supernet.network.named_parameters() if one.grad is not None}
        assert reached <= set(supernet.names(places).values()), architecture
        assert list(supernet.network.state_dict()) == started, "switching changes no name"


def test_it_starts_with_the_weights_of_every_architecture():
    """Under one seed, whatever else the supernet holds."""
    backbone = Backbone("cifar_resnet8")
    forms = forms_of(backbone, 8)
    supernet = build_supernet(backbone, forms, image_size=8, seed=5)
    for places, architecture in walk(backbone, forms):
        own = build_network(architecture, image_size=8, seed=5).state_dict()
        state = supernet.state(places)
        assert state.keys() == own.keys()
        assert all(torch.equal(state[name], own[name]) for name in own), architecture


def test_what_was_not_sampled_does_not_move():
    """Not by momentum and not by weight decay either."""
    backbone = Backbone("cifar_resnet8")
    supernet = build_supernet(backbone, forms_of(backbone, 8, ["none", "se", "gct"]), image_size=8, seed=0)
    optimizer = build_optimizer(supernet.network, ProxySettings(momentum=0.9, weight_decay=0.1))
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))

    def step(places):
        supernet.select(places)
        optimizer.zero_grad(set_to_none=True)
        supernet.network(images).square().sum().backward()
        optimizer.step()

    step([1, 1, 1])
    before = {name: one.clone() for name, one in supernet.network.named_parameters()}
    step([2, 0, 2])
    moved = {name for name, one in supernet.network.named_parameters() if not torch.equal(one, before[name])}
    assert {name for name in moved if ".choices." in name} == {
        here for here in supernet.names([2, 0, 2]).values() if ".choices." in here and here in before
    }
    switches = [one for one in supernet.network.modules() if isinstance(one, Switch)]
    assert sum(one.active is not None for one in switches) == 2 + 3  # gct at convolutions, that of a shortcut too


def test_a_cell_whose_state_gets_lost_is_refused_before_anything_is_trained():
    backbone = Backbone("hrnet_w18_small")
    forms = [[StageChoice()] for _ in layout(backbone, 3, 64).stages]
    for stage, one in zip(layout(backbone, 3, 64).stages, forms):
        one.append(StageChoice("dia").canonical(stage))
    with pytest.raises(InputError, match="state did not arrive"):
        build_supernet(backbone, forms, image_size=64)
