"""Metrics of classifiers: one number, more is better, from logits and targets."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from chattn_nas.data import Images
from chattn_nas.errors import DataError
from chattn_nas.parts import is_path, load_object
from chattn_nas.unit import Unit, percent

#: Logits (N, K) and targets, labels (N,) or presence (N, K), to a number.
Metric = Callable[[Tensor, Tensor], float]
ONE_LABEL = ("accuracy", "balanced_accuracy", "macro_f1", "top5", "auroc", "average_precision", "log_loss")
SEVERAL = ("average_precision", "auroc", "macro_f1", "log_loss")
#: Classes up to which the whole confusion matrix is kept, and up to which figures of every class are.
MATRIX, LISTED = 30, 200


def build_metric(name: str, num_classes: int, *, multilabel: bool = False) -> Metric:
    """Make a metric by its name, with torchmetrics, on the device of the logits.

    ``log_loss`` is exp(-loss), the geometric mean of the probability given to the truth, so that more is better and the
    scale is 0 to 1, as for the others.

    Args:
        name: One of :data:`ONE_LABEL`, of :data:`SEVERAL` for several labels per image, or ``module:function``, which
            takes logits and targets.
        num_classes: Columns of the logits.
        multilabel: Whether an image may have several labels.

    Raises:
        DataError: There is no such metric, or it does not suit these targets.
    """
    if is_path(name):
        return _own(name)
    known = SEVERAL if multilabel else ONE_LABEL
    if name not in known:
        kind = "several labels per image" if multilabel else "one label per image"
        raise DataError(f"no metric {name!r} for {kind}", where=("data", "metric"), value=name, choices=known)
    if name == "log_loss":
        return lambda logits, targets: float(torch.exp(-summed_loss(logits, targets) / len(logits)))
    if name == "accuracy":
        return lambda logits, targets: float((logits.argmax(1) == targets).float().mean())
    from torchmetrics.functional import classification as by  # takes seconds: only where it is asked for

    how: dict[str, Any] = {"num_labels": num_classes} if multilabel else {"num_classes": num_classes}
    kind = "multilabel" if multilabel else "multiclass"
    if name == "top5":
        how |= {"average": "micro", "top_k": min(5, num_classes)}
    elif name in ("balanced_accuracy", "macro_f1", "auroc", "average_precision"):
        how |= {"average": "macro"}
    function = {"top5": "accuracy", "balanced_accuracy": "recall", "macro_f1": "f1_score"}.get(name, name)
    torchmetrics = getattr(by, f"{kind}_{function}")

    def score(logits: Tensor, targets: Tensor) -> float:
        shares = logits.sigmoid() if multilabel else logits.softmax(1)
        with warnings.catch_warnings():  # of a class that no image is of: the summary of the data tells that
            warnings.filterwarnings("ignore", message="No (positive|negative) samples")
            return float(torchmetrics(shares, targets.long(), **how))

    return score


def floor(data: Images) -> dict[str, Any] | None:
    """Score of always answering the most common class of the validation images; ``None`` for several labels."""
    labels = data.validation.labels.cpu()  # type: ignore[attr-defined]
    if data.multilabel or labels.ndim > 1 or not len(labels):
        return None
    most = int(labels.bincount().argmax())
    always = F.one_hot(torch.full_like(labels, most), data.num_classes).float()
    score = build_metric(data.metric, data.num_classes)(always, labels)
    name = data.class_names[most]
    return {"class": name, "by": f"always answering {name!r}", "score": score}


def summed_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Loss summed over all images: cross-entropy for labels (N,), mean binary cross-entropy for presence (N, K)."""
    if targets.ndim > 1:
        return F.binary_cross_entropy_with_logits(logits, targets.float(), reduction="none").mean(1).sum()
    return F.cross_entropy(logits, targets, reduction="sum")


def figures(logits: Tensor, targets: Tensor) -> dict[str, Any]:
    """Recall and precision of every class (0 to 1), and the confusion of classes.

    Args:
        logits, targets: (N, K), and labels (N,) or presence (N, K).

    Returns:
        ``accuracy``, ``recall``, ``precision`` and, up to 30 classes of one label per image, ``confusion`` with one row
        per true class; nothing for more than 200 classes.
    """
    classes = logits.shape[1]
    if classes > LISTED:
        return {}
    if targets.ndim > 1:
        said, true = logits > 0, targets > 0
        shares = _shares((said & true).sum(0), true.sum(0), said.sum(0))
        return {"accuracy": float((said == true).float().mean()), **shares}
    pairs = targets * classes + logits.argmax(1)
    counts = torch.zeros(classes * classes, device=logits.device, dtype=torch.int64)
    return matrix_figures(counts.scatter_add_(0, pairs, torch.ones_like(pairs)).view(classes, classes).cpu())


def matrix_figures(matrix: Tensor) -> dict[str, Any]:
    """The figures of every class from counts (K, K) of images or pixels, one row per true class."""
    right = matrix.diagonal()
    known: dict[str, Any] = {"accuracy": float(right.sum() / matrix.sum().clamp(min=1))}
    if len(matrix) <= MATRIX:
        known["confusion"] = matrix.tolist()
    return known | _shares(right, matrix.sum(1), matrix.sum(0))


def _shares(right: Tensor, of_true: Tensor, of_said: Tensor) -> dict[str, list[float]]:
    shares = {"recall": right / of_true.clamp(min=1), "precision": right / of_said.clamp(min=1)}
    return {name: [round(share, 4) for share in each.tolist()] for name, each in shares.items()}


def metric_unit(name: str) -> Unit:
    """The unit of a metric: percent, or the attribute ``unit`` of a function given by path.

    Raises:
        DataError: The attribute is no :class:`Unit`.
    """
    return _unit_of(_part(name), name) if is_path(name) else percent(name)


def _unit_of(part: Any, name: str) -> Unit:
    own = getattr(part, "unit", None)
    if own is not None and not isinstance(own, Unit):
        raise DataError(f"unit of metric {name!r} is no chattn_nas.unit.Unit but {own!r}", where=("data", "metric"))
    return own or percent(name.rpartition(":")[2])  # a metric by path by its own name


def _part(name: str) -> Any:
    return load_object(name, "a metric", ("data", "metric"), takes=("logits", "targets"), refusal=DataError)


def _own(name: str) -> Metric:
    part = _part(name)
    unit = _unit_of(part, name)

    def score(logits: Tensor, targets: Tensor) -> float:
        value = float(part(logits, targets))
        if not math.isfinite(value):
            raise DataError(f"metric {name!r} returned {value} instead of a number", where=("data", "metric"))
        if unit.unit == "%" and abs(value) * unit.scale > 100 + 1e-3:
            raise DataError(
                f"metric {name!r} gave {value:g}, which would be shown as {unit.text(value)}: give a share (0 to 1), "
                "or the function an attribute unit (chattn_nas.unit.Unit)",
                where=("data", "metric"),
            )
        return value

    return score
