"""Detection: a box around every object, and its class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torchvision.ops import batched_nms, box_iou
from torchvision.utils import draw_bounding_boxes

from chattn_nas.data import Data, TensorSet, draw_moves, moved, moved_boxes
from chattn_nas.data.boxes import CLASS, COLUMNS, CROWD
from chattn_nas.errors import DataError, InputError
from chattn_nas.image_size import pair
from chattn_nas.network import feature_extractor
from chattn_nas.plural import plural
from chattn_nas.tasks import box_answer
from chattn_nas.tasks.coco_metrics import MOST, average_precision, coco_packages
from chattn_nas.tasks.composite import MapsAndHead, composed, drawn_apart
from chattn_nas.tasks.fcos import Head, candidates, mean_of, summed
from chattn_nas.tasks.settings import TaskSettings
from chattn_nas.tasks.shown import Shown, coloured, palette
from chattn_nas.tasks.task import Criterion, Scorer, Task
from chattn_nas.unit import Unit

UNITS = {
    "map": Unit(name="map", title="mAP", unit=""),
    "map_50": Unit(name="map_50", title="mAP at IoU 0.50", unit=""),
}
#: Sureness from which an answer is shown. On BCCD (10 epochs of the shipped spec, validation images, 2026-11-26) 0.3
#: shows 90 % of the objects, and four wrong answers for a right one; 0.45 shows 76 %, and every other one is right.
SURE = 0.45
#: Answers of an image that are kept before duplicates are taken out.
KEPT = 300


class DetectionSettings(TaskSettings):
    """A box around every object, and its class.

    Attributes:
        type: ``detection``.
        stride: Pixels per position of the finest map of the backbone that the head uses; much smaller objects are not
            found. Of a backbone whose maps are all finer it uses the coarsest.
        width: Channels of the head.
        nms: Overlap (IoU) above which the less confident of two boxes of one class is a duplicate.

    In a spec:
        type: detection
        stride: 8  # pixels
        width: 64  # channels
        nms: 0.6  # share
    """

    type: str = "detection"
    stride: int = Field(default=8, ge=1)
    width: int = Field(default=64, ge=1)
    nms: float = Field(default=0.6, gt=0, lt=1)


class Detection(Task):
    """Boxes (N, M, 6) float32, padded: see ``data.boxes``."""

    Settings: ClassVar[type[TaskSettings]] = DetectionSettings
    metrics: ClassVar[tuple[str, ...]] = tuple(UNITS)
    useful: ClassVar[float] = 0.5
    recipe: ClassVar[Mapping[str, Any]] = {
        "optimizer": "adamw", "learning_rate": 0.03, "weight_decay": 0.01, "label_smoothing": 0.0, "batch_size": 16,
    }  # fmt: skip

    def __init__(self, settings: TaskSettings, data: Data) -> None:
        assert isinstance(settings, DetectionSettings)
        super().__init__(settings, data)
        self.settings: DetectionSettings = settings
        coco_packages()
        targets = data.train.labels
        if targets.ndim != 3 or targets.dtype != torch.float32 or targets.shape[2] != COLUMNS:
            raise InputError(
                "task detection needs boxes around the objects of every image (data.dataset: coco, yolo, voc, hf, or "
                "a function that gives them)",
                where=("data", "dataset"),
            )
        for name, part in (("training", targets), ("validation", data.validation.labels)):
            if not _objects(part).any():
                raise InputError(
                    f"none of the {len(part)} {name} images shows an object: every network would score the same",
                    where=("data", "path"),
                )
        if data.augmentation.further is not None:
            raise DataError("this data.augment moves pixels without their boxes", where=("data", "augment"))
        self.unit = UNITS[self.metric_of(data, "detection")]
        self.size = pair(data.image_size)

    @classmethod
    def check_installed(cls) -> None:
        """faster-coco-eval."""
        coco_packages()

    def network(self, network: nn.Module, seed: int) -> nn.Module:
        """Add a small FCOS head: maps of the backbone to boxes and logits (B, P, 8 + classes)."""
        body = feature_extractor(
            network, image_size=self.size, in_chans=self.data.in_chans, finest=self.settings.stride
        )
        with drawn_apart(seed):
            head = Head(body.maps, self.data.num_classes, self.size, self.settings.width)
        return composed(network, MapsAndHead(body, head), "body.body")

    def prepare(self, batch: TensorSet, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Augment images and boxes in the same way."""
        moves = draw_moves(len(batch), batch.images.device, self.data.augmentation, generator)
        return self.inputs(moved(batch.images, moves)), moved_boxes(batch.labels, moves, self.size)

    def criterion(self, device: torch.device, *, label_smoothing: float = 0.0) -> Criterion:
        """Focal loss of classes, IoU loss of boxes, cross-entropy of centrality."""
        return BoxLoss(label_smoothing)

    def presence(self, targets: Tensor) -> Tensor:
        """(B, classes): 1 where any object is of the class."""
        numbers = torch.where(_objects(targets), targets[..., CLASS], -1).long() + 1
        seen = torch.zeros(len(targets), self.data.num_classes + 1, device=targets.device)
        return seen.scatter_(1, numbers, 1.0)[:, 1:]

    def scorer(self, images: int, device: torch.device) -> Scorer:
        """COCO's average precision."""
        return BoxScorer(self, images, device)

    def floor(self) -> dict[str, Any] | None:
        """Finding nothing."""
        return {"by": "finding nothing", "score": 0.0}

    def show(self, output: Tensor, images: Tensor, targets: Tensor) -> list[Shown]:
        """Draw the true boxes beside the predicted ones."""
        examples, colours = [], [tuple(one) for one in np.reshape(palette(self.data.num_classes), (-1, 3)).tolist()]
        for answers, image, rows in zip(candidates(output, self.size, KEPT), coloured(images), targets, strict=True):
            true = rows[_objects(rows)]
            kept = answers[_unique(answers, self.settings.nms)]
            kept = kept[kept[:, 4] >= SURE]
            right = _count_matched(kept, true)
            pictures = [
                draw_bounding_boxes(image, corners, colors=[colours[int(label)] for label in labels])
                if len(corners)
                else image
                for corners, labels in ((true[:, :4], true[:, CLASS]), (kept[:, :4], kept[:, 5]))
            ]
            words = f"{right} of {plural(len(true), 'object')} found" + (
                f", {len(kept) - right} too many" * (len(kept) > right)
            )
            examples.append(Shown((("boxes", pictures[0]), ("found", pictures[1])), words))
        return examples

    def export(self) -> dict[str, Any]:
        """An export answers with boxes."""
        return {
            "outputs": ("found",),
            "gives": "(B, positions, 8 + classes): left, top, right and bottom of a box, x, y and stride of the "
            "position, in pixels, then logits of its centrality and of every class",
            "answers": "prints the objects of an image and draws them into image.boxes.png",
            "functions": {"answer": box_answer.answer},
            "constants": {"PALETTE": palette(self.data.num_classes), "NMS": self.settings.nms, "SURE": SURE},
        }


