"""Our own CIFAR ResNets."""

import pytest
import timm
import torch
from torch.nn import functional as F

import chattn_nas.timm  # noqa: F401
from chattn_nas.network.cifar import SkippingConv2d


@pytest.mark.parametrize("width", [4, 8, 16])
def test_narrow_ones_outlive_the_backward_pass_on_large_maps(width) -> None:
    torch.manual_seed(0)
    network = timm.create_model("cifar_resnet8", width=width).to(memory_format=torch.channels_last)
    images = torch.randn(2, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    F.cross_entropy(network(images), torch.tensor([0, 1])).backward()
    shortcut = network.layer2[0].downsample[0]
    assert isinstance(shortcut, SkippingConv2d) == (width < 16)
    assert shortcut.weight.grad.abs().sum() > 0
    x = torch.randn(2, width, 8, 8)
    torch.testing.assert_close(shortcut(x), F.conv2d(x, shortcut.weight, stride=2))
