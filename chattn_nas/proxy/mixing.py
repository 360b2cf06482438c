"""Mixup and CutMix of whole batches on their device, drawn from the batch's own generator.

Mixup: Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: Beyond Empirical Risk Minimization" (2018). CutMix: Yun, Han, Oh, Chun,
Choe, Yoo, "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features" (2019). Both work as
in ``timm.data.Mixup`` in its mode ``batch``: one share per batch, the n-th image is mixed with the n-th from the end,
and with both, each batch takes one of them. Nothing is decided on the host, so that a step can be captured, and
networks of one seed see the same mixtures.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from scipy.special import betaincinv
from torch import Tensor
from torch.nn import functional as F

from chattn_nas.errors import InputError
from chattn_nas.proxy.settings import ProxySettings
from chattn_nas.tasks.task import Task

NAMES = ("mixup", "cutmix")
#: Quantiles that a beta distribution is drawn by: between two of them it is taken as even.
QUANTILES = 4096


class BatchMixing:
    """Mixes normalised images (B, C, H, W) and labels (B,) of one batch.

    Args:
        mixup, cutmix: Alpha of the beta distribution of the share; 0 leaves one out, but not both.
        classes: Number of classes.
    """

    def __init__(self, mixup: float, cutmix: float, classes: int) -> None:
        self.alphas, self.classes = (mixup, cutmix), classes
        at = torch.linspace(0, 1, QUANTILES + 1, dtype=torch.float64)
        self.tables = {alpha: torch.from_numpy(betaincinv(alpha, alpha, at.numpy())).float()
                       for alpha in self.alphas if alpha}  # fmt: skip

    def __call__(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the mixed images, and the share of every class in them, (B, classes)."""
        device, (height, width) = images.device, images.shape[2:]
        which, share, row, column = torch.rand(4, device=device, generator=generator).unbind()
        shares = F.one_hot(labels, self.classes).to(torch.float32)
        mixup, cutmix = self.alphas
        kept = share  # of the image itself, as a number or at every pixel
        of_label = share
        if mixup:
            kept = of_label = self._drawn(mixup, share)
        if cutmix:
            drawn = self._drawn(cutmix, share)
            window = _window(1 - drawn, row, column, height, width)
            area = window.mean()
            if mixup:
                cut = which < 0.5
                kept, of_label = torch.where(cut, 1 - window, kept), torch.where(cut, 1 - area, of_label)
            else:
                kept, of_label = 1 - window, 1 - area
        mixed = torch.lerp(images.flip(0), images, kept.to(images.dtype))
        return mixed.contiguous(memory_format=torch.channels_last), torch.lerp(shares.flip(0), shares, of_label)

    def _drawn(self, alpha: float, even: Tensor) -> Tensor:
        """A number from the beta distribution (alpha, alpha), by a uniform one in [0, 1)."""
        if self.tables[alpha].device != even.device:
            self.tables[alpha] = self.tables[alpha].to(even.device)
        table, place = self.tables[alpha], even * QUANTILES
        below = place.long().clamp(max=QUANTILES - 1)
        # Indexing by a single number would read it back to the host.
        return torch.lerp(table.take(below), table.take(below + 1), place - below)


def _window(share: Tensor, row: Tensor, column: Tensor, height: int, width: int) -> Tensor:
    """1 inside a rectangle with a share of (H, W) around a place (0 to 1), cut off at the border; 0 outside."""
    side = share.sqrt()

    def inside(length: int, at: Tensor) -> Tensor:
        middle, half = (at * length).floor(), ((side * length).floor() / 2).floor()
        places = torch.arange(length, device=share.device)
        return (places >= middle - half) & (places < middle + half)

    return (inside(height, row)[:, None] & inside(width, column)).to(torch.float32)


def check_mixing(
    task: Task | type[Task], called: str, settings: object, section: str, names: Sequence[str] = NAMES
) -> None:
    """Check, without data, that the targets of a task follow what changes its images, if that is asked for.

    Args:
        task: Of it only what is known without data.
        called: The task's name.
        settings: Those that hold ``names``.
        section: Their section of the spec, for the error.
        names: Settings that only labels follow.

    Raises:
        InputError: The targets do not.
    """
    for name in names:
        if getattr(settings, name) and not task.mixes:
            raise InputError(
                f"{section}.{name} changes images in a way that the targets of task {called} do not follow",
                where=(section, name),
            )


def mixing_of(task: Task, settings: ProxySettings, section: str = "proxy") -> BatchMixing | None:
    """Return the function that mixes the batches of a training; ``None`` if nothing is to be mixed.

    Args:
        task: The task.
        settings: ``mixup`` and ``cutmix``.
        section: Section of the spec that asks for it, for the error.

    Raises:
        InputError: The task's targets cannot be mixed.
    """
    check_mixing(task, task.settings.type, settings, section)
    for name in NAMES:
        if getattr(settings, name) and task.data.multilabel:
            raise InputError(
                f"{section}.{name} mixes single labels, and these images have several", where=(section, name)
            )
    if not (settings.mixup or settings.cutmix):
        return None
    return BatchMixing(settings.mixup, settings.cutmix, task.data.num_classes)
