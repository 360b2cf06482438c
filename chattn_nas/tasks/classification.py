"""Classification: one label per image, or several."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from chattn_nas.data import Data
from chattn_nas.errors import InputError
from chattn_nas.tasks.label_metrics import ONE_LABEL, SEVERAL, build_metric, figures, floor, metric_unit, summed_loss
from chattn_nas.tasks.settings import TaskSettings
from chattn_nas.tasks.shown import Shown, coloured
from chattn_nas.tasks.task import Scorer, Task

#: Logits up to which all are kept, for figures of every class: 256 MiB.
KEPT = 2**26


class Classification(Task):
    """Labels (N,), or the presence of every class (N, K) if the data set has several labels per image."""

    metrics: ClassVar[tuple[str, ...]] = (*ONE_LABEL,)
    mixes: ClassVar[bool] = True

    def __init__(self, settings: TaskSettings, data: Data) -> None:
        super().__init__(settings, data)
        if data.train.labels.ndim > 2 or (data.train.labels.ndim == 2 and not data.multilabel):
            raise InputError(
                f"the targets of this data set are no labels but arrays {tuple(data.train.labels.shape[1:])}: say what "
                "is learned from them (task: {type: segmentation}, ...)",
                where=("task", "type"),
            )
        self.metric = build_metric(data.metric, data.num_classes, multilabel=data.multilabel)
        self.unit = metric_unit(data.metric)

    def criterion(self, device: torch.device, *, label_smoothing: float = 0.0) -> LabelLoss:
        """Cross-entropy."""
        weights = self.data.class_weights
        return LabelLoss(label_smoothing, None if weights is None else torch.tensor(weights, device=device))

    def scorer(self, images: int, device: torch.device) -> Scorer:
        """Score by the metric of the data, with figures of every class."""
        return LabelScorer(self, images, device)

    def floor(self) -> dict[str, Any] | None:
        """Always answering the most common class of the validation images; ``None`` for several labels."""
        return floor(self.data)

    def show(self, output: Tensor, images: Tensor, targets: Tensor) -> list[Shown]:
        """The class (or classes) of every image in words, and whether the answer is right."""
        names, examples = self.data.class_names, []
        for logits, image, target in zip(output.float(), coloured(images), targets, strict=True):
            if self.data.multilabel:
                answer, truth = (
                    ", ".join(names[index] for index in (labels > 0).nonzero().flatten()) or "nothing"
                    for labels in (logits, target)
                )
                right = answer == truth
            else:
                share, best = logits.softmax(0).max(0)
                truth, right = names[int(target)], bool(best == target)
                answer = f"{names[int(best)]} ({100 * float(share):.0f} %)"
            examples.append(Shown((("image", image),), answer if right else f"{answer}; it is {truth}", right))
        return examples


class Multilabel(Classification):
    """Several labels per image only."""

    metrics: ClassVar[tuple[str, ...]] = SEVERAL

    def __init__(self, settings: TaskSettings, data: Data) -> None:
        if not data.multilabel:
            raise InputError(
                "task multilabel needs several labels per image, and this data set has one: several label columns of 0 "
                "and 1 in a table (data.label_column), or data.multilabel: true",
                where=("task", "type"),
            )
        super().__init__(settings, data)


class LabelLoss:
    """Cross-entropy of logits against labels (B,) or class shares (B, classes).

    Binary cross-entropy against the presence of every class (B, classes), which is uint8 where shares are float.

    Args:
        label_smoothing: Label smoothing.
        class_weights: Weights (classes,) on the device; of presence if targets are presence.
        binary: Treat labels as the presence of every class, too (Wightman, Touvron, Jegou, "ResNet strikes back: An
            improved training procedure in timm", 2021).
    """

    def __init__(
        self, label_smoothing: float = 0.0, class_weights: Tensor | None = None, *, binary: bool = False
    ) -> None:
        self.label_smoothing, self.class_weights, self.binary = label_smoothing, class_weights, binary

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean over the batch."""
        if targets.dtype == torch.uint8:
            smooth = targets * (1 - self.label_smoothing) + self.label_smoothing / 2
            return F.binary_cross_entropy_with_logits(logits.float(), smooth, pos_weight=self.class_weights)
        if self.binary:
            classes = logits.shape[1]
            shares = targets if targets.ndim > 1 else F.one_hot(targets, classes).to(torch.float32)
            smooth = shares * (1 - self.label_smoothing) + self.label_smoothing / classes
            return F.binary_cross_entropy_with_logits(logits.float(), smooth, pos_weight=self.class_weights)
        return F.cross_entropy(logits.float(), targets, weight=self.class_weights, label_smoothing=self.label_smoothing)

    def weight(self, targets: Tensor) -> Tensor | int:
        """Images, or the sum of their class weights, which is what torch's weighted mean divides by."""
        weighted = self.class_weights is not None and targets.ndim == 1 and not self.binary
        return self.class_weights[targets].sum() if weighted else len(targets)  # type: ignore[index]


class LabelScorer:
    """Counts right answers; keeps all logits if another metric or figures of every class need them."""

    def __init__(self, task: Classification, images: int, device: torch.device) -> None:
        data = task.data
        self.metric, self.counts = task.metric, data.metric == "accuracy"  # the count of right answers is enough
        self.correct = torch.zeros((), device=device)
        self.loss = torch.zeros((), device=device)
        self.logits: Tensor | None = None
        self.labels: Tensor | None = None
        self.images = images
        if not self.counts or images * data.num_classes <= KEPT:
            self.logits = torch.zeros(images, data.num_classes, device=device)
            several = (data.num_classes,) if data.multilabel else ()
            self.labels = torch.zeros(images, *several, dtype=data.train.labels.dtype, device=device)

    def reset(self) -> None:
        """Forget everything that was added."""
        for tensor in (self.correct, self.loss):
            tensor.zero_()

    def add(self, output: Tensor, targets: Tensor, rows: Tensor) -> None:
        """Add a batch of logits (B, K)."""
        logits = output.float()
        if self.logits is not None and self.labels is not None:
            self.logits.index_copy_(0, rows, logits)
            self.labels.index_copy_(0, rows, targets)
        if self.counts:
            self.correct += (logits.argmax(1) == targets).sum()
        self.loss += summed_loss(logits, targets)

    def result(self) -> tuple[float, float]:
        """Score by the metric, 0 to 1, and mean loss."""
        loss = float(self.loss) / self.images
        if self.counts:
            return float(self.correct) / self.images, loss
        assert self.logits is not None
        assert self.labels is not None
        finite = loss - loss == 0  # a network that diverged has no score
        return self.metric(self.logits, self.labels) if finite else float("nan"), loss

    def figures(self) -> dict[str, Any]:
        """Figures of every class; none if there are too many images and classes to keep their logits."""
        return {} if self.logits is None or self.labels is None else figures(self.logits, self.labels)
