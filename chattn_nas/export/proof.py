"""Proves an exported folder: a clean interpreter loads it and must compute the same as the original network."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import nn

from chattn_nas.errors import ExportError
from chattn_nas.export import training_step
from chattn_nas.export.clean_process import CLEAN
from chattn_nas.export.source.refusal import INSTEAD


def prove_source(network: nn.Module, folder: Path, images: torch.Tensor, *, max_difference: float) -> dict[str, float]:
    """Compare ``folder/model.py`` with ``network`` in a process that cannot import timm, optuna or chattn_nas.

    It compares the outputs in evaluation and in training mode, every gradient of one training step, and every weight
    and BatchNorm statistic after it. Differences are absolute, but divided by the largest compared value if that is
    above 1; those of gradients are shares of the network's largest, be it small.

    Args:
        network: The exported network; it is copied, not changed.
        folder: The folder with ``model.py`` and ``weights.pt``.
        images: (B, C, H, W), B >= 2.
        max_difference: Largest difference that is accepted.

    Returns:
        Largest difference of ``evaluation``, ``training``, ``gradients`` and ``state``.

    Raises:
        ExportError: The folder cannot be loaded there, or a difference is too large.
    """
    answers: dict[str, torch.Tensor] = CLEAN.run(folder / "model.py", images=images)
    reference = copy.deepcopy(network).to("cpu").float()
    with torch.no_grad():
        expected = training_step.numbered("evaluation", reference.eval()(images))
    expected |= training_step.training_step(reference, images)
    if answers.keys() != expected.keys():
        odd = sorted(answers.keys() ^ expected.keys())
        raise ExportError(f"model.py has other weights than the searched network: {', '.join(odd[:5])}")
    differences: dict[str, float] = {}
    largest = _largest(value for name, value in expected.items() if name.startswith("gradients."))
    for name, value in expected.items():
        part = name.partition(".")[0]
        answer = answers[name]
        if part == "gradients":
            value, answer = value / largest, answer / largest
        differences[part] = max(differences.get(part, 0.0), difference(value, answer))
    for part, worst in differences.items():
        if not worst <= max_difference:
            raise ExportError(
                f"model.py differs from the searched network by {worst:.3g} ({part}), allowed is "
                f"{max_difference:.3g}; {INSTEAD}"
            )
    return differences


def _largest(gradients: Iterable[torch.Tensor]) -> float:
    """The largest finite magnitude; 1 if there is none but zero."""
    tops = (value[value.isfinite()].abs() for value in gradients)
    return max((float(top.max()) for top in tops if top.numel()), default=0.0) or 1.0


def difference(expected: torch.Tensor, answer: torch.Tensor) -> float:
    """Largest absolute difference, divided by the largest expected magnitude if that is above 1; NaN equals NaN."""
    if expected.shape != answer.shape:
        return float("inf")
    if expected.numel() == 0:
        return 0.0
    one, other = expected.double(), answer.double()
    gap = (one - other).abs()
    gap[(one == other) | (one.isnan() & other.isnan())] = 0
    scale = one[one.isfinite()].abs().amax().item() if one.isfinite().any() else 1.0
    worst = gap.amax().item() / max(1.0, scale)
    return worst if worst == worst else float("inf")


def difference_of_all(expected: Sequence[torch.Tensor], answers: Sequence[torch.Tensor]) -> float:
    """The largest :func:`difference` of several outputs; infinite if there are more or fewer outputs."""
    if len(expected) != len(answers):
        return float("inf")
    return max((difference(one, other) for one, other in zip(expected, answers, strict=True)), default=0.0)
