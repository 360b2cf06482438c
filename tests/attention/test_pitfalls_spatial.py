"""The mistakes that other people's code makes with the attentions that look at positions, and with their rivals."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from chattn_nas import attention
from chattn_nas.attention.bam import BAM
from chattn_nas.attention.cbam import CBAM
from chattn_nas.attention.channel_cbam import ChannelCBAM
from chattn_nas.attention.coordinate import Coordinate
from chattn_nas.attention.ema import EMA
from chattn_nas.attention.gather_excite import GatherExcite
from chattn_nas.attention.mca import MCA, adaptive_kernel
from chattn_nas.attention.ortho import Ortho, filter_size, orthonormal_filters
from chattn_nas.attention.scsa import SCSA
from chattn_nas.attention.scse import SCSE
from chattn_nas.attention.sge import SGE
from chattn_nas.attention.shuffle import ShuffleAttention
from chattn_nas.attention.simam import SimAM
from chattn_nas.attention.triplet import Triplet


def _moved(module):
    """In float64, its parameters off their start."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.3)
    return module.double()


def _map(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.2


# CBAM


def test_cbam_takes_the_maximum_first():
    module, x = _moved(CBAM(24, reduction=4)).eval(), _map(2, 24, 5, 7)
    swapped = _moved(CBAM(24, reduction=4)).eval()
    with torch.no_grad():
        swapped.spatial.conv.weight.copy_(module.spatial.conv.weight.flip(1))
    assert (module(x) - swapped(x)).abs().max() > 0.05


def test_cbam_s_statistics_move_by_a_hundredth():
    module, x = CBAM(16).double().train(), _map(4, 16, 6, 6)
    module(x)
    assert module.spatial.norm.momentum == 0.01
    assert 0.985 < float(module.spatial.norm.running_var) <= 1


def test_cbam_s_last_bias_counts_once_per_pool():
    module, x = ChannelCBAM(8, reduction=2).double(), _map(2, 8, 4, 4)
    with torch.no_grad():
        module.expand.weight.zero_()
        module.expand.bias.fill_(0.3)
    torch.testing.assert_close(module(x), x * torch.sigmoid(torch.tensor(0.6, dtype=torch.float64)))


# BAM


def test_bam_multiplies_its_branches_and_its_gate_lies_between_1_and_2():
    module, x = _moved(BAM(16, reduction=4)).eval(), _map(3, 16, 9, 9)
    added = _moved(BAM(16, reduction=4, combine="sum")).eval()
    gate = module(x) / x
    assert gate.min() > 1
    assert gate.max() < 2
    assert (module(x) - added(x)).abs().max() / module(x).abs().max() > 0.02


def test_bam_pools_the_whole_of_a_map_that_is_not_square():
    module, x = _moved(BAM(16, reduction=4, branches="channel")).eval(), _map(2, 16, 4, 7)
    far = x.clone()
    far[..., 5:] += 1  # beyond a 4x4 window
    assert ((module(far) / far) - (module(x) / x)).abs().max() > 1e-4


# Coordinate attention


def test_coordinate_has_hard_swish_and_one_norm_for_rows_and_columns():
    module, x = _moved(Coordinate(16)).train(), _map(3, 16, 5, 9)
    means = torch.cat((x.mean(3, keepdim=True), x.mean(2, keepdim=True).transpose(2, 3)), 2)
    f = module.reduce(means)
    f = (f - f.mean((0, 2, 3), keepdim=True)) / (f.var((0, 2, 3), keepdim=True, correction=0) + 1e-5).sqrt()
    f = f * module.norm.weight[:, None, None] + module.norm.bias[:, None, None]
    f = f * (f + 3).clamp(0, 6) / 6
    rows, columns = f.split([5, 9], 2)
    wanted = x * module.rows(rows).sigmoid() * module.columns(columns).sigmoid().transpose(2, 3)
    torch.testing.assert_close(module(x), wanted)


# SimAM


def test_simam_divides_by_one_less_and_never_goes_below_sigmoid_of_a_half():
    module, x = SimAM(6).double(), _map(2, 6, 3, 3)
    d = (x - x.mean((2, 3), keepdim=True)).square()
    torch.testing.assert_close(module(x), x * (d / (4 * (d.sum((2, 3), keepdim=True) / 8 + 1e-4)) + 0.5).sigmoid())
    assert (module(x) / x).min() >= 0.6224
    constant = torch.full((2, 6, 3, 3), 2.0, dtype=torch.float64)
    torch.testing.assert_close(module(constant), constant * torch.sigmoid(torch.tensor(0.5, dtype=torch.float64)))
    with pytest.raises(attention.registry.InputError, match="larger than 1x1"):
        attention.build("simam", 6, feature_size=(1, 1))


# Triplet attention


def test_triplet_s_kernel_over_rows_and_channels_is_not_transposed():
    module, x = _moved(Triplet(12)).eval(), _map(2, 12, 5, 6)
    turned = _moved(Triplet(12)).eval()
    with torch.no_grad():
        turned.hc.conv.weight.copy_(module.hc.conv.weight.transpose(2, 3))
    assert (module(x) - turned(x)).abs().max() > 0.01


def test_triplet_is_a_mean_and_sees_the_order_of_the_channels():
    module, x = _moved(Triplet(12)).eval(), _map(2, 12, 5, 6)
    assert (module(x) / x).max() < 1
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    assert (module(x[:, order]) - module(x)[:, order]).abs().max() > 0.01


# EMA


def test_ema_s_first_softmax_sees_only_a_bias():
    module, x = _moved(EMA(24, groups=8)).eval(), _map(2, 24, 5, 7)
    found = []
    module.norm.register_forward_hook(lambda _m, _i, output: found.append(output))
    module(x)
    torch.testing.assert_close(found[0].mean((2, 3)), module.norm.bias.expand(16, 3))


def test_ema_s_groups_share_their_weights():
    module, x = _moved(EMA(24, groups=8)).eval(), _map(2, 24, 5, 7)
    order = torch.arange(24).view(8, 3)[torch.randperm(8, generator=torch.Generator().manual_seed(0))].flatten()
    torch.testing.assert_close(module(x[:, order]), module(x)[:, order], rtol=1e-12, atol=1e-12)
    one = _moved(EMA(8, groups=8))  # a single channel per group
    assert one(x[:, :8]).isfinite().all()


# Groups that do not divide the channels


@pytest.mark.parametrize(
    ("name", "channels", "given", "taken"),
    [("sge", 24, 64, 8), ("sge", 128, 64, 64), ("ema", 40, 32, 8), ("shuffle", 24, 64, 4), ("shuffle", 128, 64, 64)],
)
def test_no_more_groups_than_divide_the_channels(name, channels, given, taken):
    kind = attention.get(name)
    assert attention.build(name, channels, groups=given).groups == taken
    assert kind.canonical({"groups": given}, [(channels, (5, 5))]) == {"groups": taken}
    # Where the widths of a stage take different numbers, nothing is merged.
    assert kind.canonical({"groups": 64}, [(24, (5, 5)), (128, (5, 5))]) == {"groups": 64}


def test_shuffle_refuses_an_odd_number_of_channels():
    with pytest.raises(attention.registry.InputError, match="must be even"):
        attention.build("shuffle", 15)


# SGE


def test_a_fresh_sge_gate_is_073_everywhere_and_its_eps_is_outside_the_root():
    x = _map(2, 16, 4, 5)
    torch.testing.assert_close(SGE(16, groups=4).double()(x), x * torch.sigmoid(torch.tensor(1.0, dtype=torch.float64)))
    module = SGE(1, groups=1).double()
    with torch.no_grad():
        module.weight.fill_(1)
    tiny = torch.tensor([[[[1e-3, 2e-3]]]], dtype=torch.float64)
    t = tiny * 1.5e-3
    normed = (t - t.mean()) / (t.std() + 1e-5)
    torch.testing.assert_close(module(tiny), tiny * (normed + 1).sigmoid())


def test_a_group_of_one_channel_knows_the_sign_of_its_mean_only():
    """Hence what its docstring says of narrow networks; where channels share a group, such a step is hardly seen."""
    x = _map(1, 8, 6, 6)
    x = x - x.mean((2, 3), keepdim=True)
    x[:, 1:] += 0.5
    below, above = x.clone(), x.clone()
    below[:, 0] -= 1e-3
    above[:, 0] += 1e-3
    moved = {}
    for groups in (8, 1):
        module = SGE(8, groups=groups).double()
        with torch.no_grad():
            module.weight.fill_(1)
            moved[groups] = float((module(above) - module(below))[:, 0].abs().max())
    assert moved[8] > 0.5
    assert moved[1] < 0.01


# Shuffle attention


def test_shuffle_interleaves_the_two_halves():
    x = torch.arange(1.0, 13).view(1, 12, 1, 1).expand(1, 12, 2, 2)
    y = ShuffleAttention(12, groups=2)(x)[0, :, 0, 0]
    order = torch.tensor([1.0, 7, 2, 8, 3, 9, 4, 10, 5, 11, 6, 12])
    torch.testing.assert_close(y, order * torch.sigmoid(torch.tensor(1.0)))


# OrthoNet


@pytest.mark.parametrize(("channels", "size"), [(12, (5, 7)), (32, (4, 4)), (54, (3, 3))])
def test_ortho_s_filters_are_orthonormal_within_each_set(channels, size):
    filters = orthonormal_filters(channels, size).flatten(1)
    pixels = size[0] * size[1]
    for one in filters.split(min(channels, pixels)):
        torch.testing.assert_close(one @ one.T, torch.eye(len(one), dtype=torch.float64), rtol=0, atol=1e-12)
    assert (filters[0] > 0).all()


def test_ortho_sums_and_its_filters_are_weights():
    module, x = Ortho(8, feature_size=(4, 4), reduction=2).double(), _map(2, 8, 4, 4)
    z = (x * module.filters).sum((2, 3))
    wanted = x * module.expand(F.relu(module.reduce(z))).sigmoid()[:, :, None, None]
    torch.testing.assert_close(module(x), wanted)
    other = Ortho(8, feature_size=(4, 4), reduction=2).double()
    assert (other.filters - module.filters).abs().max() > 0.01
    other.load_state_dict(module.state_dict())
    assert torch.equal(other(x), module(x))


def test_ortho_refuses_filters_that_the_channels_do_not_fit_and_finds_some_that_do():
    with pytest.raises(attention.registry.InputError, match="100 channels are neither at most, nor a multiple of"):
        attention.build("ortho", 100, feature_size=(8, 8), size=7)
    assert filter_size(512, (7, 7), None) == (4, 4)
    assert filter_size(64, (56, 56), None) == (56, 56)
    assert filter_size(2048, (8, 8), None) == (8, 8)


# Gather-excite


def test_gather_excite_does_not_count_padding():
    x = torch.ones(1, 4, 5, 5)
    gate = GatherExcite(4, extent=2)(x)
    torch.testing.assert_close(gate, torch.full_like(x, float(torch.sigmoid(torch.tensor(1.0)))))


def test_gather_excite_s_gates_are_copied_to_their_nearest_pixels():
    x = _map(1, 1, 5, 5)
    small = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False).sigmoid()  # 3x3
    index = torch.tensor([math.floor(i * 3 / 5) for i in range(5)])
    torch.testing.assert_close(GatherExcite(1, extent=2)(x), x * small[..., index, :][..., index])


