"""Segmentation: the class of every pixel."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from chattn_nas.data import Augmentation, Data, TensorSet, augment
from chattn_nas.data.sources.mask_values import VOID
from chattn_nas.errors import DataError, InputError
from chattn_nas.image_size import pair
from chattn_nas.network import feature_extractor
from chattn_nas.tasks import mask_answer
from chattn_nas.tasks.composite import MapsAndHead, composed, drawn_apart
from chattn_nas.tasks.label_metrics import matrix_figures
from chattn_nas.tasks.pyramid import Pyramid
from chattn_nas.tasks.settings import TaskSettings
from chattn_nas.tasks.shown import Shown, coloured, painted, palette
from chattn_nas.tasks.task import Criterion, Scorer, Task
from chattn_nas.unit import percent

#: Target of pixels that count for nothing.
NONE = -1


class SegmentationSettings(TaskSettings):
    """The class of every pixel.

    Attributes:
        type: ``segmentation``.
        ignore_index: Value in the masks to ignore; ``None`` ignores only 255, which is always void.
        stride: Pixels per position of the finest map of the backbone that the head uses; of a backbone whose maps are
            all finer, the coarsest.
        width: Channels of the head.

    In a spec:
        type: segmentation
        ignore_index: 255  # value
        stride: 4  # pixels
        width: 64  # channels
    """

    type: str = "segmentation"
    ignore_index: int | None = Field(default=None, ge=0, le=255)
    stride: int = Field(default=4, ge=1)
    width: int = Field(default=64, ge=1)


class Segmentation(Task):
    """Masks (N, H, W) uint8 of the numbers of classes."""

    Settings: ClassVar[type[TaskSettings]] = SegmentationSettings
    metrics: ClassVar[tuple[str, ...]] = ("mean_iou", "pixel_accuracy")
    useful: ClassVar[float] = 0.5
    recipe: ClassVar[dict[str, Any]] = {
        "optimizer": "adamw", "learning_rate": 0.016, "weight_decay": 0.01, "label_smoothing": 0.0, "batch_size": 16,
    }  # fmt: skip

    def __init__(self, settings: TaskSettings, data: Data) -> None:
        assert isinstance(settings, SegmentationSettings)
        labels = data.train.labels
        if labels.ndim != 3 or labels.dtype != torch.uint8:
            raise InputError(
                "task segmentation needs a mask per image (data.dataset: masks, or a function that gives them)",
                where=("data", "dataset"),
            )
        name = self.metric_of(data, "segmentation")
        if data.augmentation.further is not None:
            raise DataError("this data.augment moves pixels without their masks", where=("data", "augment"))
        void = settings.ignore_index
        self._check_values(data, void)
        names = [name for value, name in enumerate(data.class_names) if value not in (void, VOID)]
        kept = {field.name: getattr(data, field.name) for field in fields(Data)}
        super().__init__(settings, Data(**kept | {"class_names": tuple(names), "num_classes": len(names)}))
        self.settings: SegmentationSettings = settings
        self.unit = percent(name)
        # 0 stands for void, so that the border that crops bring in is void.
        table = torch.zeros(256, dtype=torch.uint8)
        values = [value for value in range(len(data.class_names)) if value not in (void, VOID)]
        table[values] = torch.arange(1, len(values) + 1, dtype=torch.uint8)
        self._tables = {torch.device("cpu"): table}

    @staticmethod
    def _check_values(data: Data, void: int | None) -> None:
        """Refuse masks without any class or with numbers beyond the classes, and a void that is no number of theirs."""
        classes, every = len(data.class_names), set[int]()
        for name, part in (("training", data.train), ("validation", data.validation)):
            held: set[int] = set()
            for masks in part.labels.split(256):  # type: ignore[attr-defined]
                held.update(masks.flatten().bincount().nonzero().flatten().tolist())
            every |= held
            held -= {void, VOID}
            if not held:
                raise InputError(f"the {name} masks are void everywhere: nothing is scored", where=("data", "path"))
            if (top := max(held)) >= classes:
                raise InputError(
                    f"masks hold {top}, and there are {classes} classes, 0 to {classes - 1}: name it in classes.txt, "
                    f"or say task.ignore_index: {top}; a run that was begun without needs another name",
                    where=("task", "ignore_index"),
                )
        if void not in (None, VOID, *every) and void not in range(classes):
            raise InputError(
                f"task.ignore_index is {void}, and no mask holds it; they hold {', '.join(map(str, sorted(every)))} "
                f"({VOID} always counts for nothing)",
                where=("task", "ignore_index"), value=void,
            )  # fmt: skip

    def network(self, network: nn.Module, seed: int) -> nn.Module:
        """Add a light pyramid: maps of the backbone to logits (B, classes, H, W)."""
        size = pair(self.data.image_size)
        body = feature_extractor(network, image_size=size, in_chans=self.data.in_chans, finest=self.settings.stride)
        with drawn_apart(seed):
            head = Pyramid(body.maps, self.data.num_classes, size, self.settings.width)
        return composed(network, MapsAndHead(body, head), "body.body")

    def prepare(self, batch: TensorSet, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Augment images and masks in the same way."""
        channels = batch.images.shape[1]
        augmentation = self.data.augmentation
        both = torch.cat([batch.images, self._numbered(batch.labels)[:, None]], 1)
        both = augment(both, Augmentation(augmentation.crop_padding, augmentation.flip), generator)
        return self.inputs(both[:, :channels]), both[:, channels].long() + NONE

    def targets(self, masks: Tensor) -> Tensor:
        """Turn masks (B, H, W) as read into class numbers, -1 for ignored pixels."""
        return self._numbered(masks).long() + NONE

    def _numbered(self, masks: Tensor) -> Tensor:
        device = masks.device
        if device not in self._tables:
            self._tables[device] = self._tables[torch.device("cpu")].to(device)
        return self._tables[device][masks.long()]

    def criterion(self, device: torch.device, *, label_smoothing: float = 0.0) -> Criterion:
        """Cross-entropy, mean over the pixels that count."""
        return PixelLoss(label_smoothing)

    def presence(self, targets: Tensor) -> Tensor:
        """(B, classes): 1 where any pixel is of the class."""
        seen = torch.zeros(len(targets), self.data.num_classes + 1, device=targets.device)
        return seen.scatter_(1, (targets - NONE).flatten(1), 1.0)[:, 1:]

    def scorer(self, images: int, device: torch.device) -> Scorer:
        """Confusion of classes over all pixels."""
        return MaskScorer(self, device)

    def floor(self) -> dict[str, Any] | None:
        """Answering the most common class of the validation masks everywhere."""
        classes = self.data.num_classes
        counts = torch.zeros(classes + 1, dtype=torch.int64)
        labels = self.data.validation.labels
        for start in range(0, len(labels), 64):
            numbers = self._numbered(labels[start : start + 64].cpu()).long().flatten()
            counts += torch.bincount(numbers, minlength=classes + 1)
        counts = counts[1:]
        most, total = int(counts.argmax()), max(1, int(counts.sum()))
        share = float(counts[most]) / total
        score = share / max(1, int((counts > 0).sum())) if self.unit.name == "mean_iou" else share
        return {"by": f"always answering {self.data.class_names[most]!r}", "score": score}

    def show(self, output: Tensor, images: Tensor, targets: Tensor) -> list[Shown]:
        """Draw the true mask beside the predicted one; grey pixels are ignored."""
        colours, truth, examples = palette(self.data.num_classes), self.targets(targets), []
        for answer, image, mask in zip(output.argmax(1), coloured(images), truth, strict=True):
            counts = mask >= 0
            right = float((answer == mask)[counts].float().mean()) if counts.any() else 0.0
            areas = mask[counts].bincount()
            most = [self.data.class_names[index] for index in areas.argsort(descending=True)[:3] if areas[index]]
            examples.append(
                Shown(
                    (("image", image), ("mask", painted(mask, colours)), ("answered", painted(answer, colours))),
                    f"{100 * right:.0f} % of the pixels right; mostly {', '.join(most)}",
                )
            )
        return examples

    def export(self) -> dict[str, Any]:
        """An export answers with masks."""
        return {
            "outputs": ("logits",),
            "gives": "logits (B, classes, H, W)",
            "answers": "writes the class of every pixel to image.mask.png",
            "functions": {"answer": mask_answer.answer},
            "constants": {"PALETTE": palette(self.data.num_classes)},
        }


