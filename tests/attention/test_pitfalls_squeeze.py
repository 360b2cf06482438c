"""The mistakes that are usual with se, eca, fca, gct and srm, one test each."""

import copy
import json
import math
import timeit
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from chattn_nas.attention import build, get
from chattn_nas.attention.eca import ECA
from chattn_nas.attention.fca import FCA, SETS, dct_basis, frequency_pairs
from chattn_nas.attention.gct import GCT
from chattn_nas.attention.se import SE
from chattn_nas.attention.srm import SRM

TABLES = json.loads((Path(__file__).parents[1] / "reference" / "fca_frequency_tables.json").read_text())


def _gate(module, x):
    """The factor per channel, from a map without zeros."""
    return (module(x) / x).mean((2, 3)).detach()


def _randomised(module, seed=0):
    torch.manual_seed(seed)
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module.eval()


# SE


def test_se_hidden_width_is_never_zero():
    x = torch.rand(16, 8, 4, 4) + 0.5 + torch.arange(16).view(-1, 1, 1, 1)
    spreads = [float(_gate(_randomised(SE(8, reduction=16), seed), x).std(0).max()) for seed in range(4)]
    assert max(spreads) > 0, "a gate that no input moves"


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("name", ["se", "rcan"])
def test_se_bias_flag(name, bias):
    module = build(name, 64, reduction=16, **({"bias": bias} if name == "se" else {}))
    bias = bias or name == "rcan"
    assert sum(p.numel() for p in module.parameters()) == 2 * 64 * 4 + (4 + 64) * bias


def test_rcan_without_biases_is_se():
    rcan, se = build("rcan", 32, reduction=4).double(), build("se", 32, reduction=4).double()
    with torch.no_grad():
        rcan.reduce.bias.zero_()
        rcan.expand.bias.zero_()
    rcan.load_state_dict(se.state_dict(), strict=False)
    x = torch.randn(2, 32, 5, 4, dtype=torch.float64)
    assert torch.equal(rcan(x), se(x))


def test_pooled_gates_cannot_see_through_an_instance_norm():
    """Mean after InstanceNorm is constant, so the gate is; the std that SRM also sees is constant too."""
    x = nn.InstanceNorm2d(8)(torch.randn(6, 8, 9, 9) * torch.rand(6, 8, 1, 1))
    gates = _randomised(SE(8, reduction=2))(x) / x
    assert gates.std(0).max() < 1e-4


# FCA


def test_fca_top1_is_se_up_to_the_scale_of_the_squeeze():
    fca, se = FCA(16, feature_size=(14, 14), frequencies="top1").double(), SE(16).double()
    fca.load_state_dict(se.state_dict())
    with torch.no_grad():
        fca.reduce.weight /= 14
    x = torch.randn(2, 16, 14, 14, dtype=torch.float64)
    assert (fca(x) - se(x)).abs().max() < 1e-12
    assert abs(float(fca.basis[0].sum()) - 14) < 1e-12, "the squeeze of a map of ones"


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("size", [*((n, n) for n in range(1, 15)), (4, 9), (9, 4), (28, 14), (13, 20)])
def test_fca_filters_never_collapse(size, name):
    module = FCA(32, feature_size=size, frequencies=name)
    assert len(torch.unique(module.basis.flatten(1), dim=0)) == len(frequency_pairs(name))
    assert len(set(frequency_pairs(name))) == int(name[3:])


def test_fca_tables_are_the_official_ones():
    assert {name: [list(pair) for pair in frequency_pairs(name)] for name in SETS} == TABLES


def test_fca_channels_must_be_divisible():
    with pytest.raises(ValueError, match="24 channels cannot be divided among 16 frequencies"):
        FCA(24, feature_size=(7, 7), frequencies="top16")
    assert "cannot be divided" in get("fca").problem(24, (7, 7), get("fca").defaults)


def test_fca_u_is_the_height_and_v_the_width():
    across = dct_basis(1, [(0, 1)], 7, 14)[0]
    assert torch.equal(across, across[:1].expand(7, 14))
    assert across[0].unique().numel() == 14
    module = FCA(2, feature_size=(7, 14), frequencies=[(1, 0), (0, 2)])
    assert module.basis[0].std(0).min() > 0.01
    assert module.basis[0].std(1).max() < 1e-6
    assert module.basis[1].std(0).max() < 1e-6


def test_fca_basis_is_orthonormal():
    pairs = [(u, v) for u in range(7) for v in range(7)]
    rows = dct_basis(49, pairs, 7, 7).flatten(1)
    assert (rows @ rows.T - torch.eye(49, dtype=torch.float64)).abs().max() < 1e-12


def fastest(call: Callable[[], object]) -> float:
    """Seconds of the fastest of ten calls."""
    return min(timeit.repeat(call, number=1, repeat=10))


