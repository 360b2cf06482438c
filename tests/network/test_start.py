"""The unit start: behind every attention the map has the scale that the map before it has without attention."""

import copy

import pytest
import torch

from chattn_nas import Architecture, attention, build_network
from chattn_nas.attention import PLACEMENTS
from chattn_nas.errors import InputError
from chattn_nas.network import restore_scales, start_at_unit
from chattn_nas.network.scaled import constants
from chattn_nas.network.start import TOLERANCE, rms, undisturbed
from chattn_nas.space import Backbone, StageChoice

TYPES = [name for name in attention.names() if not name.startswith("timm/") and name != "none"] + ["timm/cbam"]
SIZES = {
    "cifar_resnet8": 16,
    "resnet18": 64,
    "convnext_atto": 64,
    "nf_resnet26": 64,
    "regnety_002": 64,
    "densenet121": 64,
    "mobilenetv3_small_050": 64,
}


def images(size, count=8):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def built(model, kind, **settings):
    return build_network(Architecture.uniform(model, kind, **settings), num_classes=3, image_size=SIZES[model], seed=0)


def behind(network, x):
    """Root mean square of the map behind every attention, by path, as the network is now."""
    found, hooks = {}, []
    for slot in network.attention_slots:
        module = network.get_submodule(slot.path)
        hooks.append(module.register_forward_hook(lambda _m, _a, y, path=slot.path: found.update({path: rms(y)})))
    with undisturbed(network):
        network(x)
    for hook in hooks:
        hook.remove()
    return found


def before_it_alone(network, x, slot):
    """Root mean square of the map that comes to one slot where only the attentions before it are there.

    What the map before an attention is without it: the network at the unit start, its own scale taken back.
    """
    found = {}
    module = network.get_submodule(slot.path)
    hook = module.register_forward_pre_hook(lambda _m, args: found.update(x=rms(args[0])))
    with undisturbed(network):
        network(x)
    hook.remove()
    return found["x"]


def check(network, x):
    """The start of a network that was measured: behind and before agree wherever something can be done about it."""
    found = start_at_unit(network, x)
    now = behind(network, x)
    for one in found:
        path = one.slot.path
        given = before_it_alone(network, x, one.slot)
        folded = one.where not in ("behind", "as it is", "norm follows", "no map")
        wanted = given / one.scale if folded else given
        if one.where == "norm follows":
            assert one.slot.before_conv
            continue
        assert one.where != "no map"
        assert now[path] == pytest.approx(wanted, rel=1.5 * TOLERANCE), (path, one)
    return found


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("kind", TYPES)
def test_every_type_in_every_place_starts_at_the_scale_of_the_map_before_it(kind, placement):
    if placement not in attention.get(kind).placements:
        pytest.skip("not a place of this type")
    network = built("cifar_resnet8", kind, placement=placement)
    parameters = sum(p.numel() for p in network.parameters())
    before = copy.deepcopy(network.state_dict())
    found = check(network, images(16, 32))
    assert len(found) == len(network.attention_slots) > 0
    assert sum(p.numel() for p in network.parameters()) == parameters, "another parameter"
    if placement == "before_convs":
        assert {one.where for one in found} <= {"norm follows", "as it is"}
    if all(one.scale == 1 for one in found):
        after = network.state_dict()
        assert before.keys() == after.keys()
        assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("kind", ["se", "dia", "timm/cbam"])
@pytest.mark.parametrize("model", [model for model in SIZES if model != "cifar_resnet8"])
def test_every_family(model, kind):
    try:
        network = built(model, kind)
    except InputError as error:
        pytest.skip(str(error))
    found = check(network, images(SIZES[model]))
    assert all(0.8 < one.ratio * one.scale < 1.25 for one in found if one.where == "behind")
    takes = {"resnet18": "bn2.weight", "convnext_atto": "gamma", "nf_resnet26": "conv3.gain", "regnety_002": "weight"}
    assert all(takes.get(model, "") in one.where for one in found)


def test_the_map_before_is_that_of_the_backbone():
    """In the first block nothing comes before: what the last norm gives without attention is the measure."""
    x, bare = images(16), built("cifar_resnet8", "none")
    given = []
    bare.layer1[0].bn2.register_forward_hook(lambda _m, _a, y: given.append(rms(y)))
    with undisturbed(bare):
        bare(x)
    network = built("cifar_resnet8", "timm/cbam")
    first = start_at_unit(network, x)[0]
    assert first.ratio < 0.5
    assert behind(network, x)[first.slot.path] == pytest.approx(given[0], rel=TOLERANCE)


