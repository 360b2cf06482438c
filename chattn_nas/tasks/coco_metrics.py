"""Average precision of boxes as COCO counts it, by faster-coco-eval.

Lin and others, "Microsoft COCO: Common Objects in Context" (2014): at ten overlaps from 0.50 to 0.95, 101 recalls, 100
boxes per image, mean over classes. Crowds count for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chattn_nas.data.boxes import CLASS, CROWD
from chattn_nas.errors import MissingExtraError

#: Boxes per image that count.
MOST = 100


def coco_packages() -> tuple[Any, Any]:
    """``COCO`` and its evaluation.

    Raises:
        MissingExtraError: They are not installed.
    """
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError as error:
        raise MissingExtraError(
            f'the task detection needs {error.name}, which is not installed: pip install "chattn-nas[detection]"'
        ) from None
    return COCO, COCOeval_faster


def average_precision(
    predictions: Sequence[NDArray[np.float32]], targets: NDArray[np.float32], classes: int
) -> dict[str, Any]:
    """Average precision and recall of predicted boxes.

    Args:
        predictions: Predictions for every image (n, 6): corners, confidence, class.
        targets: (N, M, 6), see ``data.boxes``.
        classes: Number of classes.

    Returns:
        ``map`` (mean over overlaps of 0.50 to 0.95), ``map_50``, ``map_75``, ``recall_100`` (mean over the same
        overlaps), 0 to 1, and for every class ``ap``, ``ap_50`` and ``objects``; ``None`` for a class without objects.
    """
    coco, evaluation = coco_packages()
    image, row = np.nonzero(targets[..., CLASS] >= 0)
    objects = targets[image, row].astype(np.float64)
    sides = objects[:, 2:4] - objects[:, :2]
    annotations = [
        {"id": number, "image_id": int(of), "category_id": int(one[CLASS]), "bbox": [*one[:2], *side],
         "area": float(side.prod()), "iscrowd": int(one[CROWD])}
        for number, (of, one, side) in enumerate(zip(image, objects, sides, strict=True), 1)
    ]  # fmt: skip
    truth = coco({
        "images": [{"id": number} for number in range(len(targets))],
        "categories": [{"id": number, "name": str(number)} for number in range(classes)],
        "annotations": annotations,
    })  # fmt: skip
    said = np.concatenate([
        np.concatenate([np.full((len(one), 1), number), one[:, :2], one[:, 2:4] - one[:, :2], one[:, 4:]], 1)
        for number, one in enumerate(predictions)
    ]).astype(np.float64)  # fmt: skip
    counts = np.bincount(objects[objects[:, CROWD] == 0, CLASS].astype(int), minlength=classes)
    if len(said):
        judge = evaluation(truth, truth.loadRes(said), "bbox")
        judge.params.areaRng, judge.params.areaRngLbl, judge.params.maxDets = [[0, 1e10]], ["all"], [MOST]
        judge.evaluate()
        judge.accumulate()
        precision = np.asarray(judge.eval["precision"])[:, :, :, 0, -1]  # overlaps, recalls, classes
        recall = np.asarray(judge.eval["recall"])[:, :, 0, -1]
    else:  # versions before 1.8 cannot judge no answer at all
        recall = np.where(counts > 0, 0.0, -1.0) * np.ones((10, 1))
        precision = recall[:, None]
    some = [number for number in range(classes) if (precision[:, :, number] > -1).all()]
    each = [float(precision[:, :, number].mean()) if number in some else None for number in range(classes)]
    at_half = [float(precision[0, :, number].mean()) if number in some else None for number in range(classes)]
    whole = precision[:, :, some]
    return {
        "map": _mean(whole), "map_50": _mean(whole[0]), "map_75": _mean(whole[5]),
        "recall_100": _mean(recall[:, some]), "ap": each, "ap_50": at_half, "objects": counts.tolist(),
    }  # fmt: skip


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if values.size else 0.0
