"""A small FCOS: at every position of every map, the class of the object there and the distances to its four sides.

Tian, Shen, Chen, He, "FCOS: Fully Convolutional One-Stage Object Detection" (2019), with its authors' additions of a
year later: positions near the middle of an object learn it, distances are in strides, boxes learn by their IoU. There
are no anchors. Every shape is fixed, and nothing is read back to the host, so that a step can be captured and the
network exported.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chattn_nas.data.boxes import CLASS, CROWD
from chattn_nas.network import FeatureMap
from chattn_nas.tasks.pyramid import TopDown

#: Columns of what the network gives, (B, P, 8 + classes): corners of a box, then x, y and stride of the position that
#: sees it, all in pixels; then logits: of how central the position is in its object, and of every class.
CORNERS, PLACE, CENTRAL, CLASSES = slice(0, 4), slice(4, 7), 7, 8
#: Strides from the middle of an object within which positions learn it.
RADIUS = 1.5
#: Strides of half of the longer side of the objects that suit a map best.
SUITS = 2.0
#: Focal loss: Lin, Goyal, Girshick, He, Dollar, "Focal Loss for Dense Object Detection" (2017).
ALPHA, GAMMA, PRIOR = 0.25, 2.0, 0.01


class Head(TopDown):
    """Merges the maps, coarsest first, then predicts boxes and classes with weights that all maps share.

    Args:
        maps: The backbone's maps, the largest first.
        num_classes: Number of classes.
        image_size: Height and width of the image.
        width: Channels inside the head.
    """

    def __init__(
        self, maps: Sequence[FeatureMap], num_classes: int, image_size: tuple[int, int], width: int = 64
    ) -> None:
        super().__init__(maps, width)
        self.smooth = nn.ModuleList([Separable(width) for _ in maps])
        self.predict = nn.Conv2d(width, 5 + num_classes, 3, padding=1)
        self.place = nn.ModuleList([Placed(one.size, image_size) for one in maps])
        nn.init.normal_(self.predict.weight, std=0.01)
        nn.init.zeros_(self.predict.bias)  # type: ignore[arg-type]
        nn.init.constant_(self.predict.bias[5:], -math.log((1 - PRIOR) / PRIOR))  # type: ignore[index]

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Maps (B, C', H', W') to (B, P, 8 + classes), see the columns above."""
        stages = zip(self.merged(maps), self.smooth, self.place, strict=True)
        return torch.cat([place(self.predict(smooth(x))) for x, smooth, place in stages], 1)


class Separable(nn.Module):
    """A depthwise 3x3 convolution, a pointwise one, a norm and a ReLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depth = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.mix = nn.Conv2d(width, width, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        return self.act(self.norm(self.mix(self.depth(x))))


class Placed(nn.Module):
    """The answers at every position of one map, as boxes in pixels.

    Args:
        size: Height and width of the map.
        image_size: Height and width of the image.
    """

    def __init__(self, size: tuple[int, int], image_size: tuple[int, int]) -> None:
        super().__init__()
        self.height, self.width = size
        self.down, self.along = image_size[0] / size[0], image_size[1] / size[1]
        self.stride = (self.down * self.along) ** 0.5
        self.largest = math.log(max(image_size) / self.stride)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, raw: Tensor) -> Tensor:
        """(B, 5 + classes, H', W') to (B, H' W', 8 + classes); in float32: bf16 tells pixels apart only up to 256."""
        told = raw.float().flatten(2).transpose(1, 2)
        rows = (torch.arange(self.height, device=raw.device) + 0.5) * self.down
        columns = (torch.arange(self.width, device=raw.device) + 0.5) * self.along
        y = rows[:, None].expand(self.height, self.width).reshape(-1, 1)
        x = columns[None, :].expand(self.height, self.width).reshape(-1, 1)
        away = (told[:, :, :4] * self.scale).clamp(max=self.largest).exp() * self.stride
        middle = torch.cat([x, y], 1)
        place = torch.cat([middle, torch.full_like(x, self.stride)], 1).expand(told.shape[0], -1, -1)
        return torch.cat([middle - away[:, :, :2], middle + away[:, :, 2:], place, told[:, :, 4:]], 2)


def assigned(targets: Tensor, place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Assign to every position the object that it learns.

    That is the smallest object that contains the position near its middle, on the map whose stride suits the object.

    Args:
        targets: (B, M, 6), see ``data.boxes``.
        place: x, y and stride of every position, (P, 3), in pixels.

    Returns:
        The row of the object (B, P); whether there is one; whether the position counts: inside an ignored region it
        does only if it has an object.
    """
    x, y, stride = (one[None, :, None] for one in place.unbind(1))
    left, top, right, bottom = (targets[:, None, :, side] for side in range(4))
    inside = torch.minimum(torch.minimum(x - left, right - x), torch.minimum(y - top, bottom - y)) > 0
    near = torch.maximum((x - (left + right) / 2).abs(), (y - (top + bottom) / 2).abs()) < RADIUS * stride
    longer = torch.maximum(right - left, bottom - top).clamp(min=1e-3)
    unlike = (longer / (2 * SUITS * stride)).log().abs()
    suits = unlike <= unlike.amin(1, keepdim=True) + 1e-3
    there, crowd = (targets[..., CLASS] >= 0)[:, None], (targets[..., CROWD] > 0)[:, None]
    candidate = inside & near & suits & there & ~crowd
    area = ((right - left) * (bottom - top)).expand_as(candidate)
    row = torch.where(candidate, area, torch.inf).argmin(2)
    learns = candidate.any(2)
    return row, learns, learns | ~(inside & there & crowd).any(2)