class PixelLoss:
    """Cross-entropy of logits (B, K, H, W) against numbers of classes (B, H, W), mean over the pixels that count."""

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = label_smoothing

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean over the batch."""
        total, count = summed(logits, targets, self.label_smoothing)
        return total / count.clamp(min=1)

    def weight(self, targets: Tensor) -> Tensor:
        """Pixels that count."""
        return (targets != NONE).sum().clamp(min=1)


class MaskScorer:
    """Mean intersection over union of all classes that occur in the masks or the answers, over all pixels of a set.

    Everingham, Eslami, Van Gool, Williams, Winn, Zisserman, "The Pascal Visual Object Classes Challenge: A
    Retrospective" (2015).
    """

    def __init__(self, task: Segmentation, device: torch.device) -> None:
        self.task, self.classes = task, task.data.num_classes
        self.counts = torch.zeros(self.classes * self.classes + 1, dtype=torch.int64, device=device)
        self.loss = torch.zeros((), device=device)

    def reset(self) -> None:
        """Forget everything that was added."""
        self.counts.zero_()
        self.loss.zero_()

    def add(self, output: Tensor, targets: Tensor, rows: Tensor) -> None:
        """Add logits (B, K, H, W) and masks (B, H, W) as read."""
        logits, numbers = output.float(), self.task.targets(targets)
        cell = torch.where(numbers >= 0, numbers * self.classes + logits.argmax(1), self.classes**2).flatten()
        self.counts.scatter_add_(0, cell, torch.ones_like(cell))
        self.loss += summed(logits, numbers)[0]

    @property
    def matrix(self) -> Tensor:
        """(K, K) pixels, one row per true class."""
        return self.counts[:-1].view(self.classes, self.classes).cpu()

    def result(self) -> tuple[float, float]:
        """Score 0 to 1, and mean cross-entropy per pixel."""
        matrix = self.matrix
        loss = float(self.loss) / max(1, int(matrix.sum()))
        if loss != loss:
            return float("nan"), loss
        if self.task.unit.name == "pixel_accuracy":
            return float(matrix.diagonal().sum() / matrix.sum().clamp(min=1)), loss
        iou = self._iou(matrix)
        return float(iou[iou == iou].mean()), loss

    def figures(self) -> dict[str, Any]:
        """The figures of labels, counted in pixels, with the intersection over union of every class.

        ``None`` for a class that occurs in neither the masks nor the answers.
        """
        iou = self._iou(self.matrix).tolist()
        return matrix_figures(self.matrix) | {"iou": [round(one, 4) if one == one else None for one in iou]}

    def _iou(self, matrix: Tensor) -> Tensor:
        right = matrix.diagonal()
        return right / (matrix.sum(0) + matrix.sum(1) - right)


def summed(logits: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """Sum of the cross-entropies of all pixels that count, and their number."""
    loss = F.cross_entropy(logits.float(), targets, ignore_index=NONE, reduction="sum", label_smoothing=label_smoothing)
    return loss, (targets != NONE).sum()
