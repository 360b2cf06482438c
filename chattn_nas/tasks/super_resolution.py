"""Super-resolution: the picture that a small one was made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from chattn_nas.data import Data, TensorSet
from chattn_nas.errors import DataError, InputError
from chattn_nas.image_size import pair
from chattn_nas.network import FeatureExtractor, feature_extractor
from chattn_nas.tasks import picture_answer
from chattn_nas.tasks.composite import composed, drawn_apart
from chattn_nas.tasks.picture_metrics import WINDOW, brightness, psnr, ssim, without_border
from chattn_nas.tasks.settings import TaskSettings
from chattn_nas.tasks.shown import Shown, coloured
from chattn_nas.tasks.task import Criterion, Scorer, Task
from chattn_nas.unit import Unit

UNITS = {
    "psnr": Unit(name="psnr", title="PSNR on Y", unit="dB", difference="dB", scale=1.0),
    "ssim": Unit(name="ssim", title="SSIM on Y, times 100,", unit="", scale=100.0),
}


class SuperResolutionSettings(TaskSettings):
    """The picture that a small one was made from.

    Attributes:
        type: ``super_resolution``.
        shave: Width in pixels of the border of the large picture that is not scored; ``None`` is the scale.

    In a spec:
        type: super_resolution
        shave: 2  # pixels
    """

    type: str = "super_resolution"
    shave: int | None = Field(default=None, ge=0)


class SuperResolution(Task):
    """Pictures (N, C, H, W) uint8 and the larger ones that they were made from, (N, C, scale H, scale W)."""

    Settings: ClassVar[type[TaskSettings]] = SuperResolutionSettings
    metrics: ClassVar[tuple[str, ...]] = tuple(UNITS)
    classes: ClassVar[bool] = False
    useful: ClassVar[float] = 0.05
    recipe: ClassVar[Mapping[str, Any]] = {
        "optimizer": "adam", "learning_rate": 0.016, "weight_decay": 0.0, "label_smoothing": 0.0, "batch_size": 16,
    }  # fmt: skip

    def __init__(self, settings: TaskSettings, data: Data) -> None:
        assert isinstance(settings, SuperResolutionSettings)
        super().__init__(settings, data)
        targets, size = data.train.labels, pair(data.image_size)
        if targets.ndim != 4 or targets.dtype != torch.uint8 or targets.shape[1] != data.in_chans:
            raise InputError(
                "task super_resolution needs a larger picture per image (data.dataset: patches, or a function that "
                "gives them)",
                where=("data", "dataset"),
            )
        self.scale = targets.shape[2] // size[0]
        if self.scale < 2 or tuple(targets.shape[2:]) != (self.scale * size[0], self.scale * size[1]):
            raise InputError(
                f"the targets are {tuple(targets.shape[2:])} px, no whole multiple of the images' {size}",
                where=("data", "image_size"),
            )
        self.shave = self.scale if settings.shave is None else settings.shave
        left = min(targets.shape[2:]) - 2 * self.shave
        if left < WINDOW:
            raise InputError(
                f"without a border of {self.shave} px the pictures are {left} px, and the window of SSIM is {WINDOW}",
                where=("data", "image_size"),
            )
        self.unit = UNITS[self.metric_of(data, "super-resolution")]
        if data.augmentation.further is not None:
            raise DataError("this data.augment changes pictures without their targets", where=("data", "augment"))

    def network(self, network: nn.Module, seed: int) -> nn.Module:
        """Add the head: maps at full size, a convolution, pixel shuffle, and bilinear enlargement added."""
        body = feature_extractor(
            network, image_size=pair(self.data.image_size), in_chans=self.data.in_chans, strides=(1,)
        )
        with drawn_apart(seed):
            head = Enlarge(body.maps[-1].channels, self.data.in_chans, self.scale)
        return composed(network, Enlarging(body, head, self.scale), "body.body")

    def prepare(self, batch: TensorSet, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Flip, and transpose squares, if flips are allowed: picture and target in the same way."""
        small, large = batch.images, batch.labels
        if self.data.augmentation.flip:
            draws = torch.rand(3, len(small), 1, 1, 1, device=small.device, generator=generator) < 0.5
            small, large = (_turned(one, draws) for one in (small, large))
        return self.inputs(small), self.inputs(large)

    def criterion(self, device: torch.device, *, label_smoothing: float = 0.0) -> Criterion:
        """Mean absolute difference, in standard deviations of the data."""
        return _absolute

    def pixels(self, output: Tensor) -> Tensor:
        """The network's output as numbers from 0 to 255, rounded as in a file."""
        channels = zip(output.float().split(1, 1), self.data.mean, self.data.std, strict=True)
        return (torch.cat([one * std + mean for one, mean, std in channels], 1) * 255).round().clamp(0, 255)

    def scorer(self, images: int, device: torch.device) -> Scorer:
        """PSNR and SSIM, mean over the patches."""
        return PictureScorer(self, images, device)

    def floor(self) -> dict[str, Any] | None:
        """Bicubic enlargement of the validation images."""
        scorer = PictureScorer(self, len(self.data.validation), torch.device("cpu"))
        index = torch.arange(len(self.data.validation))
        for rows in index.split(64):
            part = self.data.validation[rows.to(self.data.validation.labels.device)].to("cpu")
            scorer.score(self._bicubic(part.images), part.labels)
        return {"by": "bicubic enlargement", "score": scorer.result()[0]}

    def _bicubic(self, images: Tensor) -> Tensor:
        """Enlarge, in 0 to 255; with antialias, torch's kernel is Pillow's."""
        large = F.interpolate(images.float(), scale_factor=self.scale, mode="bicubic", antialias=True)
        return large.round().clamp(0, 255)

    def show(self, output: Tensor, images: Tensor, targets: Tensor) -> list[Shown]:
        """Draw the enlarged picture between bicubic enlargement and the true picture."""
        examples = []
        for pictures in zip(
            images.split(1), self._bicubic(images).split(1), self.pixels(output).split(1), targets.split(1)
        ):
            small, bicubic, answered, wanted = (coloured(picture.to(torch.uint8))[0] for picture in pictures)
            scores = []
            for picture in pictures[1:3]:
                scorer = PictureScorer(self, 1, torch.device("cpu"))
                scorer.score(picture, pictures[3])
                scores.append(self.unit.text(scorer.result()[0]))
            shown = (("image", small), ("bicubic", bicubic), ("answered", answered), ("wanted", wanted))
            examples.append(Shown(shown, f"{scores[1]}, bicubic enlargement {scores[0]}"))
        return examples

    def export(self) -> dict[str, Any]:
        """An export answers with pictures."""
        return {
            "outputs": ("pictures",),
            "gives": f"pictures (B, C, {self.scale} H, {self.scale} W), normalised like the images",
            "answers": f"writes the picture, enlarged, to image.x{self.scale}.png",
            "functions": {"read_image": picture_answer.read_image, "answer": picture_answer.answer},
            "constants": {"SCALE": self.scale},
        }