def test_fca_basis_is_built_fast_and_not_saved():
    module = FCA(64, feature_size=(56, 56))
    assert set(module.state_dict()) == {"reduce.weight", "expand.weight"}

    def loops() -> None:  # a thirtieth of the official ones: two of the 64 filters
        for u, v in module.pairs[:2]:
            [math.cos(math.pi * u * (i + 0.5) / 56) * math.cos(math.pi * v * (j + 0.5) / 56)
             for i in range(56) for j in range(56)]  # fmt: skip

    assert fastest(lambda: dct_basis(64, module.pairs, 56, 56)) < 10 * fastest(loops)
    learned = FCA(64, feature_size=(7, 7), basis="learned")
    assert learned.basis.shape == (64, 7, 7)
    assert "basis" in learned.state_dict()


def test_fca_basis_is_exact_after_double():
    module = FCA(16, feature_size=(14, 14)).double()
    assert torch.equal(module.basis, dct_basis(16, module.pairs, 14, 14))
    learned = FCA(16, feature_size=(14, 14), basis="learned")
    with torch.no_grad():
        learned.basis.mul_(2)
    assert torch.equal(learned.double().basis, 2 * dct_basis(16, learned.pairs, 14, 14).float().double())


def test_fca_takes_maps_of_other_sizes_and_exports_with_them_free():
    module = FCA(16, feature_size=(8, 8), frequencies="top4").eval()
    free = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    program = torch.export.export(module, (torch.randn(2, 16, 9, 11),), dynamic_shapes=(free,)).module()
    for size in ((8, 8), (16, 12), (5, 7)):
        x = torch.randn(3, 16, *size)
        assert (program(x) - module(x)).abs().max() < 1e-6


def test_fca_does_not_resample_a_map_of_its_own_size():
    """On a CPU that costs 40 times as much as the gate itself."""
    module = FCA(16, feature_size=(8, 8), frequencies="top4").eval()
    for size, pools in (((8, 8), False), ((9, 8), True)):
        program = torch.export.export(module, (torch.randn(2, 16, *size),))
        assert any("adaptive_avg_pool2d" in str(node.target) for node in program.graph.nodes) == pools


@pytest.mark.parametrize("name", ["fca", "ortho", "se"])
def test_sums_over_a_map_do_not_overflow_in_half_precision(name):
    """A sum is sqrt(H W) times the mean: 56 times 2,000 is beyond float16, the gate is not."""
    torch.manual_seed(0)
    module = build(name, 16, feature_size=(56, 56))
    x = 2000 * (1 + 0.1 * torch.rand(2, 16, 56, 56))
    wanted = module(x)
    assert torch.isfinite(wanted).all()
    half = copy.deepcopy(module).half()(x.half())
    torch.testing.assert_close(half.float(), wanted, rtol=2e-2, atol=1)
    with torch.autocast("cpu", torch.float16):
        torch.testing.assert_close(module(x.half()).float(), wanted, rtol=2e-2, atol=1)


# ECA


def test_eca_kernel_follows_the_formula():
    wanted = {16: 3, 64: 3, 128: 5, 256: 5, 512: 5, 1024: 5, 2048: 7}
    assert {channels: ECA(channels).conv.kernel_size[0] for channels in wanted} == wanted
    assert ECA(4).conv.kernel_size == (1,)
    assert ECA(64).conv.bias is None


def test_eca_even_kernel_is_refused():
    with pytest.raises(ValueError, match="kernel_size must be odd, not 4"):
        ECA(64, kernel_size=4)


def test_eca_ns_with_equal_filters_is_eca():
    shared, own = ECA(32, kernel_size=5).double(), ECA(32, kernel_size=5, shared=False).double()
    with torch.no_grad():
        own.conv.weight.copy_(shared.conv.weight.expand(32, 1, 5))
    x = torch.randn(2, 32, 4, 4, dtype=torch.float64)
    assert (shared(x) - own(x)).abs().max() < 1e-12


def test_eca_sees_the_order_of_the_channels():
    module, x = _randomised(ECA(32)), torch.randn(2, 32, 4, 4)
    order = torch.randperm(32)
    assert (module(x[:, order]) - module(x)[:, order]).abs().max() > 0.01


# GCT


@pytest.mark.parametrize("mode", ["l2", "l1"])
def test_gct_starts_as_identity_and_learns_gamma_first(mode):
    module, x = GCT(16, mode=mode), torch.randn(3, 16, 6, 5)
    assert torch.equal(module(x), x)
    module(x).square().sum().backward()
    assert module.gamma.grad.abs().sum() > 0
    assert module.beta.grad.abs().sum() > 0
    assert module.alpha.grad.abs().sum() == 0


@pytest.mark.parametrize("mode", ["l2", "l1"])
def test_gct_gate_does_not_see_the_scale_of_the_map(mode):
    module, x = _randomised(GCT(16, mode=mode)), torch.rand(3, 16, 6, 5) + 0.1
    assert (_gate(module, x) - _gate(module, 1000 * x)).abs().max() < 1e-4


