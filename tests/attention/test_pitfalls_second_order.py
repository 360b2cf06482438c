"""The mistakes that are usual with enc, enc_module, gsop and soca, one test each."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from chattn_nas.attention import build, get
from chattn_nas.attention.covariance import covariance, newton_schulz
from chattn_nas.attention.enc import Enc
from chattn_nas.attention.enc_module import EncModule
from chattn_nas.attention.encoding import Encoding
from chattn_nas.attention.gsop import GSoP
from chattn_nas.attention.soca import SoCA


class Largest(TorchDispatchMode):
    """The number of elements of the largest tensor that anything inside makes."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, torch.Tensor) and not function.is_view:
                self.elements = max(self.elements, tensor.numel())
        return out


def _randomised(module, seed=0):
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    return module


def _largest(module, x):
    """Of forward and backward."""
    with Largest() as largest:
        module(x).sum().backward()
    return largest.elements


# Encoding


def _direct(x, codewords, scale):
    """The encoding as the paper states it, with every difference written down: (B, D, H, W) to A (B, N, K) and E."""
    away = x.flatten(2).mT[:, :, None] - codewords
    assigned = (scale * away.square().sum(3)).softmax(2)
    return assigned, (assigned[..., None] * away).sum(1)


def test_encoding_is_the_direct_form_and_assigns_each_pixel_once():
    module = Encoding(6, 5).double()
    x = torch.randn(2, 6, 3, 4, dtype=torch.float64)
    assigned, wanted = _direct(x, module.codewords, module.scale)
    assert (module(x) - wanted).abs().max() < 1e-12
    assert (assigned.sum(2) - 1).abs().max() < 1e-12


def test_encoding_starts_with_a_negative_scale_that_is_not_negated_again():
    """The nearest codeword takes a pixel; with the sign doubled, the farthest would."""
    module = Encoding(2, 2).double()
    assert (module.scale < 0).all()
    assert (module.scale > -1).all()
    with torch.no_grad():
        module.codewords.copy_(torch.tensor([[0.0, 0.0], [10.0, 0.0]]))
    near_the_first = torch.tensor([1.0, 0.0]).double().view(1, 2, 1, 1)
    residuals = module(near_the_first)[0]
    assert residuals[0, 0] > 0.99
    assert residuals[1].abs().max() < 0.01


@pytest.mark.parametrize("scale", [-1.0, 1.0])
def test_encoding_is_stable_far_from_its_codewords(scale):
    module = Encoding(4, 3)
    with torch.no_grad():
        module.scale.fill_(scale)
    x = (100 * torch.randn(2, 4, 5, 5)).requires_grad_()
    assert (x.square().sum(1) > 1e4).any()
    module(x).square().sum().backward()
    for tensor in (module(x), x.grad, module.codewords.grad, module.scale.grad):
        assert tensor.isfinite().all()


def test_encoding_at_scale_zero_has_a_finite_gradient():
    """The official backward divides by the scale."""
    module = Encoding(4, 3)
    with torch.no_grad():
        module.scale.zero_()
    x = torch.randn(2, 4, 5, 5, requires_grad=True)
    module(x).square().sum().backward()
    assert x.grad.isfinite().all()
    assert module.scale.grad.isfinite().all()
    assert module.scale.grad.abs().min() > 0


def test_encoding_keeps_distances_in_float32_under_autocast():
    """bf16 is 3 to 6 off in distances near 600; the softmax would see that."""
    module, x = Encoding(16, 8), 6 * torch.randn(2, 16, 7, 7)
    wanted = module(x)
    with torch.autocast("cpu", torch.bfloat16):
        found = module(x)
    assert found.dtype == torch.float32
    assert torch.equal(found, wanted)


@pytest.mark.parametrize("name", ["enc", "enc_module"])
def test_encoding_never_holds_every_difference(name):
    b, c, k, h, w = 2, 32, 16, 20, 20
    module = build(name, c, codewords=k, num_classes=5)
    largest = _largest(module, torch.randn(b, c, h, w, requires_grad=True))
    assert largest <= b * h * w * max(c, k), "more than a map or the assignment"


def test_enc_normalises_the_whole_vector():
    module = _randomised(Enc(16, codewords=4, reduction=2)).double().eval()
    seen = []
    module.expand.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    x = torch.randn(3, 16, 5, 4, dtype=torch.float64)
    y = module(x)
    assert (seen[0].norm(dim=1) - 1).abs().max() < 1e-12
    assert (y - x * module.expand(seen[0]).sigmoid()[:, :, None, None]).abs().max() < 1e-12