class Enlarge(nn.Module):
    """(B, width, H, W) to (B, channels, scale H, scale W).

    Shi, Caballero, Huszar, Totz, Aitken, Bishop, Rueckert, Wang, "Real-Time Single Image and Video Super-Resolution
    Using an Efficient Sub-Pixel Convolutional Neural Network" (2016). It starts near zero: the network as a whole
    starts as the bilinear enlargement.
    """

    def __init__(self, width: int, channels: int, scale: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, channels * scale * scale, 3, padding=1)
        self.shuffle = nn.PixelShuffle(scale)
        nn.init.normal_(self.conv.weight, std=1e-3)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """The larger map."""
        return self.shuffle(self.conv(x))


class Enlarging(nn.Module):
    """Pictures (B, C, H, W) to (B, C, scale H, scale W)."""

    def __init__(self, body: FeatureExtractor, head: nn.Module, scale: int) -> None:
        super().__init__()
        self.body = body
        self.head = head
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """The residual that the head adds to the bilinear enlargement."""
        return self.head(self.body(x)[-1]) + F.interpolate(x, scale_factor=self.scale, mode="bilinear")


class PictureScorer:
    """Sums PSNR and SSIM over the pictures of a set."""

    def __init__(self, task: SuperResolution, images: int, device: torch.device) -> None:
        self.task, self.images = task, images
        self.psnr, self.ssim, self.loss = (torch.zeros((), device=device) for _ in range(3))

    def reset(self) -> None:
        """Forget everything that was added."""
        for total in (self.psnr, self.ssim, self.loss):
            total.zero_()

    def add(self, output: Tensor, targets: Tensor, rows: Tensor) -> None:
        """Add the network's output for some images and the true pictures."""
        self.loss += _absolute(output, self.task.inputs(targets)) * len(targets)
        self.score(self.task.pixels(output), targets)

    def score(self, pictures: Tensor, targets: Tensor) -> None:
        """Add PSNR and SSIM of pictures in 0 to 255 against targets."""
        given, wanted = (without_border(brightness(one.float()), self.task.shave) for one in (pictures, targets))
        self.psnr += psnr(given, wanted).sum()
        self.ssim += ssim(given, wanted).sum()

    def result(self) -> tuple[float, float]:
        """Return PSNR in dB or SSIM, and mean absolute difference."""
        total = self.ssim if self.task.unit.name == "ssim" else self.psnr
        return float(total) / self.images, float(self.loss) / self.images

    def figures(self) -> dict[str, Any]:
        """Both PSNR and SSIM."""
        return {"psnr": float(self.psnr) / self.images, "ssim": float(self.ssim) / self.images}


def _absolute(output: Tensor, targets: Tensor) -> Tensor:
    return (output.float() - targets).abs().mean()


def _turned(images: Tensor, draws: Tensor) -> Tensor:
    images = torch.where(draws[0], images.flip(3), images)
    images = torch.where(draws[1], images.flip(2), images)
    square = images.shape[2] == images.shape[3]
    return torch.where(draws[2], images.transpose(2, 3), images) if square else images