def test_a_learned_global_gathering_gives_one_number_per_channel():
    module, x = GatherExcite(6, feature_size=(5, 7), gather="learned").double().eval(), _map(2, 6, 5, 7)
    gate = module(x) / x
    torch.testing.assert_close(gate, gate[..., :1, :1].expand_as(gate))
    padded = GatherExcite(6, feature_size=(5, 7), gather="learned", form="timm").double().eval()
    gate = padded(x) / x
    assert (gate - gate[..., :1, :1]).abs().max() > 1e-3


@pytest.mark.parametrize("extent", [1, 3, 12])
def test_gather_excite_s_extent_is_a_power_of_two(extent):
    with pytest.raises(attention.registry.InputError, match="a power of two"):
        attention.build("gather_excite", 8, feature_size=(8, 8), extent=extent)


# scSE


def test_scse_takes_the_larger_of_the_gated_values_not_of_the_gates():
    module, x = _moved(SCSE(8)).eval(), _map(2, 8, 4, 4)
    channel = module.expand(F.relu(module.reduce(x.mean((2, 3))))).sigmoid()[:, :, None, None]
    pixel = module.pixel(x).sigmoid()
    torch.testing.assert_close(module(x), torch.maximum(x * channel, x * pixel))
    wrong = x * torch.maximum(channel, pixel)
    assert (module(x) - wrong)[x < 0].abs().max() > 0.01
    assert torch.equal(module(x)[x > 0], wrong[x > 0])