def test_enc_drops_its_scale_at_random_in_training_only():
    module, x = Enc(16, scale="drop"), torch.randn(4, 16, 5, 5)
    assert "encoding.scale" not in module.state_dict()
    assert not torch.equal(module.encoding(module.reduce(x)), module.encoding(module.reduce(x)))
    module.eval()
    wanted = _direct(module.reduce(x), module.encoding.codewords, torch.full((16,), -0.5))[1]
    assert (module.encoding(module.reduce(x)) - wanted).abs().max() < 1e-4


# EncModule


def test_enc_module_takes_the_mean_of_codes_that_are_normalised_per_codeword():
    module = EncModule(8, num_classes=3, codewords=4).double()
    assert module.code_norm.num_features == 4
    x = torch.randn(5, 8, 4, 3, dtype=torch.float64)
    f = F.relu(F.batch_norm(module.project(x), None, None, training=True))
    codes = _direct(f, module.encoding.codewords, module.encoding.scale)[1]
    centred = codes - codes.mean((0, 2), keepdim=True)
    normalised = centred / (centred.square().mean((0, 2), keepdim=True) + 1e-5).sqrt()
    assert (module.code(x) - F.relu(normalised).mean(1)).abs().max() < 1e-9


def test_enc_module_adds_the_map_and_ends_in_a_relu():
    module = EncModule(8, num_classes=3).double().eval()
    with torch.no_grad():
        module.gate.weight.zero_()
        module.gate.bias.fill_(-40)
    x = torch.randn(2, 8, 4, 3, dtype=torch.float64)
    assert (module(x) - F.relu(x)).abs().max() < 1e-12, "a gate of 0 leaves the map itself"


@pytest.mark.parametrize("train", [True, False])
def test_enc_module_gives_logits_of_every_class(train):
    module, x = EncModule(8, num_classes=7).train(train), torch.randn(3, 8, 4, 3)
    assert torch.equal(module.se_logits(x), module.head(module.code(x)))
    assert module.se_logits(x).shape == (3, 7)


def test_enc_module_with_weight_0_keeps_its_head_in_the_state_but_not_in_the_gradient():
    module = EncModule(8, num_classes=7, se_loss_weight=0.0)
    assert {"head.weight", "head.bias"} <= set(module.state_dict())
    module(torch.randn(3, 8, 4, 3)).sum().backward()
    assert module.head.weight.grad is None
    assert not module.head.weight.requires_grad


# GSoP


def test_gsop_does_not_change_the_map():
    module, x = GSoP(16, dim=8), torch.randn(4, 16, 5, 6)
    given = x.clone()
    module(x)
    assert torch.equal(x, given)


def test_gsop_has_a_row_norm_and_no_activation_behind_the_rows():
    module = _randomised(GSoP(16, dim=8)).double().eval()
    nn.init.uniform_(module.norm.weight, 0.5, 1)
    x = torch.randn(3, 16, 5, 6, dtype=torch.float64)
    u = F.relu(module.norm(module.reduce(F.relu(x)))).flatten(2)
    s = torch.stack([torch.cov(sample, correction=0) for sample in u])
    rows = torch.einsum("bij,iqj->biq", module.row_norm(s[..., None])[..., 0], module.row_conv.weight.view(8, 4, 8))
    rows = rows.flatten(1) + module.row_conv.bias
    assert (rows < 0).any()
    gate = (rows @ module.expand.weight.flatten(1).T + module.expand.bias).sigmoid()
    assert (module(x) - x * gate[:, :, None, None]).abs().max() < 1e-10


def test_gsop_halves_the_map_only_where_it_is_told():
    assert get("gsop").defaults["downsample"] == 1
    assert get("gsop").blocks == "last"
    assert GSoP(16, downsample=2).reduce.stride == (2, 2)


def test_gsop_takes_more_dimensions_than_channels():
    x = torch.randn(2, 8, 5, 6)
    assert GSoP(8, dim=32)(x).shape == x.shape


def test_gsop_takes_no_square_root():
    """Its gate sees the scale of the map squared."""
    module = GSoP(16, dim=8).double().eval()
    seen = []
    module.row_norm.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    nn.init.zeros_(module.reduce.bias)
    x = torch.randn(2, 16, 5, 6, dtype=torch.float64)
    module(x)
    module(2 * x)
    assert (seen[1] - 4 * seen[0]).abs().max() < 1e-9


# SoCA


def _row_means(x, iterations):
    """The plain statement: both iterates as matrices, from the identity on."""
    s = covariance(x)
    trace = s.diagonal(dim1=1, dim2=2).sum(1)[:, None, None]
    return (newton_schulz(s / trace, iterations)[0] * trace.sqrt()).mean(2)