class BoxLoss:
    """The loss of :mod:`~chattn_nas.tasks.fcos`, mean over the positions that learn an object."""

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = label_smoothing

    def __call__(self, output: Tensor, targets: Tensor) -> Tensor:
        """Return the mean of a batch."""
        return mean_of(summed(output, targets, self.label_smoothing))

    def weight(self, targets: Tensor) -> Tensor:
        """Number of objects: roughly what the mean is taken over."""
        return _objects(targets).sum().clamp(min=1)


class BoxScorer:
    """Keeps the most confident answers for every image; duplicates and precision are handled at the end."""

    def __init__(self, task: Detection, images: int, device: torch.device) -> None:
        self.task, self.device = task, device
        self.answers = torch.zeros(images, KEPT, COLUMNS, device=device)
        self.targets = torch.zeros(images, task.data.train.labels.shape[1], COLUMNS, device=device)
        self.sums = torch.zeros(5, device=device)
        self._counted: dict[str, Any] = {}

    def reset(self) -> None:
        """Forget everything that was added."""
        self.sums.zero_()

    def add(self, output: Tensor, targets: Tensor, rows: Tensor) -> None:
        """Add the network's output for some images and their true boxes."""
        answers = candidates(output.float(), self.task.size, KEPT)
        whole = torch.nn.functional.pad(answers, (0, 0, 0, KEPT - answers.shape[1]))
        self.answers.index_copy_(0, rows, whole)
        self.targets.index_copy_(0, rows, targets)
        self.sums += summed(output, targets)

    def result(self) -> tuple[float, float]:
        """Return mAP, or mAP at an overlap of 0.5, 0 to 1, and mean loss per object."""
        loss = float(mean_of(self.sums))
        if loss != loss:
            return float("nan"), loss
        targets = self.targets.cpu().numpy()
        predictions = [answers[_unique(answers, self.task.settings.nms)].numpy() for answers in self.answers.cpu()]
        self._counted = average_precision(predictions, targets, self.task.data.num_classes)
        return self._counted[self.task.unit.name], loss

    def figures(self) -> dict[str, Any]:
        """All figures of :func:`~chattn_nas.tasks.coco_metrics.average_precision`, from the last :meth:`result`."""
        return {
            name: [None if one is None else round(one, 4) for one in value] if isinstance(value, list) else value
            for name, value in self._counted.items()
        }


def _unique(answers: Tensor, nms: float) -> Tensor:
    """Indices of the answers (n, 6) for one image that are no duplicates, the most confident first."""
    kept: Tensor = batched_nms(answers[:, :4], answers[:, 4], answers[:, 5], nms)[:MOST]
    return kept


def _objects(targets: Tensor) -> Tensor:
    """Tell which rows of targets (..., M, 6) are objects."""
    return (targets[..., CLASS] >= 0) & (targets[..., CROWD] == 0)


def _count_matched(answers: Tensor, objects: Tensor) -> int:
    """Number of objects (M, 6) matched by an answer (n, 6) of their class with an overlap of at least 0.5."""
    if not len(objects):
        return 0
    overlap = box_iou(answers[:, :4], objects[:, :4]) * (answers[:, 5, None] == objects[None, :, CLASS])
    free = torch.ones(len(objects), dtype=torch.bool)
    for row in overlap:
        best = (row * free).argmax()
        if (row * free)[best] >= 0.5:
            free[best] = False
    return int((~free).sum())