def test_gct_epsilon_is_added_to_the_sum_not_to_the_mean():
    """Invisible but for tiny maps."""
    module, x = _randomised(GCT(4)).double(), 1e-4 * torch.rand(2, 4, 8, 8, dtype=torch.float64)
    s = module.alpha * (x.square().sum((2, 3), keepdim=True) + 1e-5).sqrt()
    n = s / (s.square().mean(1, keepdim=True) + 1e-5).sqrt()
    assert (module(x) - x * (1 + torch.tanh(module.gamma * n + module.beta))).abs().max() < 1e-16


def test_gct_does_not_overflow_in_half_precision():
    module, x = _randomised(GCT(4)), torch.full((1, 4, 112, 112), 3.0)
    for given in (x.half(), x.bfloat16()):
        with torch.autocast("cpu", torch.bfloat16):
            assert (module(given).float() - module(x)).abs().max() < 0.05
    assert (module.half()(x.half()).float() - module.float()(x)).abs().max() < 0.05


def test_gct_after_relu_sums_signed():
    plain, signed = (_randomised(GCT(4, mode="l1", after_relu=flag)) for flag in (False, True))
    x = torch.randn(2, 4, 5, 5)
    assert torch.equal(plain(x.abs()), signed(x.abs()))
    assert (plain(x) - signed(x)).abs().max() > 0.01


def test_weight_decay_groups_are_the_authors():
    assert get("gct").no_weight_decay == ("beta",)
    assert set(get("srm").no_weight_decay) == {"cfc", "bn.weight", "bn.bias"}


# SRM


@pytest.mark.parametrize("train", [True, False])
def test_srm_gate_starts_at_one_half(train):
    x = torch.randn(4, 8, 5, 5)
    assert torch.equal(SRM(8).train(train)(x), x / 2)


def test_srm_variance_is_unbiased():
    module = SRM(4, styles="std", norm=False).double()
    nn.init.ones_(module.cfc)
    x = torch.randn(3, 4, 2, 3, dtype=torch.float64)
    wanted = (x.var((2, 3), correction=1) + 1e-5).sqrt().sigmoid()
    assert (_gate(module, x) - wanted).abs().max() < 1e-12


def test_srm_does_not_cancel():
    """The mean 1000 times the spread: E[x^2] - E[x]^2 has no right digit left in float32."""
    module = SRM(4, styles="std", norm=False)
    nn.init.ones_(module.cfc)
    x = 1000 + torch.randn(3, 4, 16, 16)
    wanted = module.double()(x.double())
    assert ((module.float()(x) - wanted) / wanted).abs().max() < 1e-5
    naive = x.square().mean((2, 3)) - x.mean((2, 3)).square()
    assert (naive - x.double().var((2, 3), correction=0)).abs().max() > 1e-3


def test_srm_one_pixel_is_finite_and_does_not_spoil_the_statistics():
    module = SRM(4).train()
    nn.init.ones_(module.cfc)
    assert module(torch.randn(5, 4, 1, 1)).isfinite().all()
    assert module.bn.running_mean.isfinite().all()
    assert module.bn.running_var.isfinite().all()
    assert get("srm").needs_map


def test_srm_says_why_one_sample_cannot_train():
    with pytest.raises(ValueError, match="training needs more than one sample"):
        SRM(4)(torch.randn(1, 4, 5, 5))
    assert SRM(4, norm=False)(torch.randn(1, 4, 5, 5)).isfinite().all()
    assert SRM(4).eval()(torch.randn(1, 4, 5, 5)).isfinite().all()


# All


@pytest.mark.parametrize("name", ["se", "eca", "rcan", "gct", "srm", "fca"])
def test_only_fca_sees_where_in_the_map(name):
    module = build(name, 16, feature_size=(7, 8)).double()
    module = _randomised(module)
    x = torch.randn(2, 16, 56, dtype=torch.float64)
    order = torch.randperm(56)
    moved = module(x[:, :, order].view(2, 16, 7, 8)).flatten(2)
    still = module(x.view(2, 16, 7, 8)).flatten(2)[:, :, order]
    assert ((moved - still).abs().max() > 1e-3) == (name == "fca")


def test_reference_costs_at_64_channels():
    """The parameters that the reference counted."""
    wanted = {"eca": 3, "gct": 192, "srm": 256, "se": 512, "fca": 512, "rcan": 580}
    assert {name: get(name).parameters(64, (56, 56), get(name).defaults) for name in wanted} == wanted
    blocks = {256: 3, 512: 4, 1024: 6, 2048: 3}
    resnet50 = sum(n * get("se").parameters(c, (7, 7), get("se").defaults) for c, n in blocks.items())
    assert resnet50 == 2_514_944
    assert math.isclose(
        sum(n * get("srm").parameters(c, (7, 7), get("srm").defaults) for c, n in blocks.items()), 60416
    )