def test_a_backbone_without_norms_is_corrected_before_convolutions_too():
    found = check(built("nf_resnet26", "se", placement="before_convs"), images(64, 4))
    assert "behind" in {one.where for one in found}


def test_a_layer_scale_does_not_hide_that_no_norm_follows():
    """ConvNeXt's 1e-6: the depthwise convolution has a norm behind it, the two of the MLP have none."""
    found = check(built("convnext_atto", "se", placement="before_convs"), images(64, 4))
    assert sum(one.where == "norm follows" for one in found) == len(found) / 3


@pytest.mark.parametrize("kind", ["none", "gct", "channel_scale"])
def test_what_is_the_identity_stays_as_it_is(kind):
    network = built("cifar_resnet8", kind)
    before = copy.deepcopy(network.state_dict())
    start_at_unit(network, images(16))
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_zeroed_branches_need_nothing():
    """timm's own default, which the options can ask for: nothing before the attention, nothing behind it."""
    backbone = Backbone("resnet18", {"zero_init_last": True})
    architecture = Architecture.uniform(backbone, "se")
    network = build_network(architecture, num_classes=3, image_size=64, seed=0)
    assert {one.where for one in start_at_unit(network, images(64))} == {"no map"}


def test_the_same_seed_gives_the_same_network_and_the_measuring_leaves_no_trace():
    one, other = built("cifar_resnet8", "srm"), built("cifar_resnet8", "srm")
    state = torch.get_rng_state()
    start_at_unit(one, images(16))
    assert torch.equal(torch.get_rng_state(), state)
    start_at_unit(other, images(16))
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))
    assert one.training
    assert not any(module.num_batches_tracked for module in one.modules() if hasattr(module, "num_batches_tracked"))
    plain = built("cifar_resnet8", "none").state_dict()
    shared = [key for key in plain if "bn2" not in key]
    assert all(torch.equal(plain[key], one.state_dict()[key]) for key in shared), "common random numbers"


def test_folded_and_constant_are_the_same_function():
    """A network whose norms took the scales computes what it would with the scales in front of its attentions."""
    x, network, plain = images(16), built("cifar_resnet8", "se"), built("cifar_resnet8", "se")
    found = start_at_unit(network, x)
    for one in found:
        module = plain.get_submodule(one.slot.path)
        module.register_forward_pre_hook(lambda _m, args, s=one.scale: (args[0] * s,))
    torch.testing.assert_close(network.eval()(x), plain.eval()(x), rtol=1e-4, atol=1e-5)


def test_a_mixed_network_and_a_second_order_head():
    stages = (StageChoice("dia"), StageChoice("soca"), StageChoice("timm/cbam"))
    architecture = Architecture(Backbone("cifar_resnet20", head="isqrt_cov"), stages)
    network = build_network(architecture, num_classes=3, image_size=16, seed=0)
    found = check(network, images(16))
    assert [one.slot.stage for one in found] == [0] * 3 + [1] + [2] * 3
    assert list(constants(network)) == [one.slot.path for one in found if one.slot.stage == 1]


def test_weights_bring_their_constants():
    network, x = built("cifar_resnet8", "soca"), images(16)
    start_at_unit(network, x)
    state = network.state_dict()
    other = built("cifar_resnet8", "soca")
    restore_scales(other, state)
    other.load_state_dict(state)
    assert torch.equal(other.eval()(x), network.eval()(x))


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("cifar_resnet8", "bn2.weight"),
        ("convnext_atto", "gamma"),
        ("nf_resnet26", "gain"),
        ("regnety_002", "bn.weight"),
    ],
)
def test_branches_start_at_a_factor(model, name):
    x = images(SIZES[model])
    plain = built(model, "none")
    kind = Architecture.uniform(model, "se")
    scaled = build_network(kind, num_classes=3, image_size=SIZES[model], seed=0, branch_scale=2.0, images=x)
    states = plain.state_dict(), scaled.state_dict()
    changed = [key for key, value in states[0].items() if not torch.equal(value, states[1][key])]
    assert all(torch.equal(states[1][key], 2 * states[0][key]) for key in changed)
    assert sum(key.endswith(name) for key in changed) == len(scaled.attention_slots), changed
