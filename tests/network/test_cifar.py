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


def test_indices_of_maps_are_read_as_timm_reads_them() -> None:
    network = timm.create_model("cifar_resnet8", width=4)
    images = torch.randn(1, 3, 16, 16)
    every = network.forward_intermediates(images, intermediates_only=True)
    assert len(every) == 4
    for indices, places in ((2, [2, 3]), ([-1, 0], [0, 3]), ([1], [1])):
        maps = network.forward_intermediates(images, indices=indices, intermediates_only=True)
        assert [one.shape for one in maps] == [every[place].shape for place in places]
    for indices in ([4], 5, []):
        with pytest.raises(IndexError):
            network.forward_intermediates(images, indices=indices)
    assert timm.create_model("cifar_resnet8", width=4).prune_intermediate_layers([-2, 0]) == [2, 0]
