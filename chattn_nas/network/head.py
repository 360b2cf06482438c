"""Second-order pooling before the classifier, ``head: isqrt_cov``.

Li, Xie, Wang, Gao (2018), "Towards Faster Training of Global Covariance Pooling Networks by Iterative Matrix Square
Root Normalization". Source: ``src/representation/MPNCOV.py`` of jiangtaoxie/fast-MPN-COV.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chattn_nas.attention.covariance import newton_schulz, plain_covariance
from chattn_nas.errors import BackboneError
from chattn_nas.image_size import ImageSize, pair
from chattn_nas.network._timm import pooling_and_classifier
from chattn_nas.network.surgery import put

#: Channels that the map is reduced to, where it has more.
DIM = 256


class CovariancePool(nn.Module):
    """(B, C, H, W) to the upper triangle of the root of the covariance of ``dim`` channels, row by row.

    Args:
        channels: C.
        dim: Rows of the covariance; the output is (B, dim (dim + 1) / 2).
        iterations: Steps of the Newton-Schulz iteration, at least 2.
        epsilon: The smallest trace that is divided by: a constant map has 0.
    """

    def __init__(self, channels: int, *, dim: int = DIM, iterations: int = 3, epsilon: float = 1e-12) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, dim, 1, bias=False)
        self.norm = nn.BatchNorm2d(dim)
        self.iterations = iterations
        self.epsilon = epsilon
        self.dim = dim

    @property
    def features(self) -> int:
        """Length of the output."""
        return self.dim * (self.dim + 1) // 2

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, dim (dim + 1) / 2)."""
        s = plain_covariance(F.relu(self.norm(self.reduce(x))))
        trace = s.diagonal(dim1=1, dim2=2).sum(1).clamp_min(self.epsilon)[:, None, None]
        root = newton_schulz(s / trace, self.iterations)[0] * trace.sqrt()
        rows, columns = torch.triu_indices(self.dim, self.dim, device=x.device).unbind()
        return root[:, rows, columns].to(x.dtype)


def put_second_order_head(model: nn.Module, name: str, num_classes: int, in_chans: int, image_size: ImageSize) -> None:
    """Replace the global pooling and the classifier of a timm model; changed in place.

    Raises:
        BackboneError: The head is not a global pooling that a linear layer follows, or it pools a single pixel.
    """
    refused = BackboneError(
        f"{name} does not end in a global pooling and a linear layer, so it cannot have head: isqrt_cov",
        where=("head",), value="isqrt_cov", choices=("default",),
    )  # fmt: skip
    head = pooling_and_classifier(model)
    if head is None:
        raise refused
    pooling, path, channels = head
    device = next(model.parameters()).device
    pool = CovariancePool(channels, dim=min(DIM, channels)).to(device)
    put(model, pooling, pool)
    put(model, path, nn.Linear(pool.features, num_classes, device=device))
    size = pair(image_size)
    meta = copy.deepcopy(model).to("meta").eval()
    maps: list[torch.Size] = []
    meta.get_submodule(pooling).register_forward_pre_hook(lambda _module, given: maps.append(given[0].shape[2:]))
    try:
        with torch.no_grad():
            shape = meta(torch.empty(2, in_chans, *size, device="meta")).shape
    except Exception as error:  # whatever a head makes of a vector where it expects a map
        raise refused from error
    if shape != (2, num_classes):
        raise refused
    if maps[0].numel() == 1:
        raise BackboneError(
            f"{name} ends in a map of 1x1 on {size[0]}x{size[1]} images, which has no covariance: take larger images "
            "for head: isqrt_cov",
            where=("head",), value="isqrt_cov", choices=("default",),
        )  # fmt: skip
