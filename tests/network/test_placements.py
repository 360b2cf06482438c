"""Every type in every placement that it allows: the network starts as the backbone, and costs what the formulas say."""

import pytest
import torch

from chattn_nas import attention, build_network
from chattn_nas.attention import BLOCKS, PLACEMENTS, AuxiliaryHead
from chattn_nas.errors import InputError
from chattn_nas.network.layout import layout
from chattn_nas.space import Architecture, Backbone, StageChoice

MODELS = {"cifar_resnet8": 16, "resnet18": 64, "convnext_atto": 64, "mobilenetv3_small_100": 64}
TYPES = [name for name in attention.names() if not name.startswith("timm/") and name != "none"]


def networks(model, placement, blocks):
    """Architectures that hold every type somewhere, each stage another; with the types that they hold."""
    stages = layout(Backbone(model), 3, MODELS[model]).stages
    waiting = [name for name in TYPES if placement in attention.get(name).placements]
    while waiting:
        held, choices = [], []
        for stage in stages:
            choices.append(StageChoice())
            for name in waiting:
                choice = StageChoice(name, placement=placement, blocks=blocks)
                try:
                    choices[-1] = choice.canonical(stage)
                except InputError:
                    continue
                held.append(name)
                waiting.remove(name)
                break
        assert held, f"{waiting} sit nowhere in {model} {placement}"
        yield Architecture(Backbone(model), tuple(choices)), stages


def parameters(network):
    """Of all but the auxiliary heads, which the formulas leave out, and of the identity start."""
    heads = {p for m in network.modules() if isinstance(m, AuxiliaryHead) for p in m.parameters()}
    return sum(p.numel() for name, p in network.named_parameters() if p not in heads and not name.endswith("alpha"))


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("model", MODELS)
def test_every_type_in_every_place(model, placement):
    size = MODELS[model]
    x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    bare = build_network(Architecture.uniform(model, "none"), num_classes=3, image_size=size, seed=0)
    wanted = bare.eval()(x)
    for architecture, stages in networks(model, placement, "all"):
        network = build_network(architecture, num_classes=3, image_size=size, seed=0, identity_init=True)
        assert torch.equal(network.eval()(x), wanted), f"{architecture} is not the backbone"
        network.train()(x).sum().backward()
        added = sum(c.cost(s)[0] for c, s in zip(architecture.stages, stages, strict=True))
        # gct has an alpha of its own, which the count above leaves out with that of the identity start
        own = sum(p.numel() for n, p in network.named_parameters() if n.endswith("module.alpha"))
        assert parameters(network) + own - parameters(bare) == added


@pytest.mark.parametrize("blocks", BLOCKS)
def test_some_blocks_of_a_stage(blocks):
    for placement in PLACEMENTS:
        network = build_network(
            Architecture.uniform("cifar_resnet20", "se", placement=placement, blocks=blocks), image_size=16, seed=0
        )
        found = [name for name, module in network.named_modules() if type(module).__name__ == "SE"]
        filled = {"all": 9, "last": 3, "alternate": 6}[blocks]
        # Two convolutions a block, and that of the shortcut in the first block of the second and third stage.
        shortcuts = 0 if blocks == "last" else 2
        assert len(found) == (2 * filled + shortcuts if placement == "before_convs" else filled)
        network(torch.randn(2, 3, 16, 16)).sum().backward()


def test_a_type_s_own_place_is_its_default():
    resnet = layout(Backbone("cifar_resnet8"), 3, 16).stages[0]
    assert StageChoice("gct").place(resnet) == "before_convs"
    assert StageChoice("soca").place(resnet) == "after_add"
    assert StageChoice("se").place(resnet) == "before_add"
    # A stage that is no row of blocks has no convolutions to offer; who asks for another place is told.
    densenet = layout(Backbone("densenet121"), 3, 64).stages[0]
    assert StageChoice("gct").place(densenet) == "before_add"
    with pytest.raises(InputError, match="has no place 'before_block'"):
        StageChoice("se", placement="before_block").slots(densenet)


def test_simam_and_scsa_sit_inside_the_block_where_their_authors_put_them():
    """Behind the 3x3 convolution and before its norm; in front of the last convolution, on the narrow width."""
    for model, kind, path, order in (
        ("resnet26", "simam", "layer2.1.conv2", ("Conv2d", "SimAM")),
        ("resnet26", "scsa", "layer2.1.conv3", ("SCSA", "Conv2d")),
        ("resnet18", "simam", "layer1.0.conv2", ("Conv2d", "SimAM")),
        ("resnet18", "scsa", "layer1.0.conv2", ("SCSA", "Conv2d")),
        # The shortcut's convolution comes after the block's own in the forward pass.
        ("resnet26", "scsa", "layer2.0.conv3", ("SCSA", "Conv2d")),
        ("resnet26", "simam", "layer1.0.conv2", ("Conv2d", "SimAM")),
    ):
        network = build_network(Architecture.uniform(model, kind), num_classes=3, image_size=64, seed=0)
        pair = network.get_submodule(path)
        assert tuple(type(module).__name__ for module in pair) == order
        number = [type(module).__name__ for module in network.modules()].count(order[0 if kind == "scsa" else 1])
        assert number == 8
    narrow = layout(Backbone("resnet26"), 3, 64).stages[1].places
    assert {slot.channels for slot in narrow["before_last_conv"] + narrow["after_spatial_conv"]} == {128}
    assert [slot.feature_size for slot in narrow["after_spatial_conv"]] == [(8, 8), (8, 8)]


@pytest.mark.parametrize(
    ("model", "block", "ends"),
    [
        ("resnet18", "layer2.0", ("conv2", "conv2")),
        ("cifar_resnet8", "layer2.0", ("conv2", "conv2")),
        ("resnet26", "layer2.0", ("conv2", "conv3")),
        ("gernet_s", "stages.0.0", ("conv2_kxk.conv", "conv2_kxk.conv")),
        # Its shortcut has a spatial convolution, too.
        ("ghostnet_100", "blocks.1.0", ("ghost2.cheap_operation.0", "ghost2.cheap_operation.0")),
    ],
)
def test_convolutions_of_the_shortcut_are_not_the_last_of_a_block(model, block, ends):
    assert layout(Backbone(model), 3, 64).inner[block] == tuple(f"{block}.{end}" for end in ends)
