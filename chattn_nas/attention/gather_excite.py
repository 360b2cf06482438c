"""Gather-Excite: Exploiting Feature Context in Convolutional Neural Networks. Hu, Shen, Albanie, Sun, Vedaldi (2018).

    y = x * sigmoid(up(excite(gather(x))))

    gather: average pooling with windows of 2 e - 1 and stride e (theta minus), or depthwise convolutions (theta):
            log2 e of 3x3 with stride 2, or, where the extent is global, one as large as the map; BN behind each, relu
            between them
    excite: nothing, or W2 relu(W1 . + b1) + b2, C // r wide (with learned gathering: theta plus)
    up:     nearest neighbour

The extent e is a power of two, 0 stands for the whole map: then the gate is one number per channel, a resized map of
gates otherwise. Only pixels inside the map count in an average. In the authors' theta plus a relu follows the last BN
of the gathering, and the running statistics of a global gathering move by 0.05 a step; timm has no relu there, 0.1,
and pads its global gathering, so that it yields a map (``form: timm``). Parameters of
gathering: 11 C log2 e, or C (H W + 2) where global; of the MLP 2 C h + h + C with h = C // r. MACs of gathering:
9 C for each value that its convolutions give; of the MLP 2 C h for each gate. Official place: after the last norm of a
block, before the residual add. Only the global extent is the authors' own code (Caffe networks); the others follow
timm's reading. Source: hujie-frank/GENet and timm 1.0.15.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from chattn_nas.attention.canonical import largest_reduction
from chattn_nas.attention.pooling import average, highest, to_size
from chattn_nas.attention.precision import widened, without_autocast
from chattn_nas.attention.registry import Hyperparameter, Site, Size, Values, register
from chattn_nas.attention.width import hidden_width


def _gathered(feature_size: Size, values: Values) -> list[Size]:
    """Sizes after each step of gathering."""
    height, width = feature_size
    if values["extent"] == 0:
        even = [height % 2 == 0, width % 2 == 0]  # an even kernel pads one less than it takes
        padded = values["gather"] == "learned" and values["form"] == "timm"
        return [(height - even[0], width - even[1]) if padded else (1, 1)]
    found = []
    for _ in range(int(math.log2(values["extent"]))):
        height, width = (height + 1) // 2, (width + 1) // 2
        found.append((height, width))
    return found


def _hidden(channels: int, values: Values) -> int:
    return hidden_width(channels, values["reduction"]) if values["mlp"] else 0


def _parameters(channels: int, feature_size: Size, values: Values) -> int:
    hidden = _hidden(channels, values)
    excite = (2 * channels * hidden + hidden + channels) if values["mlp"] else 0
    if values["gather"] != "learned":
        return excite
    if values["extent"] == 0:
        return excite + channels * (feature_size[0] * feature_size[1] + 2)
    return excite + 11 * channels * len(_gathered(feature_size, values))


def _macs(channels: int, feature_size: Size, values: Values) -> int:
    sizes = _gathered(feature_size, values)
    taps = 9 if values["extent"] else feature_size[0] * feature_size[1]
    gather = sum(taps * channels * height * width for height, width in sizes) if values["gather"] == "learned" else 0
    return gather + 2 * channels * _hidden(channels, values) * sizes[-1][0] * sizes[-1][1]


def _problem(channels: int, feature_size: Size, values: Values) -> str | None:
    extent = values["extent"]
    if extent and (extent == 1 or extent & (extent - 1)):
        return f"its extent is 0 (the whole map), or a power of two, not {extent}"
    return None


def _canonical(values: Values, sites: Sequence[Site]) -> Values:
    found = dict(largest_reduction(values, sites)) if values["mlp"] else {**values, "reduction": 16}
    # The two forms differ in a learned global gathering, and in the relu between gathering and MLP.
    same = values["gather"] != "learned" or (values["extent"] and not values["mlp"])
    return {**found, "form": "authors"} if same else found


@register(
    "gather_excite",
    title="Gather-Excite: Exploiting Feature Context in Convolutional Neural Networks",
    year=2018,
    paper="arXiv:1810.12348",
    looks_at="channels and positions",
    hyperparameters={
        "extent": Hyperparameter(0, 8, 4, 2, minimum=0),
        "gather": Hyperparameter("average", "learned", "average+max"),
        "mlp": Hyperparameter(False, True),
        "reduction": Hyperparameter(16, 8, minimum=1),
        "form": Hyperparameter("authors", "timm"),
    },
    parameters=_parameters,
    macs=_macs,
    problem=_problem,
    canonical=_canonical,
    needs_feature_size=True,
    needs_batch=True,
)
class GatherExcite(nn.Module):
    """Gather-excite on maps of shape (B, C, H, W).

    Args:
        channels: C.
        feature_size: (H, W); a learned global gathering is made for it and pools other maps to it.
        extent: Side of the region that one gate looks at, a power of two; 0 for the whole map.
        gather: ``average`` or ``learned``; or ``average+max``, the mean of both, as timm has it.
        mlp: Whether an MLP follows.
        reduction: Its hidden width is ``max(1, channels // reduction)``.
        form: ``authors`` or ``timm``, see above.
    """

    def __init__(
        self,
        channels: int,
        *,
        feature_size: tuple[int, int] | None = None,
        extent: int = 0,
        gather: str = "average",
        mlp: bool = False,
        reduction: int = 16,
        form: str = "authors",
    ) -> None:
        super().__init__()
        self.extent = extent
        self.with_maximum = gather == "average+max"
        self.resized = extent > 0 or (gather == "learned" and form == "timm")
        self.size: tuple[int, int] | None = None
        steps: list[nn.Module] = []
        if gather == "learned" and extent == 0:
            if feature_size is None:
                raise ValueError("a learned gathering over the whole map needs feature_size")
            self.size = (feature_size[0], feature_size[1])
            padding = ((self.size[0] - 1) // 2, (self.size[1] - 1) // 2) if form == "timm" else (0, 0)
            steps = [nn.Conv2d(channels, channels, self.size, padding=padding, groups=channels, bias=False)]
            steps += [nn.BatchNorm2d(channels, momentum=0.1 if form == "timm" else 0.05)]
        elif gather == "learned":
            for _ in range(int(math.log2(extent))):
                steps += [nn.Conv2d(channels, channels, 3, 2, padding=1, groups=channels, bias=False)]
                steps += [nn.BatchNorm2d(channels), nn.ReLU()]
            del steps[-1]
        if steps and mlp and form == "authors":
            steps += [nn.ReLU()]
        self.gather = nn.Sequential(*steps)
        hidden = hidden_width(channels, reduction)
        layers = (nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1)) if mlp else ()
        self.excite = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        height, width = x.shape[2:]
        gate = self.excite(self._gathered(x)).sigmoid().to(x.dtype)
        return x * (F.interpolate(gate, size=(height, width)) if self.resized else gate)

    def _gathered(self, x: Tensor) -> Tensor:
        if self.size is not None:
            # Rounded to half precision, sums over the map are hardly told apart by the norm over the batch.
            pooled = to_size(widened(x), self.size)
            with without_autocast(x):
                return self.gather(pooled.to(next(self.gather.parameters()).dtype)).to(x.dtype)
        if len(self.gather):
            return self.gather(x)
        e = self.extent
        if e == 0:
            mean = average(x)[:, :, None, None]
            return 0.5 * (mean + highest(x.flatten(2), 2)[:, :, None, None]) if self.with_maximum else mean
        mean = F.avg_pool2d(x, 2 * e - 1, e, padding=e - 1, count_include_pad=False)
        return 0.5 * (mean + F.max_pool2d(x, 2 * e - 1, e, padding=e - 1)) if self.with_maximum else mean