def summed(output: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Sums over a batch, (5,).

    They are the sums of focal losses, of IoU losses weighted by centrality, of centrality losses, and of those weights,
    and the number of positions that learn an object.

    Args:
        output: (B, P, 8 + classes) of :class:`Head`.
        targets: (B, M, 6), see ``data.boxes``.
        label_smoothing: Subtracted from the target of an object's class.
    """
    output = output.float()
    row, learns, counts = assigned(targets, output[0, :, PLACE].detach())
    mine = targets.gather(1, row[..., None].expand(-1, -1, targets.shape[2]))
    logits = output[..., CLASSES:]
    wanted = (mine[..., CLASS, None] == torch.arange(logits.shape[2], device=logits.device)) & learns[..., None]
    wanted = wanted * (1 - label_smoothing)
    sure = logits.sigmoid()
    weight = torch.where(wanted > 0, ALPHA, 1 - ALPHA) * (wanted - sure).abs() ** GAMMA * counts[..., None]
    focal = (weight * F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")).sum()
    x, y = output[..., 4].detach(), output[..., 5].detach()
    away = torch.stack([x - mine[..., 0], y - mine[..., 1], mine[..., 2] - x, mine[..., 3] - y], -1).clamp(min=1e-3)
    across, down = away[..., 0::2], away[..., 1::2]
    central = (across.amin(-1) / across.amax(-1) * down.amin(-1) / down.amax(-1)).sqrt() * learns
    boxes = (central * (1 - giou(output[..., CORNERS], mine[..., :4]))).sum()
    centre = F.binary_cross_entropy_with_logits(output[..., CENTRAL], central, reduction="none") * learns
    return torch.stack([focal, boxes, centre.sum(), central.sum(), learns.sum().to(focal.dtype)])


def mean_of(sums: Tensor) -> Tensor:
    """The loss from the sums of :func:`summed`: per object; for boxes per unit of centrality."""
    focal, boxes, centre, weights, objects = sums.unbind()
    objects = objects.clamp(min=1)
    return focal / objects + boxes / weights.clamp(min=1) + centre / objects


def giou(one: Tensor, other: Tensor) -> Tensor:
    """Generalised IoU of boxes (..., 4), -1 to 1.

    Rezatofighi, Tsoi, Gwak, Sadeghian, Reid, Savarese, "Generalized Intersection over Union" (2019).
    """
    low, high = torch.maximum(one[..., :2], other[..., :2]), torch.minimum(one[..., 2:], other[..., 2:])
    shared = _product((high - low).clamp(min=0))
    either = _area(one) + _area(other) - shared
    hull = torch.maximum(one[..., 2:], other[..., 2:]) - torch.minimum(one[..., :2], other[..., :2])
    around = _product(hull).clamp(min=1e-6)
    return shared / either.clamp(min=1e-6) - (around - either) / around


def candidates(output: Tensor, size: tuple[int, int], most: int) -> Tensor:
    """The most confident answers for every image, (B, most, 6): corners in pixels, confidence, class; with duplicates.

    The confidence is the geometric mean of the probability of the class and the centrality of the position.
    """
    height, width = size
    sure = (output[..., CLASSES:].sigmoid() * output[..., CENTRAL, None].sigmoid()).sqrt()
    classes = sure.shape[2]
    scores, index = sure.flatten(1).topk(min(most, sure.shape[1] * classes), dim=1)
    left, top, right, bottom = output[..., CORNERS].gather(1, (index // classes)[..., None].expand(-1, -1, 4)).unbind(2)
    sides = [left.clamp(0, width), top.clamp(0, height), right.clamp(0, width), bottom.clamp(0, height)]
    corners = torch.stack(sides, 2)
    return torch.cat([corners, scores[..., None], (index % classes)[..., None].to(corners.dtype)], 2)


def _area(boxes: Tensor) -> Tensor:
    return _product(boxes[..., 2:] - boxes[..., :2])


def _product(sides: Tensor) -> Tensor:
    """(..., 2) to (...): the gradient of ``prod`` asks the host whether a side is zero."""
    return sides[..., 0] * sides[..., 1]