# MCA


def test_mca_s_kernel_goes_down_where_eca_s_goes_up():
    found = {channels: adaptive_kernel(channels) for channels in (2, 3, 4, 26, 27, 215, 216, 1722, 1723)}
    assert found == {2: 1, 3: 1, 4: 1, 26: 1, 27: 3, 215: 3, 216: 5, 1722: 5, 1723: 7}


def test_mca_s_deviation_is_unbiased_and_without_spatial_means_without_channel():
    module, x = _moved(MCA(8)).eval(), _map(2, 8, 3, 4)
    mean, std = x.mean((1, 3)), x.std((1, 3))
    gates = module.rows.weight.sigmoid()
    mixed = (mean + std) / 2 + gates[0] * mean + gates[1] * std
    wanted = module.rows.conv(mixed[:, None]).squeeze(1).sigmoid()
    torch.testing.assert_close(module.rows(x)[:, 0, :, 0], wanted)
    assert [name for name, _ in MCA(8, channel=False).named_children()] == ["rows", "columns"]


def test_mca_of_other_pools_takes_the_maximum_or_the_mean_alone():
    module, x = _moved(MCA(8, pools="avg+max")).eval(), _map(2, 8, 3, 4)
    mean, highest = x.mean((2, 3)), x.amax((2, 3))
    gates = module.channels.weight.sigmoid()
    mixed = (mean + highest) / 2 + gates[0] * mean + gates[1] * highest
    wanted = module.channels.conv(mixed[:, None]).squeeze(1).sigmoid()
    torch.testing.assert_close(module.channels(x)[:, :, 0, 0], wanted)
    module = _moved(MCA(8, pools="avg")).eval()
    wanted = module.columns.conv(x.mean((1, 2))[:, None]).squeeze(1).sigmoid()
    torch.testing.assert_close(module.columns(x)[:, 0, 0], wanted)
    assert all(gate.weight is None for gate in (module.rows, module.columns, module.channels))