@pytest.mark.parametrize("size", [(9, 7), (4, 3), (2, 1), (1, 1)], ids=str)
@pytest.mark.parametrize("iterations", [1, 2, 3, 4, 5, 7])
def test_soca_s_vector_is_the_row_mean_of_the_matrix(iterations, size):
    """With more pixels than channels, and with fewer."""
    module = SoCA(24, iterations=iterations).double()
    x = torch.randn(3, 24, *size, dtype=torch.float64)
    found = module._row_sums(x) / 24
    wanted = _row_means(x, iterations).nan_to_num(0.0)  # the plain statement divides by the trace of a 1x1 map, 0
    assert (found - wanted).abs().max() <= 1e-12 * max(1, wanted.abs().max())


def test_soca_s_five_iterations_are_not_the_root():
    x = torch.randn(2, 32, 8, 8, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(covariance(x))
    exact = (vectors * values.clamp_min(0).sqrt()[:, None]) @ vectors.mT
    five = SoCA(32).double()._row_sums(x)
    four = SoCA(32, iterations=4).double()._row_sums(x)
    for other in (exact.sum(2), four):
        assert (five - other).norm() > 0.01 * five.norm()


@pytest.mark.parametrize("what", ["constant", "zero sample", "one pixel", "fewer pixels than channels"])
def test_soca_is_finite_without_variance(what):
    x = torch.randn(3, 16, 1, 1) if what == "one pixel" else torch.randn(3, 16, 2, 3)
    if what == "constant":
        x = torch.full((3, 16, 6, 6), 0.7)
    if what == "zero sample":
        x = torch.randn(3, 16, 6, 6)
        x[1] = 0
    module = _randomised(SoCA(16))
    y = module(x.requires_grad_())
    y.square().sum().backward()
    for tensor in (y, x.grad, *(parameter.grad for parameter in module.parameters())):
        assert tensor.isfinite().all()


def test_soca_builds_no_matrix_of_pixels():
    b, c, size = 2, 64, 56
    largest = _largest(SoCA(c), torch.randn(b, c, size, size, requires_grad=True))
    assert largest <= b * c * size * size, "larger than the map itself"


def test_soca_s_sum_is_its_mean_in_the_width():
    mean, total = (_randomised(SoCA(16, squeeze=squeeze)).double() for squeeze in ("mean", "sum"))
    with torch.no_grad():
        mean.reduce.weight.mul_(16)
    x = torch.randn(2, 16, 5, 5, dtype=torch.float64)
    assert (mean(x) - total(x)).abs().max() < 1e-12


def test_covariance_does_not_cancel():
    """The mean 1000 times the spread: E[x x'] - E[x] E[x]' has no right digit left in float32."""
    x = 1000 + torch.randn(2, 4, 16, 16)
    assert (covariance(x) - covariance(x.double())).abs().max() < 1e-3


def test_the_written_gradient_of_the_covariance_is_its_gradient() -> None:
    """And its own derivative; the battery compares forward mode and vmap."""
    x = (torch.randn(2, 5, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(3)) + 3).requires_grad_()
    assert torch.autograd.gradcheck(covariance, x)
    assert torch.autograd.gradgradcheck(covariance, x)


@pytest.mark.parametrize("name", ["soca", "gsop"])
def test_covariance_is_a_float32_island(name):
    module, x = build(name, 16).eval(), 30 + torch.randn(4, 16, 6, 6)
    with torch.autocast("cpu", torch.bfloat16):
        assert covariance(x.bfloat16()).dtype == torch.float32
        y = module(x)
    assert y.dtype == x.dtype
    assert (y - module(x)).abs().max() < 2e-2 * module(x).abs().max()


# All


@pytest.mark.parametrize("name", ["enc", "enc_module", "gsop", "soca"])
def test_pixels_may_change_places(name):
    module = _randomised(build(name, 16, num_classes=3)).double().eval()
    for norm in (m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)):
        nn.init.uniform_(norm.weight, 0.5, 1)
    x, order = torch.randn(2, 16, 6, 5, dtype=torch.float64), torch.randperm(30)

    def shuffled(x):
        return x.flatten(2)[:, :, order].view_as(x)

    assert (module(shuffled(x)) - shuffled(module(x))).abs().max() < 1e-9


@pytest.mark.parametrize(("channels", "side"), [(64, 2), (128, 4), (16, 8)])
def test_float32_carries_as_many_iterations_as_soca_takes(channels, side):
    """With more, products of nearly singular matrices drift until the gradient, then the root, is lost."""
    module = _randomised(build("soca", channels, iterations=get("soca").hyperparameters["iterations"].maximum))
    x = 3 * torch.randn(4, channels, side, side, generator=torch.Generator().manual_seed(1))
    x[1], x[2, 1:] = 1, 0
    gradients = []
    for dtype in (torch.float64, torch.float32):
        given = x.to(dtype).requires_grad_()
        module.to(dtype)(given).square().sum().backward()
        gradients.append(given.grad.double())
    assert (gradients[1] - gradients[0]).norm() < 1e-4 * gradients[0].norm()