# SCSA


def test_scsa_attends_between_channels_of_what_the_pixels_left():
    module, x = _moved(SCSA(8, window=2, heads=2)).eval(), _map(2, 8, 5, 6)
    rows = module.norm_rows(module._along(x.mean(3))).sigmoid()
    columns = module.norm_columns(module._along(x.mean(2))).sigmoid()
    gated = x * rows[:, :, :, None] * columns[:, :, None, :]
    d = module.norm(F.avg_pool2d(gated, 2))
    q, k, v = (part(d).flatten(2).unflatten(1, (2, 4)) for part in (module.q, module.k, module.v))
    attended = (q @ k.mT / 2).softmax(-1) @ v
    torch.testing.assert_close(module(x), gated * attended.flatten(1, 2).mean(2).sigmoid()[:, :, None, None])


@pytest.mark.parametrize(
    ("channels", "size", "message"),
    [(30, (8, 8), "into quarters"), (2, (8, 8), "at least 4")],
)
def test_where_scsa_cannot_sit_is_said(channels, size, message):
    with pytest.raises(attention.registry.InputError, match=message):
        attention.build("scsa", channels, feature_size=size)


@pytest.mark.parametrize("size", [(1, 7), (7, 1), (3, 5)])
def test_scsa_takes_a_side_whole_that_is_shorter_than_its_window(size):
    module, x = _moved(SCSA(8, window=4)).eval(), _map(2, 8, *size)
    pooled = F.avg_pool2d(x, tuple(min(4, side) for side in size))
    torch.testing.assert_close(module._pooled(x), pooled)


# All that look at positions


@pytest.mark.parametrize(("name", "values"), [("ema", {"groups": 1}), ("shuffle", {"groups": 1}), ("scsa", {})])
@pytest.mark.parametrize("train", [True, False])
def test_a_pixel_of_one_image_alone_is_normed_as_beside_another(name, values, train):
    """torch's own group norm refuses it, in eval mode too."""
    module = _moved(attention.build(name, 4, feature_size=(1, 1), **values)).train(train)
    x = _map(2, 4, 1, 1).requires_grad_()
    alone = module(x[:1])
    torch.testing.assert_close(alone, module(x)[:1])
    alone.sum().backward()
    assert x.grad.isfinite().all()


POSITIONS = [name for name in attention.names()
             if "positions" in attention.get(name).looks_at and not name.startswith("timm/")]  # fmt: skip


@pytest.mark.parametrize("name", POSITIONS)
def test_what_looks_at_positions_costs_more_on_larger_maps(name):
    kind = attention.get(name)
    small, large = (kind.macs(64, size, kind.defaults) for size in ((14, 14), (28, 28)))
    # simam and shuffle have no layers; gather_excite by default pools the whole map.
    assert large > small or name in ("simam", "shuffle", "gather_excite")
    assert kind.macs(64, (28, 28), kind.defaults) <= 4 * small or name == "bam"


def test_gates_are_where_the_paper_says():
    """Root mean square of output over input of fresh modules, 128 x 14 x 14, as measured on the official code.

    MCA's hangs on the signs of nine numbers, so it is left out.
    """
    torch.manual_seed(0)
    x = torch.randn(8, 128, 14, 14)
    wanted = {"cbam": 0.26, "channel_cbam": 0.54, "bam": 1.50, "coordinate": 0.26, "simam": 0.76, "triplet": 0.52,
              "ema": 0.52, "sge": 0.731, "shuffle": 0.731, "gather_excite": 0.51, "scse": 0.50,
              "scsa": 0.18}  # fmt: skip
    for name, share in wanted.items():
        module = attention.build(name, 128, feature_size=(14, 14))
        with torch.no_grad():
            found = float((module(x).square().mean() / x.square().mean()).sqrt())
        assert found == pytest.approx(share, rel=0.12), name
    assert isinstance(module, nn.Module)
